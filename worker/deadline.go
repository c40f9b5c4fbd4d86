package worker

import (
	"io"
	"math"
	"syscall"
	"time"

	"github.com/prefork/cluster/worker/internal/kernel"
)

// expired decides what a read that hit the real deadline means: the engine's own deadline, a head that does not end, a
// silence that was too long (then it looks once more for bytes that came in this moment), or nothing, because the deadline
// was moved meanwhile: then the read is done again.
func (c *conn) expired(p []byte, timeout error) (n int, err error, again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.readDeadline.Load()
	now := c.m.Clock.Now()
	late := c.overdue(now)
	if c.bodyLate.Load() && c.phase.Load() == phaseActive && len(p) > 1 { // as in Read
		c.readDeadline.Store(aborted) // for this body, nothing more is waited for
		return 0, timeout, false
	}
	if c.fresh() && d != 0 && now >= d {
		_ = c.Conn.Close()
		return 0, io.EOF, false // to the engine it is a new connection, and some answer those that say nothing
	}
	if c.phase.Load() == phaseForeign || d != 0 && now >= d || late && c.readable.Load() != 0 {
		return 0, timeout, false
	}
	// What the engine asks for is real from here on: it may be nearer than the next look.
	wanted := time.Time{}
	if d != 0 {
		wanted = c.m.Clock.Time(d)
	}
	c.applied.Store(d != 0)
	if err := c.Conn.SetReadDeadline(wanted); err != nil {
		return 0, err, false
	}
	if !late && !c.overstays(now) {
		return 0, nil, true
	}
	if n := c.lastLook(p); n > 0 { // without a thread; it may have to wait for one here
		c.took(c.phase.Load())
		return n, nil, false
	}
	_ = c.Conn.Close() // at once: what arrives from here on is lost, and the engine takes its time
	return 0, io.EOF, false
}

// lastLook reads what is there without waiting.
func (c *conn) lastLook(p []byte) int {
	sc, ok := c.socket.(syscall.Conn)
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
		c.begin()
	}
	if t.IsZero() {
		c.readDeadline.Store(0)
		return c.unapply()
	}
	if c.fresh() && t.After(c.m.Clock.Time(aborted)) {
		if t = c.mover.postpone(t); t.IsZero() {
			return nil
		}
	}
	d := c.m.Clock.At(t)
	if d <= 0 { // before the machine was started, or so far ahead that the sum is too large
		d = aborted
		if t.After(c.m.Clock.Time(d)) {
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

// look is the pulse's view of a connection: it fires the deadlines that are stored here.
func (c *conn) look(now int64) {
	if c.phase.Load() == phaseForeign {
		return
	}
	limits := c.m.Limits()
	if since := c.writeSince.Load(); since != 0 && limits.WriteTimeout > 0 {
		c.lookAtWrite(now, since)
	}
	if since := c.bodySince.Load(); since != 0 && limits.BodyTimeout > 0 && now-since > int64(limits.BodyTimeout+quietPulse) {
		c.bodyLate.Store(true)
		c.kick()
		return
	}
	if c.mover != nil && c.mover.waits.Load() {
		return // in line, which has a timeout of its own
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
	if c.m.Secure(c.bind) {
		return false // the engine watches: the wrapper does not see what goes on under TLS
	}
	limits := c.m.Limits()
	since, limit, watched := c.idleSince.Load(), limits.IdleTimeout, c.m.WatchIdle
	switch phase := c.phase.Load(); {
	case phase == phaseIdle && c.readable.Load() != 0:
		since, limit, watched = c.headSince.Load(), limits.HeadTimeout, c.m.WatchHeads
	case phase == phaseIdle && !c.reused.Load():
		limit, watched = limits.HeadTimeout, c.m.WatchHeads
	case phase != phaseIdle && phase != phaseVeiled:
		return false
	}
	return watched && limit > 0 && since != 0 && now-since > int64(limit+quietPulse) // since may be that old
}

// lookAtWrite ends a write that makes no progress. A client that takes little at a time is alive, and one that has taken
// all waits for the handler, which ReadFrom may be waiting for, too.
func (c *conn) lookAtWrite(now, since int64) {
	acked, more, ok := kernel.Delivered(c.socket)
	switch {
	case ok && (c.acked.Swap(acked) != acked || !more):
		c.writeSince.CompareAndSwap(since, now) // else another write has begun, or none runs
	case now-since > int64(c.m.Limits().WriteTimeout):
		c.mu.Lock()
		defer c.mu.Unlock()
		c.writeLimited.Store(true)
		_ = c.Conn.SetWriteDeadline(longAgo)
	}
}

// overstays is true when drain-idle is over: a draining worker has waited that long for the connection to speak.
func (c *conn) overstays(now int64) bool {
	if !c.m.Draining.Load() {
		return false
	}
	phase := c.phase.Load()
	// A head that is arriving has all the time that the engine gives it. In a veiled connection it cannot be seen.
	idle := phase == phaseIdle && c.readable.Load() == 0 || phase == phaseVeiled
	since := c.idleSince.Load() // after the phase: if a request has begun meanwhile, it is 0
	return idle && since != 0 && now-max(since, c.m.drainSince.Load()) > int64(c.m.Limits().DrainIdle+pulseInterval)
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
