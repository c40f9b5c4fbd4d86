package worker

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A connection's last answer says that it is the last, on a new connection and on one that was there when the limit came.
func TestMaxRequests(t *testing.T) {
	t.Parallel()
	w := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.config.MaxRequests = 3 })
	c := dial(t, w.addr)
	c.send(strings.Repeat(request, 5))
	for i := range 3 {
		a := c.answer("GET")
		want(t, "body", a.body, "hello")
		want(t, fmt.Sprintf("Connection: close of answer %d", i+1), a.close, i == 2)
	}
	if rest, err := io.ReadAll(c.in); len(rest) > 0 {
		t.Errorf("after the last answer: %q, %v", rest, err)
	}
	old := dial(t, w.addr)
	old.get("/")
	limits := *w.Limits()
	limits.MaxRequests = 1
	w.configure(limits)
	want(t, "Connection: close with the new limit", old.get("/").close, true)
	limits.MaxRequests = 0
	w.configure(limits)
	free := dial(t, w.addr)
	for range 5 {
		want(t, "Connection: close without a limit", free.get("/").close, false)
	}
}

// A stream counts as a request, and none is lost when its connection is the last it may use.
func TestMaxRequestsOfStreams(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"https h2", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			w, base, c := startVeiled(t, protocol, http.HandlerFunc(hello), func(s *setup) { s.config.MaxRequests = 3 })
			for range 9 {
				if status, _, body, err := fetch(c, base); status != http.StatusOK || body != "hello" {
					t.Fatalf("%d %q, %v", status, body, err)
				}
			}
			want(t, "connections", w.Row.Accepted.Load(), 3)
		})
	}
}

func TestMaxHead(t *testing.T) {
	t.Parallel()
	w := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.config.MaxHead = 10_000 })
	for size, status := range map[int]int{9_000: http.StatusOK, 20_000: http.StatusRequestHeaderFieldsTooLarge} { // net/http adds 4096
		c := dial(t, w.addr)
		c.send("GET / HTTP/1.1\r\nHost: test\r\nX: " + strings.Repeat("x", size) + "\r\n\r\n")
		want(t, fmt.Sprintf("status for a head of %d bytes", size), c.answer("GET").status, status)
	}
}

// Limits of bodies and responses hold for the next request of a connection that is there.
func TestBufferLimitsAreLive(t *testing.T) {
	t.Parallel()
	data := pattern(60 << 10)
	w, c, returned := drip(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fixed(data)(w, r)
	}, func(s *setup) { s.config.BufferResponse = 0 })
	c.send(request)
	eventually(t, "the thread to be taken", func() bool { return w.board.Busy(0) == 1 })
	limits := *w.Limits()
	limits.BufferResponse, limits.MaxBody = bufferSize, 10
	w.configure(limits)
	wantSame(t, []byte(c.answer("GET").body), data)
	await(t, "the handler", returned)
	c.send(request)
	await(t, "the handler, though nothing is read", returned)
	wantSame(t, []byte(c.answer("GET").body), data)
	c.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\n12345678901")
	want(t, "status", c.answer("POST").status, http.StatusRequestEntityTooLarge)
}

// While the cluster is to stop soon all is served, each request as the last one of its connection.
func TestLeaving(t *testing.T) {
	leave := func(w *testWorker) {
		limits := *w.Limits()
		limits.Leaving = true
		w.configure(limits)
	}
	t.Run("http", func(t *testing.T) {
		t.Parallel()
		w := startWorker(t, http.HandlerFunc(hello))
		kept := dial(t, w.addr)
		want(t, "close before", kept.get("/").close, false)
		leave(w)
		for _, c := range []*client{kept, dial(t, w.addr)} {
			a := c.get("/")
			want(t, "status", a.status, http.StatusOK)
			want(t, "close", a.close, true)
			c.wantEOF()
		}
	})
	t.Run("veiled", func(t *testing.T) {
		perVeiledProtocol(t, func(t *testing.T, protocol string) {
			w, base, c := startVeiled(t, protocol, http.HandlerFunc(hello))
			for _, before := range []bool{true, false} {
				if a, err := fetchAnswer(c, base); err != nil || a.status != http.StatusOK {
					t.Fatalf("%v, %v", a, err)
				}
				if before {
					want(t, "connections", w.openConnections(), 1)
					leave(w)
				}
			}
			eventually(t, "the connection to be closed", func() bool { return w.openConnections() == 0 })
		})
	})
}
