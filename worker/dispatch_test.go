package worker

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prefork/cluster/internal/traffic"
	"github.com/prefork/cluster/ipc/scoreboard"
)

func (w *testWorker) eventuallyWaiting(t *testing.T, n int64) {
	t.Helper()
	eventually(t, "requests to wait for a thread", func() bool { return w.Row.Waiting.Load() == n })
}

// Under load never more handlers run than there are threads, and every request is answered.
func TestNeverMoreHandlersThanThreads(t *testing.T) {
	t.Parallel()
	var running, most atomic.Int64
	w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := running.Add(1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		<-time.After(100 * time.Microsecond)
		running.Add(-1)
		hello(w, r)
	}))
	report := traffic.Clients{Addr: w.addr, Connections: 24, KeepAlive: true, Requests: 1200}.Run(t.Context())
	if report.Losses() != 0 {
		t.Error(report)
	}
	want(t, "most handlers at a time", most.Load(), 3)
	want(t, "observed durations", count(&w.Row.Duration), 1200)
	want(t, "observed waits", count(&w.Row.Wait), 1200)
	eventually(t, "all threads to be free", func() bool { return w.board.Busy(0) == 0 })
}

func count(h *scoreboard.Histogram) int64 {
	var c scoreboard.Counts
	h.AddTo(&c)
	return c.Count()
}

func TestRefusedWhenTooManyWait(t *testing.T) {
	g := newGate()
	w := startWorker(t, g, func(s *setup) { s.config.Threads, s.config.QueueDepth = 1, 1 })
	running, waiting, refused := dial(t, w.addr), dial(t, w.addr), dial(t, w.addr)
	running.send("GET /running HTTP/1.1\r\nHost: test\r\n\r\n")
	want(t, "entered", await(t, "the handler", g.entered), "/running")
	waiting.send("GET /waiting HTTP/1.1\r\nHost: test\r\n\r\n")
	w.eventuallyWaiting(t, 1)

	for i := range int64(2) { // the connection stays open
		a := refused.get("/refused")
		want(t, "status", a.status, http.StatusServiceUnavailable)
		want(t, "Retry-After", a.header.Get("Retry-After"), "1")
		want(t, "body", a.body, "503 service unavailable: too many requests wait for a thread\n")
		want(t, "refused", w.Row.Refused.Load(), i+1)
	}
	close(g.leave)
	want(t, "answer", running.answer("GET").body, "/running")
	want(t, "answer", waiting.answer("GET").body, "/waiting")
	w.wantAnswers(t, [5]int64{0, 2, 0, 0, 2})
}

func TestRefusedWhenNoThreadInTime(t *testing.T) {
	g := newGate()
	w := startWorker(t, g, func(s *setup) { s.config.Threads, s.config.QueueTimeout = 1, 20*time.Millisecond })
	running, waiting := dial(t, w.addr), dial(t, w.addr)
	running.send("GET /running HTTP/1.1\r\nHost: test\r\n\r\n")
	await(t, "the handler", g.entered)
	a := waiting.get("/waiting")
	want(t, "status", a.status, http.StatusServiceUnavailable)
	want(t, "body", a.body, "503 service unavailable: no thread was free in time\n")
	close(g.leave)
	running.answer("GET")
	want(t, "answer after the refusal", waiting.get("/again").body, "/again")
	want(t, "refused", w.Row.Refused.Load(), 1)
	w.wantAnswers(t, [5]int64{0, 2, 0, 0, 1})
}

// A client that leaves while its request waits takes no thread, gets no answer, and counts as none.
func TestClientLeavesWhileWaiting(t *testing.T) {
	g := newGate()
	w := startWorker(t, g, func(s *setup) { s.config.Threads = 1 })
	running, waiting := dial(t, w.addr), dial(t, w.addr)
	running.send("GET /running HTTP/1.1\r\nHost: test\r\n\r\n")
	await(t, "the handler", g.entered)
	waiting.send("GET /waiting HTTP/1.1\r\nHost: test\r\n\r\n")
	w.eventuallyWaiting(t, 1)
	waiting.Close()
	w.eventuallyWaiting(t, 0)
	close(g.leave)
	running.answer("GET")
	eventually(t, "the connection to be closed here too", func() bool { return w.Row.Open.Load() == 1 })
	want(t, "refused", w.Row.Refused.Load(), 0)
	want(t, "handlers that ran", len(g.entered), 0)
	w.wantAnswers(t, [5]int64{0, 1, 0, 0, 0})
	want(t, "log", w.log.String(), "")
}

