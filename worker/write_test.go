package worker

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/worker/internal/kernel"
)

// written is what a Write or ReadFrom has brought.
type written struct {
	n   int64
	err error
}

// stuckWrite starts a Write of n bytes and returns when the sockets take no more and the client has confirmed the rest.
func (c *conn) stuckWrite(t *testing.T, n int) <-chan written {
	t.Helper()
	c.answer.Store(answerBegun)
	done := make(chan written, 1)
	go func() {
		n, err := c.Write(make([]byte, n))
		done <- written{int64(n), err}
	}()
	c.eventuallyStuck(t)
	return done
}

func (c *conn) eventuallyStuck(t *testing.T) {
	t.Helper()
	var last uint64
	still := 0
	eventually(t, "the sockets to be full", func() bool {
		acked, more, _ := kernel.Delivered(c.Conn)
		if acked != last || !more || c.writeSince.Load() == 0 {
			still = 0
		}
		last = acked
		still++
		return still > 50 // looks, a millisecond apart
	})
}

const tooMuch = 16 << 20 // more than the sockets of a connection take

// A write that makes no progress ends after the write timeout, and not before.
func TestStuckWriteEnds(t *testing.T) {
	t.Parallel()
	c, _, _ := admitted(t)
	done := c.stuckWrite(t, tooMuch)
	timeout := int64(c.m.Limits().WriteTimeout)
	start := c.m.Clock.Now()
	c.look(start) // sees that there was progress until now
	c.look(start + timeout/2)
	c.look(start + timeout)
	want(t, "writes that ended in time", len(done), 0)
	c.look(start + timeout + 1)
	if w := await(t, "the write", done); !errors.Is(w.err, os.ErrDeadlineExceeded) || w.n >= tooMuch {
		t.Errorf("wrote %d bytes, %v", w.n, w.err)
	}
}

// A client that takes a little at a time is alive, however long one write lasts.
func TestSlowClientIsAlive(t *testing.T) {
	t.Parallel()
	c, _, peer := admitted(t)
	done := c.stuckWrite(t, tooMuch)
	now := c.m.Clock.Now()
	c.look(now)
	taken := 0
	p := make([]byte, 1<<20)
	for range 5 {
		before, _, _ := kernel.Delivered(c.Conn)
		eventually(t, "progress", func() bool {
			n, err := peer.Read(p)
			if err != nil {
				t.Fatal(err)
			}
			taken += n
			acked, _, _ := kernel.Delivered(c.Conn)
			return acked > before
		})
		now += int64(c.m.Limits().WriteTimeout) + 1
		c.look(now)
	}
	want(t, "writes that ended", len(done), 0)
	rest, err := io.Copy(io.Discard, io.LimitReader(peer, int64(tooMuch-taken)))
	if err != nil || taken+int(rest) != tooMuch {
		t.Errorf("the client read %d bytes, %v", taken+int(rest), err)
	}
	want(t, "write", await(t, "the write", done), written{n: tooMuch})
}

// ReadFrom may wait for what the handler copies from. That is not the client's fault, as long as it has taken all.
func TestWaitingForTheSourceIsNoStuckWrite(t *testing.T) {
	c, _, peer := admitted(t)
	c.answer.Store(answerBegun)
	source, feed := io.Pipe()
	done := make(chan written, 1)
	go func() {
		n, err := c.ReadFrom(source)
		done <- written{n, err}
	}()
	now := c.m.Clock.Now()
	p := make([]byte, 5)
	for range 3 {
		io.WriteString(feed, "hello")
		if _, err := io.ReadFull(peer, p); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the client to confirm", func() bool {
			_, more, _ := kernel.Delivered(c.Conn)
			return !more && c.writeSince.Load() != 0
		})
		for range 3 {
			now += int64(c.m.Limits().WriteTimeout) + 1
			c.look(now)
		}
	}
	feed.Close()
	want(t, "copy", await(t, "the copy", done), written{n: 15})
}

