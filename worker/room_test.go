package worker

import (
	"math"
	"net/http"
	"runtime/debug"
	"testing"

	"github.com/prefork/cluster/ipc"
)

// With as many connections open as may be, others wait in the kernel's queue, and none is refused.
func TestMaxConnections(t *testing.T) {
	w := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.config.MaxConnections = 2 })
	first, second := dial(t, w.addr), dial(t, w.addr)
	first.get("/")
	second.get("/")
	third := dial(t, w.addr)
	third.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	eventually(t, "the third to wait in the kernel", func() bool { return queued(w.binds[0]) })
	want(t, "open", w.Row.Open.Load(), 2)
	first.Close()
	want(t, "the third's answer", third.answer("GET").status, http.StatusOK)
	want(t, "accepted", w.Row.Accepted.Load(), 3)

	// What waits for room does not keep a draining worker from leaving.
	fourth := dial(t, w.addr)
	eventually(t, "the fourth to wait in the kernel", func() bool { return queued(w.binds[0]) })
	w.drain(t, order{})
	want(t, "accepted in the end", w.Row.Accepted.Load(), 3)
	fourth.Close()
}

// More room counts at once.
func TestMaxConnectionsIsLive(t *testing.T) {
	w := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.config.MaxConnections = 1 })
	dial(t, w.addr).get("/")
	second := dial(t, w.addr)
	second.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	eventually(t, "the second to wait in the kernel", func() bool { return queued(w.binds[0]) })
	limits := *w.Limits()
	limits.MaxConnections = 2
	w.configure(limits)
	want(t, "the second's answer", second.answer("GET").status, http.StatusOK)
}

// The master changes a running worker's limits by a message, and refuses what does not fit.
func TestConfigure(t *testing.T) {
	m := newTestMember(testConfig())
	limits := *m.Limits()
	limits.Threads, limits.QueueDepth = 2, 7
	m.do(ipc.Message{Type: ipc.Configure, Limits: &limits}, nil)
	want(t, "limits", *m.Limits(), limits)
}

// The soft limit of the heap is there from the start, changes while the worker runs, goes, and gives way to the application's own.
func TestMemoryLimit(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	none := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(none) })
	config := testConfig()
	config.Memory = 9 << 30
	m := newTestMember(config)
	want(t, "limit at the start", debug.SetMemoryLimit(-1), int64(9<<30))
	configure := func(bytes int64) int64 {
		limits := *m.Limits()
		limits.Memory = bytes
		m.do(ipc.Message{Type: ipc.Configure, Limits: &limits}, nil)
		return debug.SetMemoryLimit(-1)
	}
	want(t, "another", configure(8<<30), int64(8<<30))
	want(t, "none", configure(0), int64(math.MaxInt64))
	t.Setenv("GOMEMLIMIT", "7GiB")
	want(t, "beside the application's own", configure(9<<30), int64(math.MaxInt64))
}
