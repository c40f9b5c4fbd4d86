package process

import (
	"slices"
	"strings"

	"github.com/prefork/cluster/ipc"
)

// settings are the variables that the command start reads. A `cluster start` in a worker must not take them for its own.
// Others that begin with CLUSTER_ may be the application's, as CLUSTER_DEMO_DATA is, and stay.
var settings = []string{
	"BACKLOG", "BIND", "BOOT_TIMEOUT", "BODY_TIMEOUT", "BUFFER_BODY", "BUFFER_RESPONSE", "CHDIR", "CONFIG", "CONTROL",
	"DISPATCH", "DRAIN_IDLE", "DRAIN_TIMEOUT", "ENGINE", "GROUP", "HEAD_TIMEOUT", "HEARTBEAT_TIMEOUT", "IDLE_TIMEOUT",
	"LOG_FILE", "LOG_FORMAT", "LOG_LEVEL", "LOG_REQUESTS", "LOG_REQUESTS_FILE", "MAX_BODY", "MAX_CONNECTIONS", "MAX_HEAD",
	"MAX_REQUESTS_PER_CONNECTION", "MAX_THREADS", "MAX_WORKERS", "METRICS", "NAME", "ORPHAN_GRACE", "PIDFILE", "POOL",
	"PROBATION", "QUEUE_DEPTH", "QUEUE_TIMEOUT", "QUIET", "SETTLE", "SURGE", "THREADS", "UMASK", "USER", "WORKERS",
	"WRITE_TIMEOUT",
}

// Environment is env as a worker may see it: without what was meant for the master, and with the variables of set in the
// place of others of that name.
func Environment(env []string, set ...string) []string {
	kept := slices.DeleteFunc(ipc.Scrub(env), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		setting, ours := strings.CutPrefix(name, "CLUSTER_")
		return ours && slices.Contains(settings, setting) ||
			slices.ContainsFunc(set, func(other string) bool { return strings.HasPrefix(other, name+"=") })
	})
	return append(kept, set...)
}
