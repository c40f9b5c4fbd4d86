// Package proc reads what processes use: CPU, waiting for it, memory. Linux only; elsewhere every call is an error.
package proc

import "time"

// Usage is what processes have used since they began. The difference of two readings is what happened between.
type Usage struct {
	CPU         time.Duration `json:"cpu_ns"`                 // clock_getcpuclockid(3) of those alive, and what their children that have ended took (10 ms steps)
	RunQueue    time.Duration `json:"run_queue_ns,omitempty"` // threads ready to run and waiting for a CPU: the sum over /proc/PID/task/*/schedstat
	Voluntary   int64         `json:"voluntary_switches"`
	Involuntary int64         `json:"involuntary_switches"`
	Faults      int64         `json:"minor_faults"`
	Note        string        `json:"note,omitempty"` // what this machine does not tell
}

// Memory of processes in bytes, in sum, from /proc/PID/smaps_rollup.
type Memory struct {
	Processes int    `json:"processes"`
	Threads   int    `json:"os_threads"`
	RSS       int64  `json:"rss"`
	PSS       int64  `json:"pss"`
	Anonymous int64  `json:"anonymous"`
	Shared    int64  `json:"shared"`         // clean and dirty
	Private   int64  `json:"private"`        // clean and dirty
	Note      string `json:"note,omitempty"` // without smaps_rollup: only RSS is known
}
