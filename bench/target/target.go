// Package target starts what is measured, says when it is ready, and makes sure that nothing of it is left.
//
// Invariant: between Start and Stop the address belongs to this target alone. A server that was left over from a trial
// before would share it by SO_REUSEPORT and poison every later number.
package target

import (
	"time"

	"github.com/prefork/cluster/bench/proc"
)

// Spec says what is started.
type Spec struct {
	Kind     Kind     `json:"kind"`
	Peer     string   `json:"peer,omitempty"`    // of Peer: its name; of Bare: nethttp, fasthttp or fasthttp-prefork
	Workers  int      `json:"workers,omitempty"` // of Cluster and Peer
	Threads  int      `json:"threads,omitempty"` // the same
	Mode     string   `json:"mode,omitempty"`    // of Cluster; empty: the command's default
	Dispatch string   `json:"dispatch,omitempty"`
	Pool     string   `json:"pool,omitempty"`
	Engine   string   `json:"engine,omitempty"`
	GVL      bool     `json:"gvl,omitempty"`
	Args     []string `json:"args,omitempty"`    // of Cluster: more flags of cluster start
	Program  []string `json:"program,omitempty"` // what the workers run, or of Bare the one process, which is told $PORT; empty: the reference application
	Ready    string   `json:"ready,omitempty"`   // of Bare with a program: a path that is answered 2xx
	Env      []string `json:"env,omitempty"`     // NAME=VALUE
	Binary   string   `json:"binary,omitempty"`  // another build of the command
	Output   bool     `json:"output,omitempty"`  // what it prints goes to a file that is removed later, not to /dev/null; its errors always do
}

// Kind is what a target is.
type Kind string

// The kinds.
const (
	Cluster Kind = "cluster" // cluster start
	Bare    Kind = "bare"    // one process without a master, with GOMAXPROCS = all CPUs; fasthttp's own prefork
	Peer    Kind = "peer"    // another server, from a description
)

// Reading is what a target has used and served until now.
type Reading struct {
	Time    time.Time  `json:"time"`
	Serving proc.Usage `json:"serving"` // workers, or the one process
	Master  proc.Usage `json:"master"`  // zero if there is none
	// Counters are the target's own, zero if it has none.
	Counters Counters `json:"counters,omitzero"`
}

// Counters are what a cluster counted since it was started, read from its /metrics.
type Counters struct {
	Known    bool             `json:"known,omitempty"`
	Requests map[string]int64 `json:"requests,omitempty"` // by class: 1xx to 5xx
	Slots    []int64          `json:"slots,omitempty"`    // requests of each slot
	GC       time.Duration    `json:"gc_cpu_ns,omitempty"`
	Handoff  *Handoff         `json:"handoff,omitempty"` // nil: the cluster does not count it, as older ones
	// Scheduling latencies of goroutines (/sched/latencies of runtime/metrics): cumulative counts by upper bound in seconds.
	// The last bound is finite, 128 s; what took longer is not here.
	SchedBounds []float64 `json:"sched_bounds,omitempty"`
	SchedCounts []uint64  `json:"sched_counts,omitempty"`
}

// Handoff is what became of connections that were to be passed on from worker to worker; all 0 without dispatch handoff.
type Handoff struct {
	Moved     map[string]int64 `json:"connections"` // by reason: pushed, hinted, drained
	Received  int64            `json:"received"`
	Stayed    map[string]int64 `json:"stayed"` // times that one was not passed on, by reason
	Conflicts int64            `json:"reservation_conflicts"`
	Expired   int64            `json:"reservations_expired"`
}

// Memory of a target.
type Memory struct {
	Serving proc.Memory `json:"serving"`
	Master  proc.Memory `json:"master"`
}
