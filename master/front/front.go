// Package front supervises the front of --dispatch passed and copied: when it is started, told to leave, and killed.
//
// Invariant: these are pure functions of state, event and time. There is one front, and never two at a time: what waits for it waits in
// the master's listeners.
package front

import "time"

// State of the front.
type State int

// The states.
const (
	Down     State = iota // there is none; one is started when the backoff is over
	Starting              // started, not ready yet
	Serving
	Leaving // told to leave
	Killed  // it will be gone in a moment
	Gone    // there is none and will be none: the cluster stops
	states  = iota
)

func (s State) String() string {
	return [states]string{"waiting", "starting", "ready", "draining", "killed", "gone"}[s]
}

// Do is what is to be done.
type Do int

// What can be to do.
const (
	Nothing   Do = iota
	Start        // and tell Started or Failed
	Terminate    // SIGTERM
	Kill         // SIGKILL
)

// What is waited for that is no setting.
const (
	healthyAfter = 10 * time.Second // so long ready, and earlier failures are forgotten
	backoffBase  = 100 * time.Millisecond
	backoffCap   = 30 * time.Second
	bootAttempts = 3               // exits before any was ready, after which a start has failed
	grace        = 2 * time.Second // after the drain timeout, at which it leaves by itself
)

// Front is what is known of it. A nil one is that of a cluster without a front: nothing waits for it.
type Front struct {
	State    State
	PID      int       // 0: there is none
	Since    time.Time // of the state
	Spawned  time.Time
	Starts   int // attempts included
	failures int // in a row
	proven   bool
	stopping bool
	until    time.Time // of Down: not before
}

// Serves says whether clients are served.
func (f *Front) Serves() bool { return f == nil || f.State == Serving }

// Gone says whether there is none, and will be none.
func (f *Front) Gone() bool { return f == nil || f.State == Gone }

// Hopeless says whether the first ones have all ended before they were ready.
func (f *Front) Hopeless() bool { return f != nil && !f.proven && f.failures >= bootAttempts }

// Stop makes leaving what is wanted.
func (f *Front) Stop() {
	if f != nil {
		f.stopping = true
	}
}

// Next says what is to be done now, and when to ask again if nothing happens before; the zero time: never. What it says counts as
// done; after Start comes Started or Failed. boot and drain are the timeouts that workers have, too.
func (f *Front) Next(now time.Time, boot, drain time.Duration) (Do, time.Time) {
	if f == nil {
		return Nothing, time.Time{}
	}
	var late time.Time
	switch {
	case f.State == Down && f.stopping:
		f.turn(Gone, now)
		return Nothing, time.Time{}
	case f.State == Down && now.Before(f.until):
		return Nothing, f.until
	case f.State == Down:
		return Start, time.Time{}
	case f.stopping && (f.State == Starting || f.State == Serving):
		f.turn(Leaving, now)
		return Terminate, f.Since.Add(drain + grace)
	case f.State == Starting:
		late = f.Since.Add(boot)
	case f.State == Leaving:
		late = f.Since.Add(drain + grace)
	default:
		return Nothing, time.Time{}
	}
	if now.Before(late) {
		return Nothing, late
	}
	f.turn(Killed, now)
	return Kill, time.Time{}
}

// Force says whether there is one to be killed at once.
func (f *Front) Force(now time.Time) Do {
	f.Stop()
	if f == nil || f.PID == 0 || f.State == Killed {
		return Nothing
	}
	f.turn(Killed, now)
	return Kill
}

// Started notes the process that was started.
func (f *Front) Started(pid int, now time.Time) {
	f.PID, f.Spawned = pid, now
	f.Starts++
	f.turn(Starting, now)
}

// Failed notes that none could be started.
func (f *Front) Failed(now time.Time) {
	f.Starts++
	f.fall(now)
}

// Ready notes that a process accepts. It is false if that is not the front any more, or is told to leave.
func (f *Front) Ready(pid int, now time.Time) bool {
	if f == nil || f.PID != pid || f.State != Starting {
		return false
	}
	f.proven = true
	f.turn(Serving, now)
	return true
}

// Exited notes that a process has ended. It is false if that was not the front.
func (f *Front) Exited(pid int, now time.Time) bool {
	if f == nil || f.PID == 0 || f.PID != pid {
		return false
	}
	f.PID = 0
	if f.State == Serving && now.Sub(f.Since) >= healthyAfter {
		f.failures = 0
	}
	f.fall(now)
	return true
}

// fall waits before the next start: not at all after the first failure in a row, then 100 ms doubling up to 30 s.
func (f *Front) fall(now time.Time) {
	f.failures++
	f.until = now
	if f.failures > 1 {
		f.until = now.Add(min(backoffBase<<min(f.failures-2, 20), backoffCap))
	}
	f.turn(Down, now)
	if f.stopping {
		f.turn(Gone, now)
	}
}

func (f *Front) turn(to State, now time.Time) { f.State, f.Since = to, now }
