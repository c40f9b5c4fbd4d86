package worker

import (
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// What a connection is doing, as far as the wrapper must know.
const (
	phaseIdle    = iota // no request is being served: a head is awaited or arriving
	phaseActive         // a handler runs or its answer is being written
	phaseVeiled         // TLS or HTTP/2: bytes mean nothing to the wrapper, it knows what the engine's states say
	phaseForeign        // hijacked, or a protocol of the application's own: only counted
)

// lazyAfter: a read deadline further away than this is watched by the pulse instead of a runtime timer. It must be longer
// than two pulses.
const lazyAfter = 2 * time.Second

// headBuffer is the room that net/http offers a read between two requests if it has no byte of the next one yet.
const headBuffer = 4 << 10

// aborted is the stored deadline of an engine that wants its read back at once. net/http ends its watch for the client's
// disappearance so, once a request.
const aborted = 1

var longAgo = time.Unix(1, 0)

// conn is the wrapper below the engine. It counts, it knows when a request became readable and when an answer begins, and
// it owns the deadlines: the engine only says what it wants. Most deadlines of seconds never fire, so they are stored
// here and looked at twice a second, which costs one atomic store where a runtime timer costs a lock and a heap.
//
// Read is called by one goroutine at a time, and so is Write; the pulse looks from outside.
type conn struct {
	net.Conn
	m *member

	phase     atomic.Int32
	answering atomic.Bool  // the next bytes written begin an answer
	readable  atomic.Int64 // when the last bytes of the coming head arrived; 0: none has arrived
	headSince atomic.Int64 // when the first ones did
	idleSince atomic.Int64 // coarse; 0 while the engine serves a request. If veiled: of the last bytes, too
	reused    atomic.Bool  // a request has been served
	awaited   atomic.Bool  // the engine has set the deadline for the first bytes of the next one

	held atomic.Int32 // thread + 1 of the running HTTP/1 request

	muted        atomic.Bool   // the answer has been replaced: what the engine still writes is thrown away
	readDeadline atomic.Int64  // what the engine asked for; 0: none
	writeSince   atomic.Int64  // coarse time at which a running Write began or made progress; 0: none runs
	acked        atomic.Uint64 // what the client had acknowledged at the last look at a running Write
	mu           sync.Mutex    // guards the two below together with the real deadlines
	applied      atomic.Bool   // the real read deadline is set
	reading      atomic.Bool   // a Read is in the socket, where only a real deadline reaches it
	writeLimited atomic.Bool   // the real write deadline is set

	closed atomic.Bool
}

// admit wraps an accepted connection and counts it.
func (m *member) admit(nc net.Conn) *conn {
	c := &conn{Conn: nc, m: m}
	c.answering.Store(true)
	c.idleSince.Store(m.coarse.Load())
	m.row.Accepted.Add(1)
	m.row.Open.Add(1)
	m.mu.Lock()
	m.conns[c] = struct{}{}
	m.mu.Unlock()
	return c
}

// Close closes the connection and takes it off the books.
func (c *conn) Close() error {
	err := c.Conn.Close()
	if c.closed.Swap(true) {
		return err
	}
	m := c.m
	m.mu.Lock()
	delete(m.conns, c)
	left := len(m.conns)
	m.mu.Unlock()
	m.row.Open.Add(-1)
	if left == 0 && m.draining.Load() {
		select {
		case m.empty <- struct{}{}:
		default:
		}
	}
	return err
}

// Read reads, notes when a head became readable, and translates its own kicks back into what the engine may see.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) < headBuffer && c.phase.Load() == phaseIdle && c.reused.Load() {
		// net/http has up to three bytes of the next request: of a pipelined one, or the one that it reads to see a client leave.
		c.begun()
	}
	for {
		c.reading.Store(true)
		if c.readDeadline.Load() == aborted && c.phase.Load() != phaseForeign {
			c.reading.Store(false)
			return 0, os.ErrDeadlineExceeded
		}
		n, err := c.Conn.Read(p)
		c.reading.Store(false)
		if n > 0 {
			c.heard()
		}
		if err == nil || c.readDeadline.Load() == aborted || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if n, err, again := c.expired(p, err); !again {
			return n, err
		}
	}
}

// begun notes that a head is arriving of which no byte was seen here.
func (c *conn) begun() {
	if c.readable.Load() == 0 {
		now := c.m.clock.Now()
		c.headSince.Store(now)
		c.readable.Store(now)
	}
}

func (c *conn) heard() {
	switch c.phase.Load() {
	case phaseIdle:
		now := c.m.clock.Now()
		if c.readable.Load() == 0 {
			c.headSince.Store(now)
		}
		c.readable.Store(now)
	case phaseVeiled:
		if since := c.idleSince.Load(); since != 0 {
			c.idleSince.CompareAndSwap(since, c.m.coarse.Load()) // else a request has begun meanwhile
		}
	}
}

// expired decides what a read that hit the real deadline means: the engine's own deadline, a head that does not end, a
// silence that was too long (then it looks once more for bytes that came in this moment), or nothing, because the deadline
// was moved meanwhile: then the read is done again.
func (c *conn) expired(p []byte, timeout error) (n int, err error, again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.readDeadline.Load()
	now := c.m.clock.Now()
	late := c.overdue(now)
	if c.phase.Load() == phaseForeign || d != 0 && now >= d || late && c.readable.Load() != 0 {
		return 0, timeout, false
	}
	// What the engine asks for is real from here on: it may be nearer than the next look.
	wanted := time.Time{}
	if d != 0 {
		wanted = c.m.clock.Time(d)
	}
	c.applied.Store(d != 0)
	if err := c.Conn.SetReadDeadline(wanted); err != nil {
		return 0, err, false
	}
	if !late && !c.overstays(now) {
		return 0, nil, true
	}
	if n := c.lastLook(p); n > 0 {
		c.heard()
		return n, nil, false
	}
	_ = c.Conn.Close() // at once: what arrives from here on is lost, and the engine takes its time
	return 0, io.EOF, false
}

