// Package proc reads what processes use: CPU, waiting for it, memory. Linux only; elsewhere every call is an error.
//
// Invariant: CPU time is counted once. It is on the clock of a process until its parent has waited for it, and then in
// what the parent's ended children took; a reading during which a process moved from the one to the other is repeated.
package proc

import (
	"slices"
	"strings"
	"time"
)

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

// Process is one entry of the process table. PID and Start together name a process for ever; a PID alone is used again.
type Process struct {
	PID    int
	Parent int
	Group  int
	Start  uint64 // in clock ticks since the machine was booted
}

// Use is what one process has used, and what its children took that have ended and that it has waited for. Of those only
// CPU and Faults are known. Of threads that have ended neither RunQueue nor switches are; those of Own go back then.
type Use struct {
	PID    int
	Start  uint64 // as in Process
	Ended  bool   // and waited for: the rest is zero
	Own    Usage
	Reaped Usage
}

// Add is the sum of two usages.
func (u Usage) Add(v Usage) Usage {
	return Usage{
		CPU: u.CPU + v.CPU, RunQueue: u.RunQueue + v.RunQueue, Voluntary: u.Voluntary + v.Voluntary, Involuntary: u.Involuntary + v.Involuntary,
		Faults: u.Faults + v.Faults, Note: joined(u.Note, v.Note),
	}
}

// Processes lists every process that is alive. A zombie is not.
func Processes() ([]Process, error) {
	t, err := host()
	if err != nil {
		return nil, err
	}
	return t.processes()
}

// Tree lists root and all its descendants that are alive, root first. A process whose parent has ended is no descendant any more.
// It is an error if root has ended.
func Tree(root int) ([]int, error) {
	t, err := host()
	if err != nil {
		return nil, err
	}
	return t.tree(root)
}

// Each reads what processes have used, one by one, in the order given, as of one moment. A process that has ended has the
// zero Usage: what it used is in the Reaped of its parent, if that has waited for it.
func Each(pids ...int) ([]Use, error) {
	t, err := host()
	if err != nil {
		return nil, err
	}
	return t.each(pids), nil
}

// Measure reads what processes and their ended children have used, in sum. Of two readings that both have the parent of each
// process that ended between them, the later CPU is at most 10 ms less than the earlier; 20 ms if children had ended before
// the earlier one (user and system time are cut to 10 ms each).
func Measure(pids ...int) (Usage, error) {
	uses, err := Each(pids...)
	if err != nil {
		return Usage{}, err
	}
	var sum Usage
	for _, u := range uses {
		sum = sum.Add(u.Own).Add(u.Reaped)
	}
	return sum, nil
}

// MemoryOf reads the memory of processes, in sum. Processes that have ended are left out.
func MemoryOf(pids ...int) (Memory, error) {
	t, err := host()
	if err != nil {
		return Memory{}, err
	}
	return t.memory(pids), nil
}

// joined is two notes in one, with nothing said twice.
func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	all := append(strings.Split(a, separator), strings.Split(b, separator)...)
	slices.Sort(all)
	return strings.Join(slices.Compact(all), separator)
}

const separator = "; "
