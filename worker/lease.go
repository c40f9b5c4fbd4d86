package worker

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// Why a request got no thread.
var (
	errQueueFull    = errors.New("too many requests wait for a thread")
	errQueueTimeout = errors.New("no thread was free in time")
	errClientGone   = errors.New("the client left while its request waited")
)

// lease is the pool in which a connection's own goroutine takes a thread, runs the handler and gives the thread back.
// At most as many handlers run as there are threads; the others wait in order, up to depth of them, up to timeout long.
//
// Which threads are taken stands in the scoreboard's cells and nowhere else. The mutex orders takers of this process and
// guards the queue: who gives a thread back either hands it to the first waiter or makes it free, never both, so no
// waiter is forgotten and no later request overtakes it.
type lease struct {
	cells   []*scoreboard.Cell
	row     *scoreboard.Row
	clock   scoreboard.Clock
	depth   int
	timeout time.Duration

	mu    sync.Mutex
	queue list.List // of *waiter
}

type waiter struct {
	thread chan int // capacity 1
	since  int64
}

func newLease(cells []*scoreboard.Cell, row *scoreboard.Row, clock scoreboard.Clock, depth int, timeout time.Duration) *lease {
	return &lease{cells: cells, row: row, clock: clock, depth: depth, timeout: timeout}
}

// take returns a thread, 0 ≤ thread < len(cells), for the caller to give back.
func (p *lease) take(ctx context.Context) (int, error) {
	p.mu.Lock()
	if p.queue.Len() == 0 {
		for i, c := range p.cells {
			if c.Take() {
				p.mu.Unlock()
				return i, nil
			}
		}
	}
	if p.queue.Len() >= p.depth {
		p.mu.Unlock()
		return 0, errQueueFull
	}
	w := &waiter{thread: make(chan int, 1), since: p.clock.Now()}
	place := p.queue.PushBack(w)
	p.publish()
	p.mu.Unlock()
	return p.wait(ctx, w, place)
}

func (p *lease) wait(ctx context.Context, w *waiter, place *list.Element) (int, error) {
	timer := time.NewTimer(p.timeout)
	defer timer.Stop()
	var err error
	select {
	case thread := <-w.thread:
		return thread, nil
	case <-timer.C:
		err = errQueueTimeout
	case <-ctx.Done():
		err = errClientGone
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case thread := <-w.thread: // it was handed over in the same moment
		return thread, nil
	default:
	}
	p.queue.Remove(place)
	p.publish()
	return 0, err
}

// give makes the thread free, or hands it to the request that has waited longest.
func (p *lease) give(thread int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.queue.Front()
	if first == nil {
		p.cells[thread].Give()
		return
	}
	p.queue.Remove(first)
	p.publish()
	first.Value.(*waiter).thread <- thread
}

// publish tells the scoreboard who waits. It is called with the mutex held.
func (p *lease) publish() {
	p.row.Waiting.Store(int64(p.queue.Len()))
	oldest := int64(0)
	if first := p.queue.Front(); first != nil {
		oldest = first.Value.(*waiter).since
	}
	p.row.OldestWaiting.Store(oldest)
}

// pass returns once the dispatcher has had its turn: the heartbeat goes through it, to show that requests can.
func (p *lease) pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
}
