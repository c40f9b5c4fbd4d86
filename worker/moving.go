package worker

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc/inbox"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/kernel"
	"github.com/prefork/cluster/worker/internal/pool"
)

// mover reads a connection that can be passed on to a sibling: a thread is taken before a request is, and a request for which
// there is none is looked at and left where it is (docs/adr/0010-handoff.md). But for waits and moved, it is used by the
// goroutine that reads.
type mover struct {
	c     *conn
	raw   syscall.RawConn
	hops  int           // times that it was passed on for the request that is arriving
	moved atomic.Bool   // it is another worker's now
	waits atomic.Bool   // a request stands in line
	fresh atomic.Bool   // it was received between two requests, and no byte of the next one has come
	limit time.Duration // what the owner allows a head, once one is coming

	// One read. The functions are kept, so that it allocates nothing.
	look, peek func(fd uintptr) bool
	p          []byte
	n          int
	err        error
	first      bool // nothing has been looked for yet
	crowded    bool // something is there, and no thread
}

func newMover(c *conn) *mover {
	sc, ok := c.socket.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	v := &mover{c: c, raw: raw}
	_ = raw.Control(func(fd uintptr) { c.m.spend(int(fd)) })
	v.look, v.peek = v.lookFor, v.watchFor
	return v
}

// gone says whether the connection is another worker's.
func (c *conn) gone() bool { return c.mover != nil && c.mover.moved.Load() }

// Moves says whether the connection can go on in a sibling when this worker leaves.
func (c *conn) Moves() bool {
	return c.mover != nil && !c.m.final.Load() && c.phase.Load() <= phaseActive && c.m.siblings.Ready()
}

// Bodied notes that the running request has a body.
func (c *conn) Bodied() { c.bodied.Store(true) }

// Bound is why the running request cannot be passed on.
func (c *conn) Bound() int {
	switch {
	case c.m.Secure(c.bind):
		return scoreboard.StayedTLS
	case c.phase.Load() == phaseVeiled:
		return scoreboard.StayedHTTP2
	case c.pieces.Load():
		return scoreboard.StayedIncomplete
	}
	return scoreboard.StayedBuffered
}

// read reads the beginning of a request, with a thread for it if its head is complete. io.EOF is also what it says when the
// connection has been passed on.
func (v *mover) read(p []byte) (int, error) {
	v.p = p
	for {
		if v.c.m.Draining.Load() && v.leave() {
			return 0, io.EOF
		}
		v.n, v.err, v.first, v.crowded = 0, nil, true, false
		err := v.raw.Read(v.look)
		if err == nil && v.crowded {
			if v.lineUp() {
				return 0, io.EOF
			}
			if v.err == unix.EAGAIN {
				v.c.readable.Store(0)
				continue
			}
		}
		return v.result(err)
	}
}

