package inboxes

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
	"github.com/prefork/cluster/ipc/scoreboard"
)

// cluster is a set with the inboxes of some slots, and workers that are said to take packets.
type cluster struct {
	*testing.T
	*Set
}

func newCluster(t *testing.T, slots int) *cluster {
	t.Helper()
	board, err := scoreboard.Create(slots, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(board.FD()) })
	s := New(board, true)
	if err := s.Open(slots - 1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &cluster{T: t, Set: s}
}

// takes makes workers that take packets, with open connections, in seats.
func (c *cluster) takes(open int64, seats ...int) {
	for _, seat := range seats {
		c.board.Row(seat).Handoff.Takes.Store(inbox.Version)
		c.board.Row(seat).Open.Store(open)
	}
}

// connection is a pair of sockets: the one that is passed on, and its client, who sees when nobody has the other any more.
func (c *cluster) connection() (passed, client *ipc.FD) {
	c.Helper()
	p, err := ipc.PacketPair()
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { p[0].Close(); p[1].Close() })
	return p[0], p[1]
}

// put sends a new connection to a seat, as a worker does, and returns its client.
func (c *cluster) put(seat int, p inbox.Packet) (client *ipc.FD) {
	c.Helper()
	passed, client := c.connection()
	p.Kind = inbox.Connection
	if err := inbox.Send(c.boxes[seat].Send.Int(), &p, passed.Int()); err != nil {
		c.Fatal(err)
	}
	passed.Close()
	return client
}

// raw sends a packet as somebody else may.
func (c *cluster) raw(seat int, packet string, fds ...int) {
	c.Helper()
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(c.boxes[seat].Send.Int(), []byte(packet), oob, nil, unix.MSG_DONTWAIT); err != nil {
		c.Fatal(err)
	}
}

// fill fills an inbox with packets that carry nothing, and returns how many it holds.
func (c *cluster) fill(seat int) (n int) {
	c.Helper()
	for ; ; n++ {
		err := inbox.Send(c.boxes[seat].Send.Int(), &inbox.Packet{Kind: inbox.Free}, -1)
		if errors.Is(err, inbox.ErrFull) {
			return n
		}
		if err != nil {
			c.Fatal(err)
		}
	}
}

// received takes the next packet of a seat as its worker does; ok is false if there is none.
func (c *cluster) received(seat int) (p inbox.Packet, connection *ipc.FD, ok bool) {
	c.Helper()
	p, connection, err := inbox.Receive(c.boxes[seat].Read.Int(), false)
	if errors.Is(err, inbox.ErrEmpty) {
		return p, nil, false
	}
	if err != nil {
		c.Fatal(err)
	}
	if connection != nil {
		c.Cleanup(func() { connection.Close() })
	}
	return p, connection, true
}

// in says which requests were served by the connections that lie in seats, as "seat:served …", and takes them out.
func (c *cluster) in(seats ...int) string {
	c.Helper()
	var all []string
	for _, seat := range seats {
		for p, fd, ok := c.received(seat); ok; p, fd, ok = c.received(seat) {
			if p.Kind == inbox.Connection && fd != nil {
				all = append(all, fmt.Sprintf("%d:%d", seat, p.Served))
			}
		}
	}
	return strings.Join(all, " ")
}

// closed says whether nobody has the other end of a client's connection any more.
func (c *cluster) closed(client *ipc.FD) bool {
	c.Helper()
	n, err := unix.Read(client.Int(), make([]byte, 8))
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		c.Fatal(err)
	}
	return err == nil && n == 0
}

