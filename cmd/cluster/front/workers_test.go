package front

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
	"github.com/prefork/cluster/ipc/scoreboard"
)

// stand is workers with real inboxes on a scoreboard of their own.
type stand struct {
	*workers
	t     *testing.T
	boxes []*inbox.Box
}

func newStand(t *testing.T, seats int) *stand {
	t.Helper()
	board, err := scoreboard.Create((seats+1)/2, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(board.FD()) })
	b := &stand{workers: &workers{board: board, clock: scoreboard.NewClock()}, t: t}
	for i := range seats {
		box, err := inbox.New()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(box.Close)
		send, err := ipc.Duplicate(box.Send.Int())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { send.Close() })
		b.boxes = append(b.boxes, box)
		b.serve(i, 0)
		b.meet(i, send)
	}
	return b
}

// serve makes the worker in a seat ready, with open connections.
func (b *stand) serve(seat int, open int64) {
	row := b.board.Row(seat)
	row.State.Store(scoreboard.StateReady)
	row.Heartbeat.Store(b.clock.Now())
	row.Handoff.Takes.Store(inbox.Version)
	row.Open.Store(open)
}

// sends sends so many connections and returns how many lie in each inbox then.
func (b *stand) sends(n int) (lie []int) {
	b.t.Helper()
	pair, err := ipc.PacketPair()
	if err != nil {
		b.t.Fatal(err)
	}
	defer pair[0].Close()
	defer pair[1].Close()
	for range n {
		b.send(&inbox.Packet{Kind: inbox.Connection, Sender: ipc.FrontSeat}, pair[0].Int())
	}
	for seat := range b.boxes {
		lie = append(lie, b.take(seat))
	}
	return lie
}

// take empties an inbox, without the scoreboard's being told.
func (b *stand) take(seat int) (n int) {
	b.t.Helper()
	for {
		p, connection, err := inbox.Receive(b.boxes[seat].Read.Int(), false)
		if errors.Is(err, inbox.ErrEmpty) {
			return n
		}
		if err != nil {
			b.t.Fatal(err)
		}
		if connection != nil {
			connection.Close()
		}
		if p.Sender == ipc.FrontSeat {
			n++
		}
	}
}

func (b *stand) want(what string, got []int, want ...int) {
	b.t.Helper()
	for i := range want {
		if len(got) != len(want) || got[i] != want[i] {
			b.t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
	}
}

func TestLeast(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(b *stand)
		n      int
		want   []int
	}{
		{"equal ones in turn", func(*stand) {}, 6, []int{2, 2, 2}},
		{"the fewest connections", func(b *stand) { b.serve(0, 3); b.serve(2, 9) }, 3, []int{0, 3, 0}},
		{"what is on its way counts", func(b *stand) { b.serve(0, 2); b.serve(1, 4); b.serve(2, 3) }, 6, []int{3, 1, 2}},
		{"one that drains", func(b *stand) { b.board.Row(0).State.Store(scoreboard.StateDraining) }, 4, []int{0, 2, 2}},
		{"one that boots", func(b *stand) { b.board.Row(0).State.Store(scoreboard.StateBoot) }, 4, []int{0, 2, 2}},
		{"one that is stopped", func(b *stand) { b.board.Row(0).Heartbeat.Store(b.clock.Now() - int64(freshFor)) }, 4, []int{0, 2, 2}},
		{"one of another version", func(b *stand) { b.board.Row(0).Handoff.Takes.Store(inbox.Version + 1) }, 4, []int{0, 2, 2}},
		{"nobody", func(b *stand) {
			for seat := range 3 {
				b.board.Row(seat).State.Store(scoreboard.StateDraining)
			}
		}, 4, []int{0, 0, 0}},
	} {
		b := newStand(t, 3)
		test.change(b)
		some := test.name != "nobody"
		if b.any() != some {
			t.Errorf("%s: any worker: %v", test.name, !some)
		}
		b.want(test.name, b.sends(test.n), test.want...)
	}
}

// What a worker has taken counts as open alone; what it has not after a while, or what another worker in the seat may have lost, not at all.
func TestPending(t *testing.T) {
	t.Parallel()
	b := newStand(t, 2)
	b.want("four", b.sends(4), 2, 2)
	row := b.board.Row(0)
	row.Accepted.Add(2) // and they have ended
	b.want("one has finished two", b.sends(2), 2, 0)
	row.Epoch.Add(1) // another worker
	b.want("one has been replaced", b.sends(2), 2, 0)
	b.seats[1].sent -= int64(freshFor) + 1
	b.want("what was sent long ago", b.sends(2), 0, 2)
}

// A full inbox is passed by; if all are full nothing is sent.
func TestFullInboxes(t *testing.T) {
	t.Parallel()
	b := newStand(t, 2)
	b.serve(1, 100)
	fill := func(seat int) {
		for inbox.Send(b.boxes[seat].Send.Int(), &inbox.Packet{Kind: inbox.Free}, -1) == nil {
		}
	}
	fill(0)
	b.want("one is full", b.sends(3), 0, 3)
	fill(0)
	fill(1)
	b.want("both are full", b.sends(3), 0, 0)
	b.want("both have room again", b.sends(1), 1, 0)
}

func TestMeetTwice(t *testing.T) {
	t.Parallel()
	b := newStand(t, 2)
	for _, seat := range []int{1, 2, -1} {
		fd, err := ipc.Duplicate(b.boxes[0].Send.Int())
		if err != nil {
			t.Fatal(err)
		}
		if b.meet(seat, fd); fd.Int() >= 0 || len(b.seats) != 2 {
			t.Errorf("seat %d: %d seats, descriptor %d", seat, len(b.seats), fd.Int())
		}
	}
}

func TestUntil(t *testing.T) {
	t.Parallel()
	asked := 0
	if !until(t.Context(), func() bool { asked++; return asked == 3 }) || asked != 3 {
		t.Errorf("asked %d times", asked)
	}
	over, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if until(over, func() bool { return false }) {
		t.Error("it was never so")
	}
}
