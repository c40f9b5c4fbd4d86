package traffic

import (
	"fmt"
	"strings"
	"time"
)

// Outcome is what became of one request, or of one idle connection (ClosedIdle).
type Outcome int

const (
	OK         Outcome = iota // a whole answer with a status below 500
	Refused                   // no connection came about; nearly always refused, else the error says what
	Reset                     // reset after the request was begun, before an answer or after the whole of it
	Empty                     // closed after the request was begun, before any byte of an answer
	Truncated                 // closed or reset within an answer
	Timeout                   // Clients.Timeout passed, in connecting, before the answer or within it
	Error5xx                  // a whole answer with a status of 500 or more
	Garbled                   // not HTTP, more bytes than the answer has, or bytes that nobody asked for
	ClosedIdle                // an idle connection was closed before the request was begun; not a loss

	outcomes // how many there are
)

var outcomeNames = [outcomes]string{
	OK:         "ok",
	Refused:    "refused",
	Reset:      "reset",
	Empty:      "empty",
	Truncated:  "truncated",
	Timeout:    "timeout",
	Error5xx:   "5xx",
	Garbled:    "garbled",
	ClosedIdle: "closed_idle",
}

func (o Outcome) String() string {
	if o < 0 || o >= outcomes {
		return fmt.Sprintf("outcome %d", int(o))
	}
	return outcomeNames[o]
}

// Lost says whether a client that may not repeat its request would have noticed.
func (o Outcome) Lost() bool { return o != OK && o != ClosedIdle }

// Answer is one outcome with what is known about it. Fields that the outcome has no use for are zero.
type Answer struct {
	Outcome Outcome
	Status  int       // 0 if no head of an answer came
	Body    []byte    // its first 64 KiB
	Conn    int       // number of the connection among all that these clients opened, from 1; 0 if there was none
	Port    int       // the client's own port
	Request int       // number of the request on its connection, from 1
	First   bool      // whether it is the first on its connection
	Started time.Time // before connecting, if it was to be the first on its connection
	Ended   time.Time
	Err     error // why it is not OK; nil for a 5xx

	// From a body like that of /pid, {"pid":1,"slot":0,"generation":1}; PID is 0 for any other.
	PID, Slot, Generation int
}

// describe is the answer on one line, for a person who looks for the reason of a loss.
func (a Answer) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: ", a.Ended.Format("15:04:05.000000"), a.Outcome)
	if a.Conn == 0 {
		b.WriteString("no connection")
	} else {
		fmt.Fprintf(&b, "connection %d (port %d), request %d on it", a.Conn, a.Port, a.Request)
	}
	fmt.Fprintf(&b, ", after %s", a.Ended.Sub(a.Started).Round(10*time.Microsecond))
	if a.Status != 0 {
		fmt.Fprintf(&b, ", status %d", a.Status)
	}
	if a.Err != nil {
		fmt.Fprintf(&b, ": %v", a.Err)
	}
	return b.String()
}
