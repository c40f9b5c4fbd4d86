package master

import (
	"slices"
	"testing"

	"github.com/prefork/cluster/configs"
)

// The reference application learns its engine from the master alone, a program of someone else's nothing of it.
func TestEngineOfAGeneration(t *testing.T) {
	t.Setenv("CLUSTER_ENGINE", "inherited")
	for _, program := range [][]string{nil, {"/bin/sh"}} {
		c := configs.Default()
		c.Engine, c.Program, c.Workers = "fasthttp", program, 1
		r, err := newRecipe(c)
		if err != nil {
			t.Fatal(err)
		}
		g, err := r.resolve(1)
		if err != nil {
			t.Fatal(err)
		}
		g.close()
		if got := slices.Contains(g.env, "CLUSTER_ENGINE=fasthttp"); got != (program == nil) {
			t.Errorf("program %q: engine is said: %v", program, got)
		}
		if slices.Contains(g.env, "CLUSTER_ENGINE=inherited") {
			t.Errorf("program %q inherits the engine", program)
		}
	}
}
