// Package handoff passes open connections on to sibling workers: whom to, on what reservation, and what they are there.
// docs/adr/0010-handoff.md has the protocol and its races.
package handoff

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/pool"
)

// freshFor: a worker whose heartbeat is older is given nothing.
const freshFor = 2 * time.Second

// Siblings are the other seats of the group.
type Siblings struct {
	board   *scoreboard.Board
	own     int // seat
	row     *scoreboard.Row
	clock   scoreboard.Clock
	threads func() int
	room    func() int

	nonce atomic.Uint64
	mu    sync.Mutex // for those who change it
	all   atomic.Pointer[[]sibling]
}

type sibling struct {
	seat int
	row  *scoreboard.Row
	send *ipc.FD
}

// New makes the siblings of the worker in a seat, of which threads tells how many threads each has, and room how many
// connections each may have open, as they are now.
func New(board *scoreboard.Board, seat int, clock scoreboard.Clock, threads, room func() int) *Siblings {
	s := &Siblings{board: board, own: seat, row: board.Row(seat), clock: clock, threads: threads, room: room}
	s.nonce.Store(rand.Uint64()) // a worker that sat here before may have left reservations
	s.all.Store(&[]sibling{})
	return s
}

// Add takes over the send end of the inbox of a seat. One that is there already is used, and this one closed.
func (s *Siblings) Add(seat int, send *ipc.FD) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := *s.all.Load()
	for _, x := range all {
		if x.seat == seat {
			send.Close()
			return
		}
	}
	if seat == s.own || seat >= 2*s.board.Slots() {
		send.Close()
		return
	}
	grown := append(append([]sibling(nil), all...), sibling{seat: seat, row: s.board.Row(seat), send: send})
	s.all.Store(&grown)
}

// Len is how many there are: each takes a descriptor.
func (s *Siblings) Len() int { return len(*s.all.Load()) }

// Reserve keeps a free thread for a connection, in the sibling that has the fewest open. ok is false if there is none.
func (s *Siblings) Reserve() (to pool.Place, ok bool) {
	for {
		now := s.clock.Now()
		best, thread := s.choose(now)
		if best == nil {
			return pool.Place{}, false
		}
		epoch := best.row.Epoch.Load()
		r, ok := s.board.Cell(best.seat, thread).Reserve(s.own, now, s.nonce.Add(1))
		if !ok {
			s.row.Handoff.Conflicts.Add(1)
			continue // somebody has got it: each time around a thread less is free
		}
		to = pool.Place{Thread: thread, Seat: best.seat, Reservation: r}
		if s.ready(best, now) && best.row.Epoch.Load() == epoch {
			return to, true
		}
		s.Withdraw(to)
	}
}

// choose begins anywhere, so that not everybody prefers the same of equal ones.
func (s *Siblings) choose(now int64) (best *sibling, thread int) {
	all := *s.all.Load()
	threads, fewest := s.threads(), int64(s.room())
	if len(all) == 0 {
		return nil, 0
	}
	first := rand.IntN(len(all))
	for i := range all {
		x := &all[(first+i)%len(all)]
		open := x.row.Open.Load()
		if open >= fewest || !s.ready(x, now) {
			continue
		}
		if free := s.free(x.seat, threads); free >= 0 {
			best, thread, fewest = x, free, open
		}
	}
	return best, thread
}

func (s *Siblings) free(seat, threads int) int {
	for i := range threads {
		if s.board.Cell(seat, i).Free() {
			return i
		}
	}
	return -1
}

// ready says whether the worker in the seat takes connections.
func (s *Siblings) ready(x *sibling, now int64) bool {
	return x.row.State.Load() == scoreboard.StateReady && x.row.Handoff.Takes.Load() == inbox.Version && s.fresh(x, now)
}

func (s *Siblings) fresh(x *sibling, now int64) bool {
	return now-x.row.Heartbeat.Load() < int64(freshFor)
}

// Withdraw gives a thread back that was reserved.
func (s *Siblings) Withdraw(to pool.Place) { s.board.Cell(to.Seat, to.Thread).Withdraw(to.Reservation) }

// Send passes a connection on to the worker in a seat. Its descriptor stays the caller's; after an error the
// connection does, too.
func (s *Siblings) Send(seat int, p *inbox.Packet, connection int) error {
	for _, x := range *s.all.Load() {
		if x.seat == seat {
			p.Kind, p.Sender = inbox.Connection, s.own
			return inbox.Send(x.send.Int(), p, connection)
		}
	}
	return inbox.ErrFull
}

// Successors calls try with the seats of ready siblings, the other one of this slot first and then those with the fewest open
// connections, until it is true. It is false if there is none, or none was good enough.
func (s *Siblings) Successors(try func(seat int) bool) bool {
	now := s.clock.Now()
	tried := map[int]bool{}
	for {
		next := s.successor(now, tried)
		if next < 0 {
			return false
		}
		if try(next) {
			return true
		}
		tried[next] = true
	}
}

func (s *Siblings) successor(now int64, but map[int]bool) int {
	seat, fewest := -1, int64(s.room())
	all := *s.all.Load()
	for i := range all {
		x := &all[i]
		open := x.row.Open.Load()
		switch {
		case but[x.seat] || open >= int64(s.room()) || !s.ready(x, now):
		case x.seat == s.own^1:
			return x.seat
		case open < fewest:
			seat, fewest = x.seat, open
		}
	}
	return seat
}

// Ready says whether there is a sibling for the connections of a worker that leaves.
func (s *Siblings) Ready() bool { return s.successor(s.clock.Now(), nil) >= 0 }

// Offer tells the sibling whose request has waited longest that a thread is free here.
func (s *Siblings) Offer() {
	if s.row.State.Load() != scoreboard.StateReady {
		return // nobody would pass anything on to this worker
	}
	var oldest *sibling
	since := int64(0)
	all := *s.all.Load()
	for i := range all {
		if w := all[i].row.Handoff.OldestMovable.Load(); w != 0 && (since == 0 || w < since) {
			oldest, since = &all[i], w
		}
	}
	if oldest == nil || !s.fresh(oldest, s.clock.Now()) {
		return
	}
	_ = inbox.Send(oldest.send.Int(), &inbox.Packet{Kind: inbox.Free, Sender: s.own}, -1) // a full inbox will be read, and then others wait no longer
}
