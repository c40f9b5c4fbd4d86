// Package pool decides when a request gets a thread, and where its handler runs.
//
// Invariant: at most as many handlers run as there are threads; the others wait in the order in which they came, a bounded
// number of them for a bounded time. Which threads are taken stands in the scoreboard's cells and nowhere else.
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

// Pool is what an engine asks for threads.
type Pool interface {
	// Take waits for a thread and returns its number, for the caller to Give back, or one of the errors above. The request
	// stands in line since it became readable (CLOCK_MONOTONIC, nanoseconds; 0: now), and its timeout counts from there.
	Take(ctx context.Context, since int64) (thread int, err error)
	// Give makes the thread free, or hands it to the request that has waited longest. idle says that it is free and nobody
	// waits. A handler may still run on it: one that has taken its connection over.
	Give(thread int) (idle bool)
	// Inline says that handlers run on the goroutine that took the thread: Run would only call.
	Inline() bool
	// Run runs f on the thread and returns when f has. A panic of f is one of Run.
	Run(thread int, f func())
	// Cell is the thread's place in the scoreboard.
	Cell(thread int) *scoreboard.Cell
	// SetBounds changes how many threads there are, how many requests may wait for one, and how long, for those that come
	// from now on.
	SetBounds(Bounds)
	// Pass returns once the dispatcher has had its turn: the heartbeat goes through it, to show that requests can.
	Pass()
}

// Bounds of a pool.
type Bounds struct {
	Threads int           // at most as many as there are cells
	Depth   int           // requests that may wait
	Timeout time.Duration // how long one may
}

// Kind says which pool it is to be.
type Kind struct {
	Name      string        // lease or queue; empty: lease
	OSThreads bool          // of queue: each thread is locked to an OS thread
	BusyPoll  time.Duration // of queue: a thread looks for its next request for so long before it parks
}

// New makes a pool of a kind.
func New(k Kind, cells []*scoreboard.Cell, row *scoreboard.Row, clock scoreboard.Clock, b Bounds) (Pool, error) {
	switch k.Name {
	case "", "lease":
		return newLease(cells, row, clock, b), nil
	case "queue":
		return newQueue(k, newLease(cells, row, clock, b)), nil
	}
	return nil, fmt.Errorf("this program knows no pool %q: it is older than the cluster that starts it", k.Name)
}