func file(t *testing.T, fd *ipc.FD) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(fd.Int(), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func (c *cluster) sweep(deserted, takers []int, want Swept) {
	c.Helper()
	got := c.Sweep(deserted, takers)
	if got.Passed != want.Passed || got.More != want.More || !errors.Is(got.Err, want.Err) {
		c.Errorf("swept %+v, want %+v", got, want)
	}
}

// What was sent to a seat arrives in another: the same file, the same packet without the reservation, open in one place only.
func TestSweepPassesOn(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	c.takes(0, 2)
	p := inbox.Packet{
		Kind: inbox.Connection, Sender: 3, Bind: 1, Hops: 2, Thread: 7, Reservation: 99, Served: 12, Readable: 5, HeadSince: 4, IdleSince: 3,
		Local: netip.MustParseAddrPort("127.0.0.1:80"), Remote: netip.MustParseAddrPort("[fe80::1%eth0]:4711"),
	}
	passed, client := c.connection()
	if err := inbox.Send(c.boxes[0].Send.Int(), &p, passed.Int()); err != nil {
		t.Fatal(err)
	}
	sent := file(t, passed)
	passed.Close()
	c.sweep([]int{0, 1, 3}, []int{2}, Swept{Passed: 1})
	got, connection, ok := c.received(2)
	if !ok || connection == nil {
		t.Fatal("nothing has arrived")
	}
	p.Thread, p.Reservation = 0, 0
	if got != p {
		t.Errorf("%+v, want %+v", got, p)
	}
	if file(t, connection) != sent {
		t.Error("another file has arrived")
	}
	if c.closed(client) {
		t.Error("the connection was closed")
	}
	connection.Close()
	if !c.closed(client) {
		t.Error("somebody holds the connection besides its receiver")
	}
}

func TestSweepChooses(t *testing.T) {
	t.Parallel()
	const slots = inbox.GroupSlots + 2
	type open map[int]int64 // by seat, of those that take packets
	for _, test := range []struct {
		name     string
		from     int
		deserted []int
		takers   []int
		open     open
		packets  int
		arrived  string // of the seats in takers, then of from
	}{
		{"the fewest connections", 0, []int{0, 1}, []int{2, 4, 6}, open{2: 5, 4: 3, 6: 4}, 1, "4:0"},
		{"those on the way count", 0, []int{0, 1}, []int{2, 4, 6}, open{2: 2, 4: 0, 6: 9}, 5, "2:2 2:4 4:0 4:1 4:3"},
		{"the same slot first", 3, []int{3}, []int{0, 2, 4}, open{0: 0, 2: 50, 4: 0}, 2, "2:0 2:1"},
		{"the same slot, the lower seat", 2, []int{2}, []int{0, 3, 4}, open{0: 0, 3: 50, 4: 0}, 1, "3:0"},
		{"only those that take this version", 0, []int{0}, []int{1, 2}, open{2: 9}, 1, "2:0"},
		{"only those that were named", 0, []int{0}, []int{4}, open{1: 0, 2: 0, 4: 9}, 1, "4:0"},
		{"nobody", 0, []int{0, 1}, nil, open{2: 0}, 2, "0:0 0:1"},
		{"nobody that takes packets", 0, []int{0, 1}, []int{2, 4}, nil, 2, "0:0 0:1"},
		{"nobody of the group", 0, []int{0, 1}, []int{2 * inbox.GroupSlots}, open{2 * inbox.GroupSlots: 0}, 2, "0:0 0:1"},
		{"the second group", 2 * inbox.GroupSlots, []int{2 * inbox.GroupSlots}, []int{0, 2*inbox.GroupSlots + 3}, open{0: 0, 2*inbox.GroupSlots + 3: 9}, 1, "67:0"},
		{"who reads its inbox keeps it", 0, []int{1}, []int{2}, open{2: 0}, 2, "0:0 0:1"},
		{"a ready one that reads none", 0, nil, []int{0, 2}, open{2: 0}, 2, "2:0 2:1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t, slots)
			for seat, n := range test.open {
				c.takes(n, seat)
			}
			for i := range test.packets {
				c.put(test.from, inbox.Packet{Served: i})
			}
			c.Sweep(test.deserted, test.takers)
			if got := c.in(append(test.takers, test.from)...); got != test.arrived {
				t.Errorf("arrived %q, want %q", got, test.arrived)
			}
		})
	}
}

// A full inbox is passed by. If all are full, nothing is lost, and goes on when there is room.
func TestSweepFullInboxes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.takes(0, 2)
	c.takes(5, 4)
	c.fill(2)
	for i := range 3 {
		c.put(0, inbox.Packet{Served: i})
	}
	c.sweep([]int{0}, []int{2, 4}, Swept{Passed: 3})
	if got := c.in(4); got != "4:0 4:1 4:2" {
		t.Errorf("arrived %q", got)
	}
	c.fill(4)
	for i := range 3 {
		c.put(0, inbox.Packet{Served: 10 + i})
	}
	c.sweep([]int{0}, []int{2, 4}, Swept{})
	c.sweep([]int{0}, []int{2, 4}, Swept{})
	if got := c.in(4); got != "" {
		t.Errorf("a full inbox took %q", got)
	}
	c.sweep([]int{0}, []int{2, 4}, Swept{Passed: 3})
	if got := c.in(4); got != "4:10 4:11 4:12" {
		t.Errorf("arrived %q", got)
	}
}

// What was taken out of an inbox when all others were full goes on although its worker reads again.
func TestSweepHeldForOneThatReadsAgain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	c.takes(0, 0, 2)
	c.fill(2)
	c.put(0, inbox.Packet{Served: 7})
	c.sweep([]int{0}, []int{2}, Swept{})
	c.sweep(nil, []int{0, 2}, Swept{Passed: 1})
	if got := c.in(0, 2); got != "0:7" {
		t.Errorf("arrived %q", got)
	}
}

func TestSweepIsBounded(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.takes(0, 4)
	packets := 0
	for seat := range 4 {
		packets += c.fill(seat)
	}
	if packets <= packetsPerSweep {
		t.Fatalf("%d packets are too few for this test", packets)
	}
	c.put(5, inbox.Packet{Served: 3})
	for range packets / packetsPerSweep {
		c.sweep([]int{0, 1, 2, 3, 5}, []int{4}, Swept{More: true})
	}
	c.sweep([]int{0, 1, 2, 3, 5}, []int{4}, Swept{Passed: 1})
	if got := c.in(0, 1, 2, 3, 4, 5); got != "4:3" {
		t.Errorf("arrived %q", got)
	}
}

