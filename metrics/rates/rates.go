// Package rates measures what the workers do over a window of at least ten seconds: requests a second, latency, and where
// the time of a request goes.
package rates

import (
	"fmt"
	"strings"
)

// Rates are what a worker, or all of them, did in the last window.
type Rates struct {
	Window   float64   `json:"window_seconds"` // 0: nothing has been measured yet, and the rest is 0
	Requests float64   `json:"requests_per_second"`
	Errors   float64   `json:"errors_per_second"` // of them, class 5xx
	CPUs     float64   `json:"cpus"`              // CPU seconds a second, of whole processes
	Duration Quantiles `json:"duration"`          // from taking a thread to the handler's return
	Wait     Quantiles `json:"queue_wait"`        // from being readable to taking a thread
	Time     Split     `json:"time"`
}

// Quantiles of durations, in seconds: each is read from buckets and within 9% of the truth. All are 0 if there was no request.
type Quantiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

// Split is where the time of requests went, from arrival to end, summed over requests. docs/time-split.md says how it is measured, and how
// wrong it can be.
type Split struct {
	InFlight float64 `json:"in_flight"`      // request seconds a second: how many requests were there on average
	Parts    []Part  `json:"parts"`          // the largest first; empty if there was no request
	Hint     string  `json:"hint,omitempty"` // what to do about the largest part, for a person; empty of cpu and io, which are the application's, and of requests of less than 1 ms
}

// String is what a person reads: the parts of at least half a percent, the largest first, as in "62% io · 38% cpu".
func (s Split) String() string {
	var text []string
	for _, p := range s.Parts {
		if p.Share >= 0.005 {
			text = append(text, fmt.Sprintf("%.0f%% %s", 100*p.Share, p.Name))
		}
	}
	return strings.Join(text, " · ")
}

// Part is one share of the time of requests.
type Part struct {
	Name  string  `json:"name"`  // one of Names
	Share float64 `json:"share"` // of 1
}

// The names of the parts, as JSON and metrics have them.
const (
	Queue     = "queue"     // waiting for a thread
	CPU       = "cpu"       // running Go code or in the kernel, less the collector's part
	Scheduler = "scheduler" // runnable, waiting for the Go scheduler: the counterpart of waiting for Ruby's GVL
	RunQueue  = "run_queue" // the thread of the operating system was runnable and waited for a CPU
	GC        = "gc"        // the garbage collector
	IO        = "io"        // the rest: waiting for the network, a disk, a timer or a lock
)

// Names are the parts in the order in which legends and metrics show them.
var Names = [...]string{Queue, CPU, Scheduler, RunQueue, GC, IO}

var hints = map[string]string{
	Queue:     "requests wait longest for a thread: more threads if they do io, more workers or CPUs if they compute",
	Scheduler: "requests wait longest for the Go scheduler: more workers or more CPUs, not more threads",
	RunQueue:  "requests wait longest for a CPU: more CPUs or less beside the workers, not more workers; if the cgroup is throttled, a larger quota",
	GC:        "the garbage collector takes longest: allocate less, or give it room (GOGC, GOMEMLIMIT)",
}
