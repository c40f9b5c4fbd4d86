//go:build linux

package handoff

import (
	"errors"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/pool"
)

// group is seat 0 and its siblings: ready workers with two threads, none of which is busy.
type group struct {
	*Siblings
	board *scoreboard.Board
	clock scoreboard.Clock
	boxes map[int]*inbox.Box
	head  []byte // room for one
}

const most = 100 // connections a worker may have

func newGroup(t testing.TB, slots int) *group {
	t.Helper()
	board, err := scoreboard.Create(slots, 2)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(board.FD()) // it stays mapped
	g := &group{board: board, clock: scoreboard.NewClock(), boxes: map[int]*inbox.Box{}, head: make([]byte, 4096)}
	g.Siblings = New(board, 0, g.clock, func() int { return 2 }, func() int { return most })
	for seat := range 2 * slots {
		row := board.Row(seat)
		row.State.Store(scoreboard.StateReady)
		row.Handoff.Takes.Store(inbox.Version)
		row.Heartbeat.Store(g.clock.Now())
		row.Open.Store(10)
		box, err := inbox.New()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(box.Close)
		g.boxes[seat] = box
		send, err := ipc.Duplicate(box.Send.Int())
		if err != nil {
			t.Fatal(err)
		}
		g.Add(seat, send) // its own is not one
	}
	return g
}

func (g *group) row(seat int) *scoreboard.Row { return g.board.Row(seat) }

func (g *group) fill(seat int) {
	for i := range 2 {
		g.board.Cell(seat, i).Take()
	}
}

// unfit are the ways in which a seat can be none to pass a request on to.
var unfit = map[string]func(g *group, seat int){
	"it boots":               func(g *group, seat int) { g.row(seat).State.Store(scoreboard.StateBoot) },
	"it drains":              func(g *group, seat int) { g.row(seat).State.Store(scoreboard.StateDraining) },
	"it does not answer":     func(g *group, seat int) { g.row(seat).Heartbeat.Add(-int64(3 * time.Second)) },
	"it takes nothing":       func(g *group, seat int) { g.row(seat).Handoff.Takes.Store(0) },
	"it takes other packets": func(g *group, seat int) { g.row(seat).Handoff.Takes.Store(inbox.Version + 1) },
	"it has no room":         func(g *group, seat int) { g.row(seat).Open.Store(most) },
	"its threads run":        func(g *group, seat int) { g.fill(seat) },
	"its threads are reserved": func(g *group, seat int) {
		g.board.Cell(seat, 0).Reserve(2, 1, 1)
		g.board.Cell(seat, 1).Reserve(2, 1, 2)
	},
	"its threads are half of all": nil, // it is fit
}

func TestReserve(t *testing.T) {
	for name, spoil := range unfit {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t, 2)
			g.row(1).Open.Store(9)
			g.row(2).Open.Store(8)
			g.board.Cell(2, 0).Take()
			wanted := 2
			if spoil != nil {
				spoil(g, 2)
				wanted = 1
			}
			to, ok := g.Reserve()
			if !ok || to.Seat != wanted || !g.board.Cell(to.Seat, to.Thread).Reserved() || !to.Elsewhere() {
				t.Fatalf("%+v, %v; want seat %d", to, ok, wanted)
			}
			g.Withdraw(to)
			if !g.board.Cell(to.Seat, to.Thread).Free() {
				t.Error("the thread is not free after the withdrawal")
			}
			for seat := range 4 {
				g.fill(seat)
			}
			if to, ok := g.Reserve(); ok {
				t.Errorf("all threads are busy, and %+v is found", to)
			}
		})
	}
}

// Reservations differ, and there are as many as free threads.
func TestReserveAll(t *testing.T) {
	g := newGroup(t, 2)
	seen := map[pool.Place]bool{}
	for range 6 {
		to, ok := g.Reserve()
		if !ok || seen[to] || to.Seat == 0 {
			t.Fatalf("%+v, %v", to, ok)
		}
		seen[to] = true
	}
	if to, ok := g.Reserve(); ok {
		t.Errorf("a seventh of six: %+v", to)
	}
}

func TestSuccessors(t *testing.T) {
	g := newGroup(t, 3)
	for seat, open := range map[int]int64{1: 50, 2: 7, 3: 5, 4: 6, 5: 9} {
		g.row(seat).Open.Store(open)
	}
	g.fill(3) // no reason: nobody waits for a thread
	var tried []int
	if g.Successors(func(seat int) bool { tried = append(tried, seat); return false }) {
		t.Error("none was good enough, and one is found")
	}
	if !slices.Equal(tried, []int{1, 3, 4, 2, 5}) {
		t.Errorf("tried %v", tried)
	}
	for name, spoil := range unfit {
		if spoil == nil || name == "its threads run" || name == "its threads are reserved" {
			continue
		}
		g := newGroup(t, 1)
		if !g.Ready() {
			t.Error("a ready seat is none")
		}
		if spoil(g, 1); g.Ready() {
			t.Errorf("%s, and it is a successor", name)
		}
	}
}

// The hint goes to whose request has waited longest.
func TestOffer(t *testing.T) {
	g := newGroup(t, 2)
	received := func(seat int) bool {
		p, _, err := inbox.Receive(g.boxes[seat].Read.Int(), false)
		if err != nil && !errors.Is(err, inbox.ErrEmpty) {
			t.Fatal(err)
		}
		return err == nil && p.Kind == inbox.Free && p.Sender == 0
	}
	g.Offer()
	g.row(1).Handoff.OldestMovable.Store(200)
	g.row(3).Handoff.OldestMovable.Store(100)
	g.Offer()
	if received(1) || received(2) || !received(3) || received(3) {
		t.Error("one hint was to arrive, in seat 3")
	}
	g.row(3).Heartbeat.Add(-int64(time.Minute))
	g.Offer()
	g.row(0).State.Store(scoreboard.StateDraining)
	g.row(3).Heartbeat.Store(g.clock.Now())
	g.Offer()
	if received(1) || received(3) {
		t.Error("a hint for one that does not answer, or of one that leaves")
	}
}
