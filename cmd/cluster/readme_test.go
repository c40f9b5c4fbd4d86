package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/prefork/cluster/master"
)

// The commands of the README print what it shows.
func TestReadme(t *testing.T) {
	t.Parallel()
	follow(t, "../../README.md")
}

// The README and the command know the same signals.
func TestReadmeSignals(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range master.Signals {
		if line := fmt.Sprintf("| %s | %s |\n", row.Name, row.Effect); !strings.Contains(string(readme), line) {
			t.Errorf("the README lacks the line %q", line)
		}
	}
}