// Waiting runs from the last byte of the head, not from the first: a slow client is not the pool's fault.
func TestWaitBeginsWhenReadable(t *testing.T) {
	const slow = 200 * time.Millisecond
	waited := func(h *scoreboard.Histogram) time.Duration {
		var c scoreboard.Counts
		h.AddTo(&c)
		return c.Sum
	}
	t.Run("slow client", func(t *testing.T) {
		w := startWorker(t, http.HandlerFunc(hello))
		c := dial(t, w.addr)
		c.send("GET / HTTP/1.1\r\n")
		passed(time.Now().Add(slow))
		c.send("Host: test\r\n\r\n")
		c.answer("GET")
		if got := waited(&w.Row.Wait); got >= slow {
			t.Errorf("waited %v, although a thread was free", got)
		}
	})
	t.Run("no free thread", func(t *testing.T) {
		g := newGate()
		w := startWorker(t, g, func(s *setup) { s.config.Threads = 1 })
		first, second := dial(t, w.addr), dial(t, w.addr)
		first.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
		await(t, "the handler", g.entered)
		second.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
		w.eventuallyWaiting(t, 1)
		passed(time.Now().Add(slow))
		close(g.leave)
		second.answer("GET")
		first.answer("GET")
		eventually(t, "two observations", func() bool { return count(&w.Row.Duration) == 2 })
		if got := waited(&w.Row.Wait); got < slow {
			t.Errorf("waited %v, want at least %v", got, slow)
		}
		if got := waited(&w.Row.Duration); got < slow {
			t.Errorf("ran %v, want at least %v", got, slow)
		}
	})
}

// The cell of a thread says what it does.
func TestCellsTellWhatRuns(t *testing.T) {
	g := newGate()
	w := startWorker(t, g)
	c := dial(t, w.addr)
	before := w.Clock.Now()
	c.send("PUT /a/path?and=query HTTP/1.1\r\nHost: test\r\n\r\n")
	await(t, "the handler", g.entered)
	work := w.board.Cell(0, 0).Read()
	if !work.Running || work.Method != "PUT" || work.Path != "/a/path" || work.Since < before || work.Since > w.Clock.Now() {
		t.Errorf("thread 0 says %+v", work)
	}
	want(t, "busy", w.board.Busy(0), 1)
	close(g.leave)
	c.answer("PUT")
	eventually(t, "the thread to be free", func() bool { return w.board.Busy(0) == 0 })
}

// Hijack gives the thread back while the handler goes on, and counts as 1xx.
func TestHijackGivesTheThreadBack(t *testing.T) {
	over := make(chan struct{})
	w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hijack" {
			hello(w, r)
			return
		}
		nc, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		echo(t, nc, rw)
		<-over
	}), func(s *setup) { s.config.Threads = 1 })
	c := dial(t, w.addr)
	c.send("GET /hijack HTTP/1.1\r\nHost: test\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
	want(t, "line of its own protocol", c.line(), "ready\n")
	want(t, "busy", w.board.Busy(0), 0)
	want(t, "answer to another, on the only thread", dial(t, w.addr).get("/").status, http.StatusOK)
	c.send("hello\n")
	want(t, "echo", c.line(), "hello\n")
	c.CloseWrite()
	close(over)
	c.wantEOF()
	w.wantAnswers(t, [5]int64{1, 1, 0, 0, 0})
	want(t, "busy", w.board.Busy(0), 0)
	eventually(t, "both handlers to be counted", func() bool { return count(&w.Row.Duration) == 2 })
	eventually(t, "the time of one that had no thread", func() bool { return w.Row.Detached.Load() > 0 })
	if all, detached := w.Row.Duration.Sum(), time.Duration(w.Row.Detached.Load()); detached >= all {
		t.Errorf("%v of %v were without a thread: the other's too", detached, all)
	}
}

func (c *client) line() string {
	c.t.Helper()
	text, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("%q, then %v", text, err)
	}
	return text
}

// echo speaks a protocol of its own until the other side has nothing more to say.
func echo(t *testing.T, nc net.Conn, in io.Reader) {
	io.WriteString(nc, "ready\n")
	if _, err := io.Copy(nc, in); err != nil {
		t.Errorf("echo: %v", err)
	}
}
