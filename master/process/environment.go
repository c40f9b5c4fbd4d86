package process

import (
	"slices"
	"strings"

	"github.com/prefork/cluster/ipc"
)

// Environment is env as a worker may see it: without the variables of the master's own settings, which a cluster that is
// started in a worker must not take for its own, and with the variables of set in the place of others of that name. Others
// that begin with CLUSTER_ may be the application's, as CLUSTER_DEMO_DATA is, and stay.
func Environment(env, settings []string, set ...string) []string {
	kept := slices.DeleteFunc(ipc.Scrub(env), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains(settings, name) ||
			slices.ContainsFunc(set, func(other string) bool { return strings.HasPrefix(other, name+"=") })
	})
	return append(kept, set...)
}
