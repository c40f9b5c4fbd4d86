package scoreboard

import (
	"sync/atomic"
	"time"
)

// Classes of answers, as in class="2xx".
const Classes = 5

// States of a worker as it sees itself.
const (
	StateBoot     = 0
	StateReady    = 1
	StateDraining = 2
)

// Row is what one seat tells. Times are nanoseconds of CLOCK_MONOTONIC, so that processes can compare them; durations are
// nanoseconds. New fields are appended.
type Row struct {
	// Gauges: they speak of the worker in the seat and become zero when it has exited.
	Epoch         atomic.Int64 // rises when a worker has left the seat
	PID           atomic.Int64
	Generation    atomic.Int64
	State         atomic.Int64
	Heartbeat     atomic.Int64 // when the worker last showed that Go code runs and requests are dispatched
	Open          atomic.Int64 // connections
	Waiting       atomic.Int64 // requests that wait for a thread
	OldestWaiting atomic.Int64 // since when the oldest of them waits; 0 if none
	Heap          atomic.Int64 // bytes of live and not yet swept objects
	Goroutines    atomic.Int64

	// Counters: they belong to the seat and outlive processes.
	Accepted   atomic.Int64          // connections taken from a listener
	Requests   [Classes]atomic.Int64 // answers begun, by class; refused by the pool count as 5xx; hijacked as 1xx
	Refused    atomic.Int64          // of the 5xx: requests that found no thread in time
	Panics     atomic.Int64          // handlers that panicked
	CPU        atomic.Int64          // CPU time of the process, user and system
	GCCPU      atomic.Int64          // of it, spent by the garbage collector (an estimate of the Go runtime)
	Duration   Histogram             // from taking a thread to the handler's return
	Wait       Histogram             // from the request being readable to taking a thread
	Sched      Histogram             // time runnable goroutines waited for a CPU (every 8th is sampled by the Go runtime)
	Accepting  atomic.Int64          // a gauge: connections that are being taken from a listener and do not count as open yet
	LogDropped atomic.Int64          // log lines of the worker that nobody took in time
	Handoff    Handoff
	GCIdle     atomic.Int64    // of GCCPU: on CPUs of the process that had nothing else to do
	Detached   atomic.Int64    // of Duration: handlers that had no thread any more when they returned, as after Hijack.
	TimedOut   atomic.Int64    // of the 5xx: requests that were answered 504 because their handlers took too long
	_          [7]atomic.Int64 // room, so that the next field does not share a line with another seat's row
}

// Handoff is what a worker tells of connections that were passed on.
type Handoff struct {
	Takes         atomic.Int64        // a gauge: the version of the packets that the worker takes from its inbox; 0: none
	OldestMovable atomic.Int64        // a gauge: since when the oldest request waits that a sibling could run; 0 if none
	Moved         [Moves]atomic.Int64 // connections passed on to siblings
	Received      atomic.Int64        // connections that siblings have passed on to this worker
	Stayed        [Stays]atomic.Int64 // times that a connection was to be passed on and was not
	Conflicts     atomic.Int64        // times that a thread of a sibling was found free and could not be reserved
	Expired       atomic.Int64        // reservations of this worker's threads that ended without their connection
}

// Why a connection was passed on.
const (
	MovedPushed  = iota // a thread of a sibling was free, and none here
	MovedHinted         // the same, after the sibling had said so
	MovedDrained        // this worker is leaving
	Moves
)

// Why a connection was not passed on.
const (
	StayedTLS        = iota // what is encrypted has state in this process
	StayedHTTP2             // so has HTTP/2
	StayedHijacked          // the application has taken it over
	StayedBuffered          // bytes of the request are in this process: pipelined, a body, a PROXY header
	StayedIncomplete        // the head of the request is not complete
	StayedFull              // the sibling's inbox is full
	StayedNoTarget          // no sibling has a free thread
	Stays
)

// Answer counts an answer begun. Status codes outside 100..599 count as 5xx: the handler is wrong.
func (r *Row) Answer(status int) {
	class := status/100 - 1
	if class < 0 || class >= Classes {
		class = Classes - 1
	}
	r.Requests[class].Add(1)
}

// Total is the number of answers of all classes.
func (r *Row) Total() int64 {
	var n int64
	for i := range r.Requests {
		n += r.Requests[i].Load()
	}
	return n
}

// Clock gives nanoseconds of CLOCK_MONOTONIC without a system call: Go's monotonic clock is the same clock, read through
// the vDSO, and only its zero is hidden.
type Clock struct {
	base   time.Time
	offset int64
}

// NewClock reads the offset between the two zeros once.
func NewClock() Clock {
	return Clock{offset: monotonic(), base: time.Now()}
}

// Now is CLOCK_MONOTONIC in nanoseconds.
func (c Clock) Now() int64 { return c.offset + int64(time.Since(c.base)) }

// At converts a time that carries a monotonic reading; it reads no clock.
func (c Clock) At(t time.Time) int64 { return c.offset + int64(t.Sub(c.base)) }

// Time converts back.
func (c Clock) Time(ns int64) time.Time { return c.base.Add(time.Duration(ns - c.offset)) }
