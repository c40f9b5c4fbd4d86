package worker

import (
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/prefork/cluster/worker/internal/engine"
)

// What a connection is doing, as far as the wrapper must know.
const (
	phaseIdle    = iota // no request is being served: a head is awaited or arriving
	phaseActive         // a handler runs or its answer is being written
	phaseVeiled         // TLS or HTTP/2: bytes mean nothing to the wrapper, it knows what the engine's states say
	phaseForeign        // hijacked, or a protocol of the application's own: only counted
)

// Whose the next bytes are that the engine writes. Only from answerAwaited does it go on, by compare-and-swap: so the answer is
// either the engine's or that of the one who has claimed it, and no byte of both.
const (
	answerBegun    = iota // a part of the running answer's, or of what is not looked at
	answerAwaited         // the first of an answer
	answerReplaced        // another answer was given: they are thrown away
)

// lazyAfter: a read deadline further away than this is watched by the pulse instead of a runtime timer. It must be longer
// than two pulses.
const lazyAfter = 2 * time.Second

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
	net.Conn          // the socket, or what reads a PROXY protocol header from it
	socket   net.Conn // as it was accepted
	m        *member

	phase     atomic.Int32
	answer    atomic.Int32 // who writes it: answerBegun and so on
	readable  atomic.Int64 // when the last bytes of the coming head arrived; 0: none has arrived
	headSince atomic.Int64 // when the first ones did
	idleSince atomic.Int64 // coarse; 0 while the engine serves a request. If veiled: of the last bytes, too
	reused    atomic.Bool  // a request has been served
	awaited   atomic.Bool  // the engine has set the deadline for the first bytes of the next one

	mover   *mover // nil: it stays in this process
	bodied  atomic.Bool
	begun   atomic.Bool // a byte of the coming request is in this process
	pieces  atomic.Bool // its head did not come at once
	bind    int
	held    engine.Held              // of the running HTTP/1 request
	count   atomic.Int32             // requests begun
	instant *instant                 // writes without waiting; nil until the first such
	pending atomic.Pointer[overflow] // what a slow client has not taken yet; nil until the first one is slow

	entry        atomic.Pointer[engine.Entry] // of the access log; nil unless a request is to be logged
	meter        engine.Meter                 // of its answer
	buffering    atomic.Bool                  // a thread is held: what cannot be written at once is buffered
	bodySince    atomic.Int64                 // coarse time at which a Read of a request body began; 0: none runs
	bodyLate     atomic.Bool                  // it made no progress for too long
	readDeadline atomic.Int64                 // what the engine asked for; 0: none
	writeSince   atomic.Int64                 // coarse time at which a running Write began or made progress; 0: none runs
	acked        atomic.Uint64                // what the client had acknowledged at the last look at a running Write
	mu           sync.Mutex                   // guards the next two together with the real deadlines, and shut with being passed on
	shut         bool                         // Close was called
	applied      atomic.Bool                  // the real read deadline is set
	reading      atomic.Bool                  // a Read is in the socket, where only a real deadline reaches it
	writeLimited atomic.Bool                  // the real write deadline is set

	closed atomic.Bool
}

// admit wraps an accepted connection and counts it.
func (m *member) admit(nc net.Conn, bind int) *conn {
	c := &conn{Conn: nc, socket: nc, m: m, bind: bind}
	switch {
	case m.proxied(bind):
		c.Conn = proxyproto.NewConn(nc, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(m.Limits().HeadTimeout))
	case m.siblings != nil && !m.Secure(bind) && !m.Stationary:
		c.mover = newMover(c)
	}
	c.idleSince.Store(m.coarse.Load())
	m.Row.Accepted.Add(1)
	m.enter(c)
	return c
}

// enter counts a connection as open.
func (m *member) enter(c *conn) {
	c.awaitAnswer()
	m.Row.Open.Add(1)
	m.mu.Lock()
	m.conns[c] = struct{}{}
	m.mu.Unlock()
}

// proxied says whether the connections of a bind begin with a PROXY protocol header
// (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt).
func (m *member) proxied(bind int) bool {
	return bind < len(m.Config.Binds) && m.Config.Binds[bind].Proxy
}

// Close closes the connection and takes it off the books.
func (c *conn) Close() error {
	c.mu.Lock()
	gone := c.gone()
	c.shut = true // from here on it is not passed on
	c.mu.Unlock()
	var err error
	if !gone {
		err = c.Conn.Close()
	}
	c.m.GiveBack(&c.held) // of a request that the engine has refused, or of one that was in line
	if c.closed.Swap(true) {
		return err
	}
	c.logged()
	m := c.m
	m.mu.Lock()
	delete(m.conns, c)
	left := len(m.conns)
	m.room.Broadcast()
	m.mu.Unlock()
	m.Row.Open.Add(-1)
	if left == 0 && m.Draining.Load() {
		select {
		case m.empty <- struct{}{}:
		default:
		}
	}
	return err
}

