package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/process"
)

// No setting of start reaches a worker: a cluster that is started there would take it for its own.
func TestSettingsStayInTheMaster(t *testing.T) {
	for _, command := range newApp().Commands {
		if command.Name != "start" {
			continue
		}
		for _, flag := range command.Flags {
			name := flag.Names()[0]
			variable := "CLUSTER_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "=x"
			if slices.Contains(process.Environment([]string{variable}, configs.OwnVariables()), variable) {
				t.Errorf("--%s: %s reaches the workers", name, variable)
			}
		}
	}
}
