package front

import (
	"context"
	"sync"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
	"github.com/prefork/cluster/ipc/scoreboard"
)

const (
	// freshFor: a worker whose heartbeat is older is given nothing. The master counts it as stalled then, too.
	freshFor = 2 * time.Second
	// retryPause is how long a front waits between two looks for a worker when none is ready or has room. Meanwhile clients wait in
	// the listeners.
	retryPause = 5 * time.Millisecond
)

// ready says whether a worker serves.
func ready(row *scoreboard.Row, now int64) bool {
	return row.State.Load() == scoreboard.StateReady && now-row.Heartbeat.Load() < int64(freshFor)
}

// seat is one whose inbox connections can be sent to.
type seat struct {
	number   int
	row      *scoreboard.Row
	inbox    *ipc.FD
	pending  int64 // connections sent that its worker has not counted yet
	accepted int64 // what the worker had counted at the last look
	epoch    int64 // at the last look: another one has another worker
	sent     int64 // when the last one was sent
	full     bool  // it had no room for the connection that is being sent
}

// load is how many connections the worker has, with those that lie in its inbox. What a worker has not taken after
// freshFor the master passes on to others.
func (s *seat) load(now int64) int64 {
	accepted, epoch := s.row.Accepted.Load(), s.row.Epoch.Load()
	s.pending = max(0, s.pending-(accepted-s.accepted))
	if epoch != s.epoch || now-s.sent > int64(freshFor) {
		s.pending = 0
	}
	s.accepted, s.epoch = accepted, epoch
	return s.row.Open.Load() + s.pending
}

// workers are the seats, as the one that sends to them sees them.
type workers struct {
	board *scoreboard.Board
	clock scoreboard.Clock
	mu    sync.Mutex
	seats []*seat
	first int // where a search begins: after the one that was found last, so that equal ones take turns
}

// meet takes over the send end of the inbox of a seat, unless it is there already.
func (w *workers) meet(number int, inbox *ipc.FD) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.seats {
		if s.number == number {
			inbox.Close()
			return
		}
	}
	if number < 0 || number >= 2*w.board.Slots() {
		inbox.Close()
		return
	}
	row := w.board.Row(number)
	w.seats = append(w.seats, &seat{number: number, row: row, inbox: inbox, accepted: row.Accepted.Load(), epoch: row.Epoch.Load()})
}

// least is the seat of the ready worker with the fewest connections, and where it stands; nil if none is ready, or none has room.
func (w *workers) least(now int64) (best *seat, at int) {
	var fewest int64
	for i := range w.seats {
		i = (w.first + i) % len(w.seats)
		s := w.seats[i]
		if s.full || !ready(s.row, now) || s.row.Handoff.Takes.Load() != inbox.Version {
			continue
		}
		if n := s.load(now); best == nil || n < fewest {
			best, at, fewest = s, i, n
		}
	}
	return best, at
}

// any says whether a worker is ready.
func (w *workers) any() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	best, _ := w.least(w.clock.Now())
	return best != nil
}

// send gives a connection to the worker with the fewest. Its descriptor stays the caller's. It is false if no worker is ready or
// all inboxes are full.
func (w *workers) send(p *inbox.Packet, connection int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now()
	sent := false
	for !sent {
		s, at := w.least(now)
		if s == nil {
			break
		}
		if sent = inbox.Send(s.inbox.Int(), p, connection) == nil; sent {
			s.pending++
			s.sent, w.first = now, at+1
		}
		s.full = !sent
	}
	for _, s := range w.seats {
		s.full = false
	}
	return sent
}

// until asks again and again; it is false if ctx ends first.
func until(ctx context.Context, ok func() bool) bool {
	for !ok() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(retryPause):
		}
	}
	return true
}