// Read reads, notes when a head became readable, and translates its own kicks back into what the engine may see.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) > 1 && len(p) < c.m.HeadBuffer && c.phase.Load() == phaseIdle && c.reused.Load() && !c.fresh() {
		// The engine has a beginning of the next request: of a pipelined one, or the byte that net/http reads to see a client
		// leave. One that reads a single byte waits for the first, without a buffer.
		c.begin()
	}
	for {
		c.reading.Store(true)
		phase := c.phase.Load()
		if c.readDeadline.Load() == aborted && phase != phaseForeign {
			c.reading.Store(false)
			return 0, os.ErrDeadlineExceeded
		}
		body := phase == phaseActive && len(p) > 1 // net/http's watch for the client's disappearance reads one byte
		if body {
			c.bodySince.Store(c.m.coarse.Load())
		}
		n, err := c.receive(p, phase)
		if body {
			c.bodySince.Store(0)
		}
		c.reading.Store(false)
		if err == nil || c.readDeadline.Load() == aborted || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if n, err, again := c.expired(p, err); !again {
			return n, err
		}
	}
}

// receive reads once. A connection that can be passed on is read with care.
func (c *conn) receive(p []byte, phase int32) (int, error) {
	switch {
	case c.mover == nil || phase > phaseActive:
	case phase == phaseIdle && len(p) >= c.m.HeadBuffer && !c.begun.Load():
		return c.mover.read(p)
	case phase == phaseIdle:
		c.pieces.Store(true)
		c.m.GiveBack(&c.held) // no thread waits for the rest of a head
	case c.bodied.Load():
	case len(p) == 1:
		return c.mover.watch()
	default: // net/http reads the body of a request that it answers itself
		c.Bodied()
		c.m.GiveBack(&c.held)
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.took(phase)
	}
	return n, err
}

// begin notes that a head is arriving of which no byte was seen here. net/http has it, perhaps a line of it in its hands, while it
// offers its whole buffer.
func (c *conn) begin() {
	c.begun.Store(true)
	if c.readable.Load() == 0 {
		now := c.m.Clock.Now()
		c.headSince.Store(now)
		c.readable.Store(now)
	}
}

// took notes that bytes of the coming request are in this process.
func (c *conn) took(phase int32) {
	if phase == phaseIdle {
		c.begun.Store(true)
	}
	c.heard()
}

func (c *conn) heard() {
	switch c.phase.Load() {
	case phaseIdle:
		now := c.m.Clock.Now()
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

// CloseWrite is what net/http does before it closes on a client that still sends.
func (c *conn) CloseWrite() error {
	if c.gone() {
		return nil
	}
	if hc, ok := c.socket.(interface{ CloseWrite() error }); ok {
		return hc.CloseWrite()
	}
	return nil
}

// Veil stops the interpretation of bytes.
func (c *conn) Veil() {
	c.phase.Store(phaseVeiled)
	c.answer.CompareAndSwap(answerAwaited, answerBegun)
}

// awaitAnswer: the next bytes written begin an answer, unless the engine counts by itself, or the last one was replaced.
func (c *conn) awaitAnswer() {
	if !c.m.CountsItself {
		c.answer.CompareAndSwap(answerBegun, answerAwaited)
	}
}

// Veiled says whether bytes are interpreted.
func (c *conn) Veiled() bool { return c.phase.Load() == phaseVeiled }

// Begin notes that a request is being served.
func (c *conn) Begin() {
	c.idleSince.Store(0)
	if c.bodyLate.Load() { // a store costs more than a load
		c.bodyLate.Store(false)
	}
	c.phase.CompareAndSwap(phaseIdle, phaseActive)
}

// Log notes what is to be logged of the running request.
func (c *conn) Log(e *engine.Entry) { c.entry.Store(e) }

// logged writes the line of a request that has been answered or never will be.
func (c *conn) logged() {
	if c.m.Requests == nil {
		return
	}
	if e := c.entry.Swap(nil); e != nil {
		e.Write()
	}
}

// End notes that the next request is awaited.
func (c *conn) End() {
	c.logged()
	c.held.Forget()
	c.idleSince.Store(c.m.coarse.Load())
	if c.phase.Load() == phaseVeiled {
		return
	}
	c.readable.Store(0)
	c.awaited.Store(false)
	if c.mover != nil {
		c.bodied.Store(false)
		c.begun.Store(false)
		c.pieces.Store(false)
		c.mover.hops = 0
	}
	if !c.reused.Load() {
		c.reused.Store(true)
	}
	c.awaitAnswer()
	c.phase.CompareAndSwap(phaseActive, phaseIdle)
}

// Readable is when the last bytes of the head arrived.
func (c *conn) Readable() int64 { return c.readable.Load() }

// Held is the thread of the running request.
func (c *conn) Held() *engine.Held { return &c.held }

// Bind is the number of its bind.
func (c *conn) Bind() int { return c.bind }

// Count counts a request and returns which it is.
func (c *conn) Count() int { return int(c.count.Add(1)) }

// Release leaves the connection to others: from now on deadlines are real and nothing is evicted. A thread that is held is
// given back.
func (c *conn) Release() {
	if c.phase.Load() == phaseActive && c.answer.CompareAndSwap(answerAwaited, answerBegun) { // hijacked before an answer: the application gives its own
		c.m.Account(&c.held).Answer(http.StatusSwitchingProtocols)
		if e := c.entry.Load(); e != nil {
			e.Status.Store(http.StatusSwitchingProtocols)
		}
	}
	c.m.GiveBack(&c.held)
	c.Buffer(false)
	c.logged()
	c.answer.CompareAndSwap(answerAwaited, answerBegun)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase.Store(phaseForeign) // under the mutex: a kick that comes later must not hit the new owner
	c.readDeadline.Store(0)
	if c.applied.Swap(false) {
		_ = c.Conn.SetReadDeadline(time.Time{})
	}
}