// lastLook reads what is there without waiting.
func (c *conn) lastLook(p []byte) int {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	_ = raw.Read(func(fd uintptr) bool {
		n, _ = syscall.Read(int(fd), p)
		return true
	})
	return max(n, 0)
}

// SetReadDeadline stores what the engine wants. Only what is near is given to the runtime.
func (c *conn) SetReadDeadline(t time.Time) error {
	if c.phase.Load() == phaseIdle && c.reused.Load() && c.awaited.Swap(true) {
		// net/http has the four bytes after which it gives the head its own deadline: they may have been pipelined.
		c.begun()
	}
	if t.IsZero() {
		c.readDeadline.Store(0)
		return c.unapply()
	}
	d := c.m.clock.At(t)
	if d <= 0 { // before the machine was started, or so far ahead that the sum is too large
		d = aborted
		if t.After(c.m.clock.Time(d)) {
			d = math.MaxInt64
		}
	}
	c.readDeadline.Store(d)
	if c.phase.Load() != phaseForeign && d-c.m.coarse.Load() > int64(lazyAfter) {
		return c.unapply()
	}
	if d == aborted && !c.reading.Load() && c.phase.Load() != phaseForeign {
		return nil // the next Read sees it before it goes into the socket; usually net/http's watch has not begun by then
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.applied.Store(true)
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) unapply() error {
	if !c.applied.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.applied.Store(false)
	return c.Conn.SetReadDeadline(time.Time{})
}

// SetDeadline sets both.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetWriteDeadline clears for nothing what was never set: net/http does so after each answer.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() && !c.writeLimited.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeLimited.Store(!t.IsZero())
	return c.Conn.SetWriteDeadline(t)
}

// CloseWrite is what net/http does before it closes on a client that still sends.
func (c *conn) CloseWrite() error {
	if hc, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return hc.CloseWrite()
	}
	return nil
}

// veil stops the interpretation of bytes.
func (c *conn) veil() {
	c.phase.Store(phaseVeiled)
	c.answering.Store(false)
}

// release leaves the connection to others: from now on deadlines are real and nothing is evicted.
func (c *conn) release() {
	c.answering.Store(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase.Store(phaseForeign) // under the mutex: a kick that comes later must not hit the new owner
	c.readDeadline.Store(0)
	if c.applied.Swap(false) {
		_ = c.Conn.SetReadDeadline(time.Time{})
	}
}

// look is the pulse's view of a connection: it fires the deadlines that are stored here.
func (c *conn) look(now int64) {
	if c.phase.Load() == phaseForeign {
		return
	}
	if since := c.writeSince.Load(); since != 0 && c.m.config.WriteTimeout > 0 {
		c.lookAtWrite(now, since)
	}
	if d := c.readDeadline.Load(); d != 0 && now >= d {
		c.kick()
		return
	}
	if c.overdue(now) || c.overstays(now) {
		c.kick()
	}
}

// overdue is true when the client takes too long: over the head of a request whose first byte is there, over the first
// request of all, or over saying anything between two. Where the engine's owner has limits of his own, those count.
func (c *conn) overdue(now int64) bool {
	since, limit := c.idleSince.Load(), c.m.idleLimit
	switch phase := c.phase.Load(); {
	case phase == phaseIdle && c.readable.Load() != 0:
		since, limit = c.headSince.Load(), c.m.headLimit
	case phase == phaseIdle && !c.reused.Load():
		limit = c.m.headLimit
	case phase != phaseIdle && phase != phaseVeiled:
		return false
	}
	return limit > 0 && since != 0 && now-since > int64(limit+quietPulse) // since may be that old
}

// lookAtWrite ends a write that makes no progress. A client that takes little at a time is alive, and one that has taken
// all waits for the handler, which ReadFrom may be waiting for, too.
func (c *conn) lookAtWrite(now, since int64) {
	acked, more, ok := delivered(c.Conn)
	switch {
	case ok && (c.acked.Swap(acked) != acked || !more):
		c.writeSince.CompareAndSwap(since, now) // else another write has begun, or none runs
	case now-since > int64(c.m.config.WriteTimeout):
		c.mu.Lock()
		defer c.mu.Unlock()
		c.writeLimited.Store(true)
		_ = c.Conn.SetWriteDeadline(longAgo)
	}
}

// overstays is true when drain-idle is over: a draining worker has waited that long for the connection to speak.
func (c *conn) overstays(now int64) bool {
	if !c.m.draining.Load() {
		return false
	}
	phase := c.phase.Load()
	// A head that is arriving has all the time that the engine gives it. In a veiled connection it cannot be seen.
	idle := phase == phaseIdle && c.readable.Load() == 0 || phase == phaseVeiled
	since := c.idleSince.Load() // after the phase: if a request has begun meanwhile, it is 0
	return idle && since != 0 && now-max(since, c.m.drainSince.Load()) > int64(c.m.config.DrainIdle+pulseInterval)
}

// kick makes a waiting Read return, which then finds out why.
func (c *conn) kick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase.Load() == phaseForeign {
		return
	}
	c.applied.Store(true)
	_ = c.Conn.SetReadDeadline(longAgo)
}