// result is what a read has brought, with the error of waiting for it. A request that became readable in another worker, or before it
// stood in line, stays so.
func (v *mover) result(err error) (int, error) {
	c, n, failed := v.c, v.n, v.err
	if n > 0 {
		c.begun.Store(true)
		v.arrived()
	}
	if n > 0 && (c.readable.Load() == 0 || c.held.Thread() < 0 && !complete(v.p[:n])) {
		c.heard()
	}
	v.p = nil
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, &net.OpError{Op: "read", Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("read", failed)}
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// lookFor is called with the descriptor, and says whether waiting is over.
func (v *mover) lookFor(fd uintptr) bool {
	held, first := &v.c.held, v.first
	v.first = false
	if held.Thread() < 0 {
		thread, ok := v.c.m.Line.TryTake()
		switch {
		case ok:
			held.Keep(thread)
		case first && v.empty(fd):
			return false
		default: // something is there, if not yet at the first look
			v.crowded = true
			return true
		}
	}
	v.readWhole(fd)
	return v.err != unix.EAGAIN
}

// empty says that nothing is there, not even an end or an error.
func (v *mover) empty(fd uintptr) bool {
	_, err := kernel.Peek(int(fd), v.p[:1])
	return err == unix.EAGAIN
}

// readWhole reads what is there, and gives the thread back unless it is a whole head.
func (v *mover) readWhole(fd uintptr) {
	for {
		if v.n, v.err = syscall.Read(int(fd), v.p); v.err != syscall.EINTR {
			break
		}
	}
	if v.n = max(v.n, 0); !v.whole() {
		v.c.m.GiveBack(&v.c.held)
	}
}

// fresh says whether the connection is as it was received, between two requests. The engine takes it for a new one.
func (c *conn) fresh() bool { return c.mover != nil && c.mover.fresh.Load() }

// postpone makes of the deadline that an engine sets for the head of a new connection's first request what is due: that of a connection
// between two requests. A zero time is none.
func (v *mover) postpone(t time.Time) time.Time {
	v.limit = time.Until(t)
	idle, since := v.c.m.IdleTimeout, v.c.idleSince.Load()
	if idle <= 0 {
		return time.Time{}
	}
	return v.c.m.Clock.Time(since + int64(idle))
}

// arrived puts the deadline of the head in force.
func (v *mover) arrived() {
	if v.fresh.Load() {
		v.fresh.Store(false)
		if v.limit > 0 {
			_ = v.c.SetReadDeadline(time.Now().Add(v.limit))
		}
	}
}

// whole says whether what was read or looked at is the whole head of a request, of one that can be passed on.
func (v *mover) whole() bool { return v.n > 0 && complete(v.p[:v.n]) && !v.preface() }

// complete says whether a request's head ends here.
func complete(head []byte) bool {
	return bytes.HasSuffix(head, []byte("\r\n\r\n")) || bytes.Contains(head, []byte("\n\r\n")) || bytes.Contains(head, []byte("\n\n"))
}

// preface says whether the connection begins with HTTP/2's (RFC 9113, section 3.4), which looks like a request.
func (v *mover) preface() bool {
	return !v.c.reused.Load() && bytes.HasPrefix(v.p[:v.n], []byte("PRI * "))
}

// watch is net/http's read of one byte while a handler runs, to see the client leave. The byte would be the next request's,
// so it is looked at only.
func (v *mover) watch() (int, error) {
	err := v.raw.Read(v.peek)
	if err == nil {
		err = io.EOF
	}
	return 0, err
}

func (v *mover) watchFor(fd uintptr) bool {
	var b [1]byte
	n, err := kernel.Peek(int(fd), b[:])
	return n <= 0 && err != unix.EAGAIN // a byte that is there is left there: what follows it will be seen
}

// lineUp waits for a thread here or in a sibling, and reads. It is true if the connection has been passed on.
func (v *mover) lineUp() (moved bool) {
	c, m := v.c, v.c.m
	if c.readable.Load() == 0 {
		c.heard()
	}
	v.waits.Store(true)
	defer v.waits.Store(false)
	if int(m.Row.Waiting.Load()) > m.Limits().QueueDepth/2 && v.ended() {
		return false // a place is for one who has something to say
	}
	for full := false; v.hops < inbox.MaxHops; { // else it waits in the engine
		waiting, err := m.Line.Enter(c.readable.Load())
		if err != nil {
			break // the engine will be told the same, and answers
		}
		if !full && m.waits() && !m.relieve(false) { // a full inbox would be chosen again
			m.Row.Handoff.Stayed[scoreboard.StayedNoTarget].Add(1)
		}
		since := m.Clock.Now()
		place, err := waiting.Wait()
		if err != nil {
			break
		}
		left := m.WatchesClients && m.Clock.Now()-since > int64(longWait) && v.left()
		switch {
		case !place.Elsewhere():
			c.held.Keep(place.Thread)
		case left:
			m.siblings.Withdraw(place)
		}
		if left {
			m.GiveBack(&c.held)
			v.n, v.err = 0, nil
			return false
		}
		if !place.Elsewhere() {
			break
		}
		_ = v.raw.Control(func(fd uintptr) { v.n, v.err = kernel.Peek(int(fd), v.p) })
		if !v.whole() {
			m.siblings.Withdraw(place)
			break
		}
		if v.send(place.Seat, place) {
			return true
		}
		full = true
		m.siblings.Withdraw(place)
		m.Row.Handoff.Stayed[scoreboard.StayedFull].Add(1)
	}
	// Whatever the deadline of reads is by now: something is there.
	if err := v.raw.Control(v.readWhole); err != nil { // closed meanwhile, by another goroutine
		v.n, v.err = 0, err
		m.GiveBack(&c.held)
	}
	return false
}

// longWait is how long a request must have waited to be asked whether its client is still there.
const longWait = time.Second

// left says whether the client has closed the connection, or its sending direction, behind the request.
func (v *mover) left() (left bool) {
	_ = v.raw.Control(func(fd uintptr) { left = kernel.HungUp(int(fd)) })
	return left
}

// ended says whether nothing is there but an end or an error, and keeps it as what was read.
func (v *mover) ended() bool {
	err := v.raw.Control(func(fd uintptr) { v.n, v.err = kernel.Peek(int(fd), v.p[:1]) })
	return err == nil && v.n <= 0 && v.err != unix.EAGAIN
}

// waits says whether a request is in line that can be passed on.
func (m *member) waits() bool { return m.Row.Handoff.OldestMovable.Load() != 0 }

// relieve gives the request that waits longest a thread of a sibling. It is false if none is free.
func (m *member) relieve(hinted bool) bool {
	to, ok := m.siblings.Reserve()
	if !ok {
		return false
	}
	to.Hinted = hinted
	if !m.Line.Send(to) {
		m.siblings.Withdraw(to)
	}
	return true
}

// look is for requests whose hint was lost.
func (m *member) look() {
	for m.waits() && m.relieve(false) {
	}
}

// send passes the connection on. It is false if that failed: then it is still here.
func (v *mover) send(seat int, place pool.Place) bool {
	c := v.c
	p := inbox.Packet{
		Bind: c.bind, Hops: v.hops, Thread: place.Thread, Reservation: place.Reservation, Served: int(c.count.Load()),
		Readable: c.readable.Load(), HeadSince: c.headSince.Load(), IdleSince: c.idleSince.Load(),
		Local: addrPort(c.LocalAddr()), Remote: addrPort(c.RemoteAddr()),
	}
	reason := scoreboard.MovedDrained
	if place.Elsewhere() {
		p.Hops++
		if reason = scoreboard.MovedPushed; place.Hinted {
			reason = scoreboard.MovedHinted
		}
	}
	if !v.pass(seat, &p) {
		return false
	}
	c.m.Row.Handoff.Moved[reason].Add(1)
	if received, ok := c.socket.(interface{ Leave() error }); ok {
		_ = received.Leave()
	} else {
		_ = c.socket.Close()
	}
	return true
}

// pass sends the packet, unless the connection is being closed.
func (v *mover) pass(seat int, p *inbox.Packet) bool {
	c := v.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		return false
	}
	var err error
	if controlErr := v.raw.Control(func(fd uintptr) { err = c.m.siblings.Send(seat, p, int(fd)) }); controlErr != nil || err != nil {
		return false
	}
	v.moved.Store(true)
	return true
}

// leave passes the connection on because this worker drains. What has arrived on it goes along.
func (v *mover) leave() bool {
	if v.c.m.final.Load() || v.c.held.Thread() >= 0 {
		return false
	}
	return v.c.m.siblings.Successors(func(seat int) bool { return v.send(seat, pool.Place{}) })
}

// addrPort is the zero value for the address of a unix socket.
func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}
