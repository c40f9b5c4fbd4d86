package worker

import (
	"errors"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/kernel"
)

// connOf is the worker's end of a client's connection.
func (w *testWorker) connOf(t *testing.T, c *client) (found *conn) {
	t.Helper()
	eventually(t, "the connection", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for x := range w.conns {
			if x.RemoteAddr().String() == c.LocalAddr().String() {
				found = x
			}
		}
		return found != nil
	})
	return found
}

// A connection that its owner closes while its request stands in line leaves no thread taken.
func TestCloseInLine(t *testing.T) {
	m := startTeam(t, 1)
	w := m.workers[0]
	m.fill(t, 0)
	c := dial(t, w.addr)
	c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	eventually(t, "the request to wait", func() bool { return w.Row.Waiting.Load() == 1 })
	w.connOf(t, c).Close() // as the owner of the server may do, from ConnState or ConnContext
	close(m.held)
	eventually(t, "nobody to wait", func() bool { return w.Row.Waiting.Load() == 0 })
	eventually(t, "no thread to be taken", func() bool { return w.board.Busy(0) == 0 })
}

// net/http answers OPTIONS * by itself, and reads its body. No thread waits for that.
func TestBodyThatNobodyAskedFor(t *testing.T) {
	m := startTeam(t, 1)
	c, d := dial(t, m.workers[0].addr), dial(t, m.workers[0].addr)
	c.send("OPTIONS * HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n")
	want(t, "meanwhile", d.get("/").status, 200)
	c.send("hello")
	want(t, "OPTIONS", c.answer("OPTIONS").status, 200)
}

// The read that an overdue connection gets last brings the first line of a head. What follows is no whole request.
func TestLastLookBringsALine(t *testing.T) {
	m := startTeam(t, 2)
	c := dial(t, m.workers[0].addr)
	x := m.workers[0].connOf(t, c)
	eventually(t, "the read", x.reading.Load)
	x.mu.Lock() // expired waits for it, while the line arrives; and so does a pulse, which would close the silent connection
	x.idleSince.Store(1)
	x.applied.Store(true)
	_ = x.Conn.SetReadDeadline(longAgo)
	// The socket has one reader at a time. Now that this one has had its turn the worker's is over, or begins after the deadline.
	if err := x.mover.raw.Read(func(uintptr) bool { return true }); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a read behind the deadline: %v", err)
	}
	c.send("GET / HTTP/1.1\r\n")
	eventually(t, "the line to arrive", func() bool { return queuedBytes(t, x) > 0 })
	x.mu.Unlock()
	eventually(t, "the line to be read", func() bool { return x.readable.Load() != 0 })
	m.fill(t, 0)
	c.send("Host: test\r\n\r\n")
	eventually(t, "it to wait here", func() bool { return m.stayed(0, scoreboard.StayedIncomplete) == 1 })
	close(m.held)
	want(t, "body", c.answer("GET").body, "worker 0")
}

// queuedBytes is how many bytes lie unread in a worker's end.
func queuedBytes(t *testing.T, x *conn) (n int) {
	t.Helper()
	if err := x.mover.raw.Control(func(fd uintptr) { n, _ = kernel.Peek(int(fd), make([]byte, 1)) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// An idle connection that was passed on has the time that its owner gives idle ones, not that of a new one's head.
func TestReceivedIdleConnectionMayWait(t *testing.T) {
	const head = 50 * time.Millisecond
	m := startTeam(t, 2, func(s *setup) { s.server.ReadHeaderTimeout, s.server.IdleTimeout = head, time.Minute })
	c := dial(t, m.workers[0].addr)
	want(t, "before", c.get("/").body, "worker 0")
	m.workers[0].drain(t, order{})
	eventually(t, "it to be passed on", func() bool { return m.workers[1].Row.Open.Load() == 1 })
	x := m.workers[1].connOf(t, c)
	eventually(t, "its deadline", func() bool { return x.readDeadline.Load() != 0 })
	if left := time.Duration(x.readDeadline.Load() - x.m.Clock.Now()); left < 30*time.Second {
		t.Errorf("it has %v left", left)
	}
	want(t, "after it", c.get("/").body, "worker 1")
}

// Who has left while the request stood in line for long is not served.
func TestWhoLeavesLine(t *testing.T) {
	m := startTeam(t, 1)
	w := m.workers[0]
	m.fill(t, 0)
	c := dial(t, w.addr)
	c.send("GET /hold HTTP/1.1\r\nHost: test\r\n\r\n")
	eventually(t, "the request to wait", func() bool { return w.Row.Waiting.Load() == 1 })
	c.Close()
	eventually(t, "it to wait for long", func() bool {
		since := w.Row.OldestWaiting.Load()
		return since != 0 && w.Clock.Now()-since > int64(longWait+longWait/5)
	})
	m.held <- struct{}{}
	eventually(t, "it to be gone", func() bool { return w.Row.Open.Load() == 1 })
	select {
	case who := <-m.holding:
		t.Errorf("%s runs the request of a client that has left", who)
	default:
	}
	close(m.held)
}

// Connections that have ended take no place from requests when few are left.
func TestEndsTakeNoPlace(t *testing.T) {
	m := startTeam(t, 1, func(s *setup) { s.config.QueueDepth = 4 })
	w := m.workers[0]
	var idle []*client
	for range 10 {
		c := dial(t, w.addr)
		want(t, "before", c.get("/").status, 200)
		idle = append(idle, c)
	}
	m.fill(t, 0)
	for _, c := range idle {
		c.Close()
	}
	eventually(t, "the ends to be seen", func() bool { return w.Row.Open.Load() <= 1+3 })
	c := dial(t, w.addr)
	c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	eventually(t, "the request to wait", func() bool { return w.Row.Waiting.Load() >= 4 })
	close(m.held)
	want(t, "a live request", c.answer("GET").status, 200)
}

// More than --max-connections may arrive from a worker that leaves: they are served, not kept waiting.
func TestDrainIntoFullWorkers(t *testing.T) {
	m := startTeam(t, 3, func(s *setup) { s.config.MaxConnections, s.config.Threads = 40, 4 })
	var all []*client
	for i, n := range []int{40, 20, 19} {
		for range n {
			c := dial(t, m.workers[i].addr)
			want(t, "before", c.get("/").status, 200)
			all = append(all, c)
		}
	}
	m.workers[0].drain(t, order{})
	eventually(t, "all to be elsewhere", func() bool {
		return m.workers[0].Row.Open.Load() == 0 && m.workers[1].Row.Open.Load()+m.workers[2].Row.Open.Load() == 79
	})
	for _, c := range all {
		want(t, "afterwards", c.get("/").status, 200)
	}
}

// Where HTTP/2 without TLS is spoken too, an idle connection that was passed on is one, and not a head that is arriving.
func TestReceivedWithHTTP2(t *testing.T) {
	m := startTeam(t, 2, func(s *setup) {
		s.server.Protocols = new(http.Protocols)
		s.server.Protocols.SetHTTP1(true)
		s.server.Protocols.SetUnencryptedHTTP2(true)
	})
	c := dial(t, m.workers[0].addr)
	want(t, "before", c.get("/").body, "worker 0")
	m.workers[0].drain(t, order{})
	eventually(t, "it to be passed on", func() bool { return m.workers[1].Row.Open.Load() == 1 })
	x := m.workers[1].connOf(t, c)
	eventually(t, "the read", x.reading.Load)
	want(t, "readable since", x.readable.Load(), int64(0))
	want(t, "after it", c.get("/").body, "worker 1")
}