// Where the kernel does not tell of progress a write of one piece has the timeout for itself.
func TestStuckWriteWithoutProgressReport(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := newTestMember(testConfig()).admit(nc, 0)
	defer c.Close()
	if _, _, ok := kernel.Delivered(nc); ok {
		t.Fatal("a unix socket told of its progress")
	}
	c.answer.Store(answerBegun)
	done := make(chan written, 1)
	go func() {
		n, err := c.Write(make([]byte, tooMuch))
		done <- written{int64(n), err}
	}()
	eventually(t, "a write", func() bool { return c.writeSince.Load() != 0 })
	c.look(c.writeSince.Load() + int64(c.m.Limits().WriteTimeout))
	want(t, "writes that ended in time", len(done), 0)
	c.look(c.writeSince.Load() + int64(c.m.Limits().WriteTimeout) + 1)
	if w := await(t, "the write", done); !errors.Is(w.err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote %d bytes, %v", w.n, w.err)
	}
}

// The same with the engine and the pulse: the handler sees its write fail.
func TestEngineWriteTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 700 * time.Millisecond
	failed := make(chan error, 1)
	w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, tooMuch)); err != nil {
				failed <- err
				return
			}
		}
	}), func(s *setup) { s.config.WriteTimeout = timeout })
	c := dial(t, w.addr)
	started := time.Now()
	c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	if err := await(t, "the write to fail", failed); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the handler saw %v", err)
	}
	if took := time.Since(started); took < timeout {
		t.Errorf("the write failed after %v, before the timeout of %v", took, timeout)
	}
	eventually(t, "the thread to be free", func() bool { return w.board.Busy(0) == 0 })
}

// What a handler does with its connection's write deadline ends with its request.
func TestHandlerWriteDeadline(t *testing.T) {
	t.Parallel()
	var near time.Time
	w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/limited" {
			if err := http.NewResponseController(w).SetWriteDeadline(near); err != nil {
				t.Error(err)
			}
		}
		hello(w, r)
	}))
	c := dial(t, w.addr)
	near = time.Now().Add(time.Second)
	want(t, "body", c.get("/limited").body, "hello")
	passed(near)
	want(t, "body of the next answer", c.get("/").body, "hello")

	near = time.Now().Add(-time.Second)
	c.send("GET /limited HTTP/1.1\r\nHost: test\r\n\r\n")
	c.wantEOF() // the deadline is applied
}

// A handler can lift the WriteTimeout that the server of ServeServer has.
func TestHandlerLiftsWriteTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 100 * time.Millisecond
	w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/lifted" {
			if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
				t.Error(err)
			}
		}
		passed(time.Now().Add(timeout + 20*time.Millisecond))
		hello(w, r)
	}), func(s *setup) { s.server.WriteTimeout = timeout })
	want(t, "body", dial(t, w.addr).get("/lifted").body, "hello")
	c := dial(t, w.addr)
	c.send("GET /limited HTTP/1.1\r\nHost: test\r\n\r\n")
	c.wantEOF()
}

// A handler can limit how long it waits for the body, by less and by more than what the wrapper leaves to the pulse.
func TestHandlerReadDeadline(t *testing.T) {
	t.Parallel()
	type outcome struct {
		err  error
		took time.Duration
	}
	outcomes := make(chan outcome, 1)
	w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit, _ := time.ParseDuration(strings.TrimPrefix(r.URL.Path, "/"))
		started := time.Now()
		if err := http.NewResponseController(w).SetReadDeadline(started.Add(limit)); err != nil {
			t.Error(err)
		}
		_, err := io.ReadAll(r.Body)
		outcomes <- outcome{err, time.Since(started)}
		hello(w, r)
	}))
	for _, limit := range []time.Duration{50 * time.Millisecond, lazyAfter + 50*time.Millisecond} {
		c := dial(t, w.addr)
		c.send("POST /" + limit.String() + " HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12345")
		got := await(t, "the handler", outcomes)
		if !errors.Is(got.err, os.ErrDeadlineExceeded) || got.took < limit {
			t.Errorf("limit %v: %v after %v", limit, got.err, got.took)
		}
		want(t, "status", c.answer("POST").status, http.StatusOK)
	}
}
