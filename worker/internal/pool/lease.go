package pool

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// lease is the pool in which a connection's own goroutine takes a thread, runs the handler and gives the thread back.
// At most as many handlers run as there are threads; the others wait in order, up to depth of them, up to timeout long.
//
// The mutex orders takers of this process and guards the queue: who gives a thread back either hands it to the first waiter
// or makes it free, never both, so no waiter is forgotten and no later request overtakes it.
type lease struct {
	cells []*scoreboard.Cell // those beyond bounds.Threads are given back, but no longer taken
	row   *scoreboard.Row
	clock scoreboard.Clock

	mu     sync.Mutex
	bounds Bounds
	queue  list.List // of *waiter
}

type waiter struct {
	thread chan int // capacity 1
	since  int64
}

func newLease(cells []*scoreboard.Cell, row *scoreboard.Row, clock scoreboard.Clock, b Bounds) *lease {
	return &lease{cells: cells, row: row, clock: clock, bounds: b}
}

func (p *lease) Take(ctx context.Context) (int, error) {
	p.mu.Lock()
	if p.queue.Len() == 0 {
		for i, c := range p.cells[:p.bounds.Threads] {
			if c.Take() {
				p.mu.Unlock()
				return i, nil
			}
		}
	}
	if p.queue.Len() >= p.bounds.Depth {
		p.mu.Unlock()
		return 0, ErrQueueFull
	}
	timeout := p.bounds.Timeout
	w := &waiter{thread: make(chan int, 1), since: p.clock.Now()}
	place := p.queue.PushBack(w)
	p.publish()
	p.mu.Unlock()
	return p.wait(ctx, w, place, timeout)
}

func (p *lease) wait(ctx context.Context, w *waiter, place *list.Element, timeout time.Duration) (int, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	var err error
	select {
	case thread := <-w.thread:
		return thread, nil
	case <-timer.C:
		err = ErrQueueTimeout
	case <-ctx.Done():
		err = ErrClientGone
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

func (p *lease) Give(thread int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queue.Len() == 0 || thread >= p.bounds.Threads {
		p.cells[thread].Give()
		return
	}
	p.handOver(thread)
}

// handOver gives a taken thread to the first waiter. It is called with the mutex held.
func (p *lease) handOver(thread int) {
	first := p.queue.Front()
	p.queue.Remove(first)
	p.publish()
	first.Value.(*waiter).thread <- thread
}

func (p *lease) SetBounds(b Bounds) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bounds = b
	for i, c := range p.cells[:b.Threads] { // new ones serve those who wait
		if p.queue.Len() == 0 {
			return
		}
		if c.Take() {
			p.handOver(i)
		}
	}
}

func (p *lease) Inline() bool { return true }

func (p *lease) Run(_ int, f func()) { f() }

func (p *lease) Cell(thread int) *scoreboard.Cell { return p.cells[thread] }

// publish tells the scoreboard who waits. It is called with the mutex held.
func (p *lease) publish() {
	p.row.Waiting.Store(int64(p.queue.Len()))
	oldest := int64(0)
	if first := p.queue.Front(); first != nil {
		oldest = first.Value.(*waiter).since
	}
	p.row.OldestWaiting.Store(oldest)
}

func (p *lease) Pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
}
