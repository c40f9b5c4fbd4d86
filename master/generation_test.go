package master

import (
	"slices"
	"strconv"
	"strings"
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

// How many CPUs a worker uses: with the lock one, whatever the environment says; else what that says, else its part.
func TestProcsOfAGeneration(t *testing.T) {
	cpus := configs.AvailableCPUs()
	for _, test := range []struct {
		change func(*configs.Config)
		given  string
		want   string
	}{
		{func(*configs.Config) {}, "", strconv.Itoa(cpus)},
		{func(c *configs.Config) { c.Workers = 2 }, "", strconv.Itoa(max(1, cpus/2))},
		{func(c *configs.Config) { c.Workers = 1000 }, "", "1"},
		{func(c *configs.Config) { c.Workers = 1000 }, "7", "7"},
		{func(c *configs.Config) { c.Workers, c.Mode = 1000, "inprocess" }, "", strconv.Itoa(cpus)},
		{func(c *configs.Config) { c.GVL, c.Mode = true, "inprocess" }, "", "1"},
		{func(c *configs.Config) { c.GVL = true }, "", "1"},
		{func(c *configs.Config) { c.GVL = true }, "7", "1"},
	} {
		t.Setenv("GOMAXPROCS", test.given) // whatever it is outside
		c := configs.Default()
		c.Workers = 1
		test.change(&c)
		r, err := newRecipe(c)
		if err != nil {
			t.Fatal(err)
		}
		g, err := r.resolve(1)
		if err != nil {
			t.Fatal(err)
		}
		g.close()
		all := slices.DeleteFunc(slices.Clone(g.env), func(v string) bool { return !strings.HasPrefix(v, "GOMAXPROCS=") })
		if len(all) != 1 || all[0] != "GOMAXPROCS="+test.want {
			t.Errorf("%d workers, lock %v, GOMAXPROCS=%s given: %q, want %s", c.Workers, c.GVL, test.given, all, test.want)
		}
	}
}
