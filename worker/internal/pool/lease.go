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

	mu      sync.Mutex
	bounds  Bounds
	queue   list.List // of *waiter, by since
	batches batches   // of pool queue
	movable int       // of those in the queue
	looking bool      // lookAgain will be called
	look    func()    // for threads of siblings
}

func newLease(cells []*scoreboard.Cell, row *scoreboard.Row, clock scoreboard.Clock, b Bounds) *lease {
	return &lease{cells: cells, row: row, clock: clock, bounds: b}
}

func (p *lease) Take(ctx context.Context, since int64) (int, error) {
	p.mu.Lock()
	if thread, ok := p.tryTake(); ok {
		p.mu.Unlock()
		return thread, nil
	}
	w, err := p.lineUp(since, false)
	p.mu.Unlock()
	if err != nil {
		return 0, err
	}
	given, err := p.wait(ctx.Done(), w)
	return given.Thread, err
}

func (p *lease) TryTake() (int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tryTake()
}

// tryTake is called with the mutex held, as the next two are.
func (p *lease) tryTake() (int, bool) {
	if p.queue.Len() > 0 {
		return 0, false
	}
	for i, c := range p.cells[:p.bounds.Threads] {
		if c.Take() {
			return i, true
		}
	}
	return 0, false
}

// lineUp puts a request behind those that have waited longer.
func (p *lease) lineUp(since int64, movable bool) (*waiter, error) {
	if p.inLine() >= p.bounds.Depth {
		return nil, ErrQueueFull
	}
	if since == 0 {
		since = p.clock.Now()
	}
	w := &waiter{place: make(chan Place, 1), since: since, deadline: since + int64(p.bounds.Timeout), movable: movable}
	w.stand(&p.queue)
	if movable {
		p.movable++
	}
	p.publish()
	p.serveWaiting() // a thread may have become free since the caller has looked: a sibling that had reserved it has given it back
	p.lookLater()
	return w, nil
}

// inLine is how many requests wait.
func (p *lease) inLine() int { return p.queue.Len() + p.batches.len }

// leave takes a request out of its line.
func (p *lease) leave(w *waiter) {
	p.batches.left(w.line, &p.queue)
	w.step()
	if w.movable {
		p.movable--
	}
	p.publish()
}

// wait waits for what a request in the queue is given.
func (p *lease) wait(gone <-chan struct{}, w *waiter) (Place, error) {
	timer := time.NewTimer(time.Duration(w.deadline - p.clock.Now()))
	defer timer.Stop()
	var err error
	select {
	case given := <-w.place:
		return given, nil
	case <-timer.C:
		err = ErrQueueTimeout
	case <-gone:
		err = ErrClientGone
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case given := <-w.place: // in the same moment
		return given, nil
	default:
	}
	p.leave(w)
	return Place{}, err
}

func (p *lease) Give(thread int) (idle bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if thread < p.bounds.Threads && p.handOver(thread) {
		return false
	}
	p.cells[thread].Give()
	return thread < p.bounds.Threads
}

// handOver gives a taken thread to the request that it is to run next. It is false if there is none. It is called with the
// mutex held.
func (p *lease) handOver(thread int) bool {
	w := head(p.batches.fill(thread, &p.queue))
	if w == nil {
		return false
	}
	p.leave(w)
	w.place <- Place{Thread: thread}
	return true
}

func (p *lease) SetBounds(b Bounds) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bounds = b
	p.batches.scatter(b.Threads, &p.queue)
	p.serveWaiting()
}

// serveWaiting hands free threads to those who wait. It is called with the mutex held.
func (p *lease) serveWaiting() {
	for i, c := range p.cells[:p.bounds.Threads] {
		if p.queue.Len() == 0 {
			return
		}
		if c.Take() {
			p.handOver(i)
		}
	}
}

func (p *lease) Cell(thread int) *scoreboard.Cell { return p.cells[thread] }

// publish tells the scoreboard who waits. It is called with the mutex held.
func (p *lease) publish() {
	p.row.Waiting.Store(int64(p.inLine()))
	p.row.OldestWaiting.Store(earlier(headSince(&p.queue), p.batches.since()))
	p.publishMovable()
}

func (p *lease) Pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
}
