// Package pool decides when a request gets a thread, and where its handler runs.
//
// Invariant: at most as many handlers run as there are threads; the others wait in the order in which they came, a bounded
// number of them for a bounded time. Which threads are taken stands in the scoreboard's cells and nowhere else. Two pools,
// which are for measuring only, differ: lanes keeps the order within a lane only, and unbounded has no bound
// (docs/pools.md).
package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// Why a request got no thread.
var (
	ErrQueueFull    = errors.New("too many requests wait for a thread")
	ErrQueueTimeout = errors.New("no thread was free in time")
	ErrClientGone   = errors.New("the client left while its request waited")
)

// Pool has the threads of a process. Each is a Taker or a Runner or, if requests can have a thread before they are known,
// both.
type Pool interface {
	// Give makes the thread free, or lets a request have it that waits. idle says that it is free and nobody waits. A handler
	// may still run on it: one that has taken its connection over.
	Give(thread int) (idle bool)
	// Cell is the thread's place in the scoreboard.
	Cell(thread int) *scoreboard.Cell
	// SetBounds changes how many threads there are, how many requests may wait for one, and how long, for those that come
	// from now on.
	SetBounds(Bounds)
	// Pass returns once the dispatcher has had its turn: the heartbeat goes through it, to show that requests can.
	Pass()
}

// Taker is a Pool of which a request takes a thread.
type Taker interface {
	Pool
	// Take waits for a thread and returns its number, for the caller to Give back, or one of the errors above. The request
	// stands in line since it became readable (CLOCK_MONOTONIC, nanoseconds; 0: now), and its timeout counts from there.
	Take(ctx context.Context, since int64) (thread int, err error)
}

// Runner is a Pool whose threads are goroutines, on which handlers run.
type Runner interface {
	Pool
	// Run runs f on the thread that the request has, or, if that is -1, waits for one as Take does and may fail as that does.
	// It returns when f has; a panic of f is one of Run, and runtime.Goexit ends the caller too. Whoever has called gives the
	// thread back, in f or later.
	Run(ctx context.Context, since int64, thread int, f func(thread int)) error
	// Goroutine is that of a thread, for the handler that runs on it.
	Goroutine(thread int) *Goroutine
}

// Bounds of a pool.
type Bounds struct {
	Threads int           // at most as many as there are cells
	Depth   int           // requests that may wait
	Timeout time.Duration // how long one may
}

// Kind says which pool it is to be.
type Kind struct {
	Name      string        // lease, queue, lanes or unbounded; empty: lease
	OSThreads bool          // of a Runner: each thread is locked to an OS thread
	BusyPoll  time.Duration // of a Runner: a thread looks for its next request for so long before it parks
	Batch     int           // of queue: requests that a thread takes at once; 0 is 1
}

// New makes a pool of a kind.
func New(k Kind, cells []*scoreboard.Cell, row *scoreboard.Row, clock scoreboard.Clock, b Bounds) (Pool, error) {
	switch k.Name {
	case "", "lease":
		return newLease(cells, row, clock, b), nil
	case "queue":
		return newQueue(k, newLease(cells, row, clock, b)), nil
	case "lanes":
		return newLanes(k, cells, row, clock, b), nil
	case "unbounded":
		return &unbounded{cells: cells}, nil
	}
	return nil, fmt.Errorf("this program knows no pool %q: it is older than the cluster that starts it", k.Name)
}
