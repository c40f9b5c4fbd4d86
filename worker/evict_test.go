package worker

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"
)

// overdue is a connection in whose Read nothing has arrived for longer than drain-idle.
func overdue(t *testing.T) (*conn, *spy, *client) {
	t.Helper()
	c, s, peer := admitted(t)
	c.m.Draining.Store(true)
	long := c.m.Clock.Now() - int64(time.Hour)
	c.m.drainSince.Store(long)
	c.idleSince.Store(long)
	want(t, "overstays", c.overstays(c.m.Clock.Now()), true)
	return c, s, peer
}

func TestEviction(t *testing.T) {
	c, _, peer := overdue(t)
	got := c.read(t)
	c.look(c.m.Clock.Now())
	want(t, "read", await(t, "the read", got), reading{err: io.EOF})
	c.Close()
	peer.wantEOF()
}

// Bytes that arrive when the kick has hit are found by the last look: the read returns them.
func TestBytesInTheInstantOfEviction(t *testing.T) {
	c, s, peer := overdue(t)
	c.kick()
	peer.send("GET / HTTP/1.1\r\n")
	s.eventuallyReadable(t)
	p := make([]byte, headBuffer)
	n, err, again := c.expired(p, os.ErrDeadlineExceeded)
	if string(p[:n]) != "GET / HTTP/1.1\r\n" || err != nil || again {
		t.Fatalf("%q, %v, again %v", p[:n], err, again)
	}
	want(t, "a head has begun", c.readable.Load() != 0, true)
	want(t, "overstays", c.overstays(c.m.Clock.Now()), false)

	// It has all the time that the engine gives it.
	got := c.read(t)
	c.look(c.m.Clock.Now())
	c.kick()
	peer.send("Host: test\r\n\r\n")
	want(t, "read", await(t, "the rest", got), reading{text: "Host: test\r\n\r\n"})
}

// The same with the engine: the request is answered.
func TestRequestInTheInstantOfEviction(t *testing.T) {
	w, l := startSpying(t, http.HandlerFunc(hello))
	c := dial(t, w.addr)
	s := await(t, "accept", l.accepted)
	c.get("/")
	w.drain(t, order{})
	eventually(t, "the connection to be idle", func() bool { return w.only(t).phase.Load() == phaseIdle })
	kicked, goOn := make(chan struct{}), make(chan struct{})
	s.note(func() {
		s.onTimeout = sync.OnceFunc(func() {
			close(kicked)
			<-goOn
		})
	})
	w.age(time.Hour)
	await(t, "the kick", kicked)
	c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	s.eventuallyReadable(t)
	close(goOn)
	a := c.answer("GET")
	want(t, "body", a.body, "hello")
	want(t, "Connection: close", a.close, true)
	c.wantEOF()
	w.wantResult(t)
}

// eventuallyReadable waits until bytes lie in the socket, and takes none.
func (s *spy) eventuallyReadable(t *testing.T) {
	t.Helper()
	eventually(t, "the bytes", func() bool { return peeked(t, s.TCPConn) > 0 })
}

func TestLastLook(t *testing.T) {
	c, s, peer := admitted(t)
	p := make([]byte, 3)
	want(t, "bytes when there are none", c.lastLook(p), 0)
	peer.send("hello")
	s.eventuallyReadable(t)
	want(t, "bytes", c.lastLook(p), 3)
	want(t, "text", string(p), "hel")
	want(t, "bytes", c.lastLook(p), 2)
	want(t, "bytes when there are none", c.lastLook(p), 0)
	peer.Close()
	eventually(t, "the end of the stream", func() bool { return peeked(t, s.TCPConn) == 0 })
	want(t, "bytes after the end", c.lastLook(p), 0)
	c.Close()
	want(t, "bytes of a closed connection", c.lastLook(p), 0)
}

// Whatever a connection does, only silence for longer than drain-idle is a reason to close it.
func TestWhoOverstays(t *testing.T) {
	config := testConfig()
	patience := int64(config.DrainIdle + pulseInterval)
	const drainSince, idleSince = 1000, 2000
	for _, test := range []struct {
		name   string
		change func(*conn)
		now    int64
		want   bool
	}{
		{"silent for long enough", func(*conn) {}, idleSince + patience + 1, true},
		{"silent for not quite long enough", func(*conn) {}, idleSince + patience, false},
		{"silent since before the drain", func(c *conn) { c.idleSince.Store(1) }, drainSince + patience, false},
		{"silent since before the drain, long enough", func(c *conn) { c.idleSince.Store(1) }, drainSince + patience + 1, true},
		{"not draining", func(c *conn) { c.m.Draining.Store(false) }, idleSince + 2*patience, false},
		{"a head is arriving", func(c *conn) { c.readable.Store(1) }, idleSince + 2*patience, false},
		{"a request runs", func(c *conn) { c.phase.Store(phaseActive) }, idleSince + 2*patience, false},
		{"a request has just begun", func(c *conn) { c.idleSince.Store(0) }, idleSince + 2*patience, false},
		{"TLS", func(c *conn) { c.Veil() }, idleSince + patience + 1, true},
		{"TLS, and a request runs", func(c *conn) { c.Veil(); c.idleSince.Store(0) }, idleSince + 2*patience, false},
		{"hijacked", func(c *conn) { c.Release() }, idleSince + 2*patience, false},
	} {
		c, _, _ := admitted(t)
		c.m.Draining.Store(true)
		c.m.drainSince.Store(drainSince)
		c.idleSince.Store(idleSince)
		test.change(c)
		want(t, test.name, c.overstays(test.now), test.want)
	}
}

// Under TLS any byte is a sign of life, but not while a request has it anyway.
func TestVeiledSignsOfLife(t *testing.T) {
	c, _, peer := admitted(t)
	c.Veil()
	c.idleSince.Store(1)
	peer.send("x")
	await(t, "the byte", c.read(t))
	want(t, "idle since", c.idleSince.Load(), c.m.coarse.Load())
	c.idleSince.Store(0)
	peer.send("x")
	await(t, "the byte", c.read(t))
	want(t, "idle since", c.idleSince.Load(), 0)
}

// A read deadline that the engine has set means what it says, in a draining worker too.
func TestDeadlineBeforeEviction(t *testing.T) {
	c, _, _ := overdue(t)
	c.SetReadDeadline(time.Now())
	if r := await(t, "the read", c.read(t)); !errors.Is(r.err, os.ErrDeadlineExceeded) {
		t.Errorf("%+v, want the deadline", r)
	}
}