// What is no packet of this protocol is thrown away, with what it carries, and holds nothing up.
func TestSweepThrowsAway(t *testing.T) {
	t.Parallel()
	var b [inbox.Size]byte
	packet := func(change func(p *inbox.Packet)) string {
		p := inbox.Packet{Kind: inbox.Connection}
		change(&p)
		p.Encode(&b)
		return string(b[:])
	}
	good := packet(func(*inbox.Packet) {})
	for _, test := range []struct {
		name, packet string
		carries      bool // a connection
		err          error
		says         string
	}{
		{"a hint", packet(func(p *inbox.Packet) { p.Kind = inbox.Free }), false, nil, ""},
		{"a hint with a connection", packet(func(p *inbox.Packet) { p.Kind = inbox.Free }), true, nil, ""},
		{"another version", string(rune(inbox.Version+1)) + good[1:], true, inbox.ErrVersion, "inbox of seat 0"},
		{"another kind", packet(func(p *inbox.Packet) { p.Kind = 9 }), true, inbox.ErrVersion, "kind 9"},
		{"a connection without one", good, false, inbox.ErrVersion, "without its descriptor"},
		{"short", "hello", true, inbox.ErrVersion, "5 bytes"},
		{"long", good + "and more", true, inbox.ErrVersion, "bytes"},
		{"empty", "", false, inbox.ErrVersion, "empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t, 2)
			c.takes(0, 2)
			passed, client := c.connection()
			if test.carries {
				c.raw(0, test.packet, passed.Int())
			} else {
				c.raw(0, test.packet)
			}
			passed.Close()
			c.put(0, inbox.Packet{Served: 1})
			swept := c.Sweep([]int{0}, []int{2})
			if swept.Passed != 1 || !errors.Is(swept.Err, test.err) || test.err != nil && !strings.Contains(swept.Err.Error(), test.says) {
				t.Errorf("swept %+v, want one passed on and %v", swept, test.err)
			}
			if got := c.in(0, 2); got != "2:1" {
				t.Errorf("arrived %q", got)
			}
			if !c.closed(client) {
				t.Error("the connection that came with it is open")
			}
		})
	}
}

// A worker holds the read end of its own inbox and the send ends of all others of its group.
func TestOf(t *testing.T) {
	t.Parallel()
	const slots = inbox.GroupSlots + 2
	c := newCluster(t, slots)
	for _, test := range []struct{ seat, peers, lowest int }{
		{0, 2*inbox.GroupSlots - 1, 1},
		{2*inbox.GroupSlots - 1, 2*inbox.GroupSlots - 1, 0},
		{2 * inbox.GroupSlots, 3, 2*inbox.GroupSlots + 1},
		{2*inbox.GroupSlots + 3, 3, 2 * inbox.GroupSlots},
	} {
		own, peers := c.Of(test.seat)
		if len(peers) != test.peers || peers[test.lowest] == nil || peers[test.seat] != nil {
			t.Errorf("seat %d has %d peers, want %d from %d on", test.seat, len(peers), test.peers, test.lowest)
		}
		for seat, fd := range peers {
			if err := inbox.Send(fd.Int(), &inbox.Packet{Kind: inbox.Free, Sender: test.seat}, -1); err != nil {
				t.Fatal(err)
			}
			if p, _, ok := c.received(seat); !ok || p.Sender != test.seat {
				t.Errorf("what seat %d sends to seat %d does not arrive", test.seat, seat)
			}
		}
		if own != c.boxes[test.seat].Read {
			t.Errorf("seat %d reads another inbox", test.seat)
		}
	}
}

// Slots are opened one after another, and the inboxes of the others stay as they are.
func TestOpen(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	_, before := c.Of(0)
	for range 2 {
		if err := c.Open(2); err != nil {
			t.Fatal(err)
		}
		if _, peers := c.Of(0); len(peers) != 5 || peers[1] != before[1] {
			t.Errorf("seat 0 has %d peers", len(peers))
		}
	}
	unwanted := New(c.board, false)
	if err := unwanted.Open(3); err != nil {
		t.Fatal(err)
	}
	if own, peers := unwanted.Of(0); own != nil || peers != nil || len(unwanted.boxes) != 0 {
		t.Error("there are inboxes that nobody wants")
	}
	if swept := unwanted.Sweep([]int{1}, []int{0}); swept != (Swept{}) {
		t.Errorf("swept %+v", swept)
	}
	if unwanted.Close() != 0 {
		t.Error("something was lost")
	}
}

// At the end, what nobody took is closed and counted.
func TestClose(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	c.takes(0, 2)
	c.fill(2)
	clients := []*ipc.FD{c.put(0, inbox.Packet{}), c.put(0, inbox.Packet{}), c.put(3, inbox.Packet{})}
	c.sweep([]int{0}, []int{2}, Swept{}) // one of them is held now
	c.raw(3, "garbage")
	clients = append(clients, c.put(3, inbox.Packet{}))
	if lost := c.Close(); lost != 4 {
		t.Errorf("%d connections lost, want 4", lost)
	}
	for i, client := range clients {
		if !c.closed(client) {
			t.Errorf("connection %d is open", i)
		}
	}
	if lost := c.Close(); lost != 0 {
		t.Errorf("lost again: %d", lost)
	}
}
