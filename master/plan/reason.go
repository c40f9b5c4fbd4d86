package plan

// Reason is why a worker left its seat or a restart went back: one enum for log, status and metrics.
type Reason int

// The reasons.
const (
	NoReason        Reason = iota
	BootTimeout            // it was not ready in time
	BootExit               // it exited, could not be started, or shared no protocol, before it was ready
	Crash                  // it exited while it was ready
	Signal                 // a signal killed it, or somebody told it to leave
	OOM                    // the kernel killed it for its memory
	Heartbeat              // it was silent for too long
	RequestStuck           // renewed: each of its threads was stuck in a request
	DrainTimeout           // it did not leave in time
	RecycleRequests        // renewed: it had answered enough requests
	RecycleAge             // renewed: it was old enough
	RecycleMemory          // renewed: it, or all together, had too much memory
	Restart                // replaced by a newer generation, or renewed because an operator asked for it
	Rollback               // replaced by the generation before
	Scale                  // its slot was removed
	Stop                   // the cluster stops
	reasons         = iota
)

func (r Reason) String() string {
	return [reasons]string{
		"", "boot_timeout", "boot_exit", "crash", "signal", "oom", "heartbeat", "request_stuck", "drain_timeout",
		"recycle_requests", "recycle_age", "recycle_memory", "restart", "rollback", "scale", "stop",
	}[r]
}

// Reasons are all of them, for series that must exist from the start.
func Reasons() []Reason {
	all := make([]Reason, 0, reasons-1)
	for r := NoReason + 1; r < reasons; r++ {
		all = append(all, r)
	}
	return all
}

// Failure reports whether a worker that left for this reason counts against its slot and its generation.
func (r Reason) Failure() bool {
	switch r {
	case BootTimeout, BootExit, Crash, Signal, OOM, Heartbeat:
		return true
	}
	return false
}
