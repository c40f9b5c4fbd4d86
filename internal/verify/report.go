package verify

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Fate is what became of one request, or of a connection between two.
type Fate int

const (
	Right       Fate = iota // the answer that was due, byte for byte
	Left                    // the client left before the answer or within it, as it had meant to
	Closing                 // of a connection: an answer ended it although the client wanted to keep it
	ClosedIdle              // of a connection: closed or reset before the first byte of the next request was written
	Dismissed               // written in one go behind a request whose answer ended the connection, and not answered
	Refused                 // no connection came about
	Unanswered              // closed or reset after the first byte of the request was written, before one of the answer
	Truncated               // closed or reset within the answer, or reset instead of closed after the last one
	TimedOut                // not over in time
	Unavailable             // answered with a status of 500 or more
	Wrong                   // an answer, but not the one that was due; bytes that are too many
	Foreign                 // the answer of another client
	fates                   // how many there are
)

var fateNames = [fates]string{
	Right: "right", Left: "left", Closing: "closing", ClosedIdle: "closed idle", Dismissed: "dismissed", Refused: "refused", Unanswered: "unanswered",
	Truncated: "truncated", TimedOut: "timed out", Unavailable: "unavailable", Wrong: "wrong", Foreign: "foreign",
}

func (f Fate) String() string {
	if f < 0 || f >= fates {
		return fmt.Sprintf("fate %d", int(f))
	}
	return fateNames[f]
}

// aboutConnection says that no request is concerned.
func (f Fate) aboutConnection() bool { return f == Closing || f == ClosedIdle }

// severed says that the connection ended without an announcement.
func (f Fate) severed() bool { return f == ClosedIdle || f == Unanswered || f == Truncated }

const maxListed = 20

// Fault is one request or connection that did not fare as a client wishes.
type Fault struct {
	Fate   Fate
	ID     string // of the request: client, connection and request number, in hexadecimal; that of its predecessor if the connection was idle
	Port   int    // the client's own; 0 if there was no connection
	PID    int    // of the worker that gave the last answer on the connection; 0 if there was none
	Doing  string // what the client was about
	When   time.Time
	Lasted time.Duration // since the request was begun
	Err    error
}

func (f Fault) String() string {
	return fmt.Sprintf("%s %s: %s, request %s, port %d, last answer by %d, after %s: %v",
		f.When.Format("15:04:05.000000"), f.Fate, f.Doing, f.ID, f.Port, f.PID, f.Lasted.Round(10*time.Microsecond), f.Err)
}

// Report is what became of everything.
type Report struct {
	Requests int64        // begun; the sum of Counts without Closing and ClosedIdle
	Opened   int64        // connections
	Moved    int64        // times that two answers in a row on one connection came from different workers
	Counts   [fates]int64 // by Fate

	Severed   int64         // connections that ended without an announcement, each once
	SeveredBy map[int]int64 // of them, by the pid of the last answer on it; 0: it had none

	Splits map[string]Splits // where requests were split, by kind of request
	Faults []Fault           // the first 20 that are not Right or Left, in the order in which they ended
}

// Splits is how many of the places in a request it was split at: at each at least once if both are the same.
type Splits struct{ Seen, Places int }

// Closes is what a client that does not mind a new connection does not notice: those which the server ended in order.
func (r *Report) Closes() int64 {
	return r.Counts[Closing] + r.Counts[ClosedIdle] + r.Counts[Dismissed]
}

// Losses is the requests without an answer, although the connection was not known to end.
func (r *Report) Losses() int64 {
	return r.Counts[Refused] + r.Counts[Unanswered] + r.Counts[Truncated] + r.Counts[TimedOut] + r.Counts[Unavailable]
}

// Wrongs is the answers that were not those which were due.
func (r *Report) Wrongs() int64 { return r.Counts[Wrong] + r.Counts[Foreign] }

// Merge adds what other clients saw, but for where they split requests.
func (r *Report) Merge(other *Report) {
	r.Requests += other.Requests
	r.Opened += other.Opened
	r.Moved += other.Moved
	for fate, n := range other.Counts {
		r.Counts[fate] += n
	}
	r.Severed += other.Severed
	for pid, n := range other.SeveredBy {
		r.severedBy(pid, n)
	}
	r.Faults = append(r.Faults, other.Faults...)
	slices.SortStableFunc(r.Faults, func(a, b Fault) int { return a.When.Compare(b.When) })
	r.Faults = r.Faults[:min(len(r.Faults), maxListed)]
}

func (r *Report) severedBy(pid int, n int64) {
	if r.SeveredBy == nil {
		r.SeveredBy = map[int]int64{}
	}
	r.SeveredBy[pid] += n
}

// add counts a fate.
func (r *Report) add(f Fault) {
	r.Counts[f.Fate]++
	if !f.Fate.aboutConnection() {
		r.Requests++
	}
	if f.Fate != Right && f.Fate != Left && len(r.Faults) < maxListed {
		r.Faults = append(r.Faults, f)
	}
}

// String is the counts on one line, where requests were split on another, then one line for each listed fault.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests on %d connections, which changed workers %d times", r.Requests, r.Opened, r.Moved)
	separator := ": "
	for fate, n := range r.Counts {
		if n != 0 {
			fmt.Fprintf(&b, "%s%s %d", separator, Fate(fate), n)
			separator = ", "
		}
	}
	if r.Severed != 0 {
		fmt.Fprintf(&b, "; %d connections severed", r.Severed)
	}
	for i, kind := range slices.Sorted(maps.Keys(r.Splits)) {
		lead := ", "
		if i == 0 {
			lead = "\n  split at "
		}
		fmt.Fprintf(&b, "%s%d of %d places of a %s", lead, r.Splits[kind].Seen, r.Splits[kind].Places, kind)
	}
	for _, fault := range r.Faults {
		b.WriteString("\n  " + fault.String())
	}
	return b.String()
}
