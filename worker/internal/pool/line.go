package pool

import (
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// Line is a Pool whose requests may also run in a sibling: a process with free threads of its own
// (docs/adr/0010-handoff.md).
type Line interface {
	Taker
	// TryTake takes a thread if one is free and nobody waits.
	TryTake() (thread int, ok bool)
	// Enter puts a request that can be passed on in line, since it became readable. It is to Wait.
	Enter(since int64) (*Waiting, error)
	// Send gives the movable request that has waited longest its place in a sibling. It is false if there is none.
	Send(Place) bool
	// Claim takes a thread that is reserved, for the request that came with the reservation.
	Claim(thread int, r scoreboard.Reservation) bool
	// Expire ends reservations that are too old.
	Expire()
	// Look has f called from time to time while a request waits that can be passed on, to look for threads of siblings.
	Look(f func())
}

// Place is where a request is to run: on a thread of this process, or on one that a sibling keeps for it.
type Place struct {
	Thread      int
	Seat        int // of the sibling; means nothing without a reservation
	Reservation scoreboard.Reservation
	Hinted      bool // the sibling has asked for a request
}

// Elsewhere says that it is a thread of a sibling.
func (p Place) Elsewhere() bool { return p.Reservation != 0 }

// Waiting is a request in line that can be passed on.
type Waiting struct {
	pool   *lease
	waiter *waiter
}

func (p *lease) Enter(since int64) (*Waiting, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, err := p.lineUp(since, true)
	if err != nil {
		return nil, err
	}
	return &Waiting{pool: p, waiter: w}, nil
}

// Wait waits for a place. The error is ErrQueueTimeout.
func (w *Waiting) Wait() (Place, error) { return w.pool.wait(nil, w.waiter) }

func (p *lease) Send(to Place) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.firstMovable()
	if first == nil {
		return false
	}
	p.leave(first)
	first.place <- to
	return true
}

// firstMovable is called with the mutex held, as the next two are.
func (p *lease) firstMovable() *waiter {
	if p.movable == 0 {
		return nil
	}
	at := p.queue.Front()
	for !at.Value.(*waiter).movable {
		at = at.Next()
	}
	return at.Value.(*waiter)
}

func (p *lease) publishMovable() {
	oldest := int64(0)
	if first := p.firstMovable(); first != nil {
		oldest = first.since
	}
	if p.row.Handoff.OldestMovable.Load() != oldest { // siblings read it all the time: a store takes it out of their caches
		p.row.Handoff.OldestMovable.Store(oldest)
	}
}

// lookAfter is how long nobody may wait for a thread that is free. Hints can be lost between three workers, and a thread that a
// sibling has reserved may become free without anybody being told (internal/handoffmodel).
const lookAfter = 10 * time.Millisecond

func (p *lease) Look(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.look = f
}

// lookLater is called with the mutex held.
func (p *lease) lookLater() {
	if p.looking || p.queue.Len() == 0 || p.movable == 0 && !p.doubtful() {
		return
	}
	p.looking = true
	time.AfterFunc(lookAfter, p.lookAgain)
}

// doubtful says whether a sibling keeps a thread, which may never be used, or has just given it back. Those that run are handed over.
func (p *lease) doubtful() bool {
	for _, c := range p.cells[:p.bounds.Threads] {
		if !c.Running() {
			return true
		}
	}
	return false
}

func (p *lease) lookAgain() {
	p.Expire()
	p.mu.Lock()
	p.looking = false
	p.serveWaiting()
	p.lookLater()
	look, movable := p.look, p.movable
	p.mu.Unlock()
	if movable > 0 && look != nil {
		look()
	}
}

func (p *lease) Claim(thread int, r scoreboard.Reservation) bool {
	return thread < len(p.cells) && p.cells[thread].Claim(r)
}

func (p *lease) Expire() {
	now := p.clock.Now()
	for _, c := range p.cells {
		if c.Expire(now) {
			p.row.Handoff.Expired.Add(1)
		}
	}
}
