package plan

// Reason is why a worker left its seat or a restart went back: one enum for log, status and metrics.
type Reason int

// The reasons. Those for recycling and stuck requests are counted once the settings exist.
const (
	NoReason     Reason = iota
	BootTimeout         // it was not ready in time
	BootExit            // it exited, could not be started, or shared no protocol, before it was ready
	Crash               // it exited while it was ready
	Signal              // a signal killed it, or somebody told it to leave
	OOM                 // the kernel killed it for its memory
	Heartbeat           // it was silent for too long
	DrainTimeout        // it did not leave in time
	Restart             // replaced by a newer generation
	Rollback            // replaced by the generation before
	Scale               // its slot was removed
	Stop                // the cluster stops
	reasons      = iota
)

func (r Reason) String() string {
	return [reasons]string{"", "boot_timeout", "boot_exit", "crash", "signal", "oom", "heartbeat", "drain_timeout", "restart", "rollback", "scale", "stop"}[r]
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
