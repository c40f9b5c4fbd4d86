package worker

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// What the wrapper takes for granted of net/http, so that a change of it fails here and not in a restart.

// heads are the rooms that reads were offered, without the single bytes of net/http's watch for the client's disappearance:
// whether those reach the socket depends on how long the handler runs.
func heads(reads []int) []int {
	return slices.DeleteFunc(slices.Clone(reads), func(n int) bool { return n == 1 })
}

// One byte is offered while a request without body runs.
func TestRoomForTheWatch(t *testing.T) {
	goOn := make(chan struct{})
	w, l := startSpying(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-goOn
		hello(w, r)
	}))
	c := dial(t, w.addr)
	s := await(t, "accept", l.accepted)
	c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	eventually(t, "the watch", func() (done bool) {
		s.note(func() { done = slices.Equal(s.reads, []int{headBuffer, 1}) })
		return done
	})
	close(goOn)
	want(t, "body", c.answer("GET").body, "hello")
	want(t, "body of the next", c.get("/").body, "hello") // the watch took nothing and left no deadline
}

// A read for a request head is offered 4,096 bytes as long as no byte of it has been read, and fewer once one has.
func TestRoomForAHead(t *testing.T) {
	w, l := startSpying(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		hello(w, r)
	}))
	c := dial(t, w.addr)
	s := await(t, "accept", l.accepted)
	rooms := func(wanted ...int) {
		t.Helper()
		eventually(t, "the next read", func() (done bool) {
			s.note(func() { done = len(heads(s.reads)) >= len(wanted) })
			return done
		})
		s.note(func() {
			if !slices.Equal(heads(s.reads), wanted) {
				t.Errorf("rooms offered: %d, want %d", s.reads, wanted)
			}
			s.reads = nil
		})
	}
	rooms(headBuffer)
	c.get("/")
	rooms(headBuffer)
	c.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n12345")
	c.answer("POST")
	rooms(headBuffer)
	const part, line = "GET / HT", "TP/1.1\r\n"
	c.send(part)
	rooms(headBuffer - len(part))
	c.send(line) // whole lines are taken out, so full room does not mean that no head has begun
	rooms(headBuffer)
	c.send("Host: test\r\n\r\n")
	c.answer("GET")
	rooms(headBuffer)
	c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n" + part) // a pipelined one that is not complete
	c.answer("GET")
	rooms(headBuffer - len(part))
}

// The beginning of a request that comes with the one before lies in net/http's buffer. The wrapper knows of up to three
// bytes by the room that a read is offered, and of more by the second deadline that net/http sets.
func TestBeginningOfAPipelinedRequestIsSeen(t *testing.T) {
	for _, timeout := range []time.Duration{time.Minute, -1} {
		w, l := startSpying(t, http.HandlerFunc(hello), func(s *setup) {
			s.server.IdleTimeout, s.server.ReadHeaderTimeout = timeout, timeout
		})
		for _, part := range []string{"", "G", "GET", "GET ", "GET / HT", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: test\r\n"} {
			c := dial(t, w.addr)
			s := await(t, "accept", l.accepted)
			c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n" + part)
			c.answer("GET")
			eventually(t, "the read for the next head", func() (waits bool) {
				s.note(func() { waits = len(heads(s.reads)) == 2 })
				return waits
			})
			if seen := w.only(t).readable.Load() != 0; seen != (part != "") {
				t.Errorf("after %q: a head has begun: %v", part, seen)
			}
			c.Close()
			eventually(t, "the connection to be closed", func() bool { return w.openConnections() == 0 })
		}
	}
}

// only is the one connection that is open.
func (m *member) only(t *testing.T) *conn {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.conns) != 1 {
		t.Fatalf("%d connections are open", len(m.conns))
	}
	for c := range m.conns {
		return c
	}
	panic("unreachable")
}

func TestFilesAreSentByTheKernel(t *testing.T) {
	t.Parallel()
	data := pattern(3<<20 + 12345)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	w, l := startSpying(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) }))
	c := dial(t, w.addr)
	a := c.get("/")
	want(t, "status", a.status, http.StatusOK)
	wantSame(t, []byte(a.body), data)
	s := await(t, "accept", l.accepted)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.copied < int64(len(data))-4096 {
		t.Errorf("the kernel copied %d of %d bytes", s.copied, len(data))
	}
	for _, r := range s.copies {
		limited, ok := r.(*io.LimitedReader)
		if !ok {
			t.Fatalf("the kernel was to copy from a %T", r)
		}
		if _, ok := limited.R.(*os.File); !ok {
			t.Errorf("the kernel was to copy from a %T, not a file", limited.R)
		}
	}
}

// Answers longer than one write timeout covers go out in pieces, and arrive whole.
func TestLargeAnswersArriveWhole(t *testing.T) {
	t.Parallel()
	data := pattern(5<<20 + 777)
	w, l := startSpying(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/length":
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			w.Write(data)
		case "/chunked":
			w.(http.Flusher).Flush()
			w.Write(data)
		case "/copied":
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			io.Copy(w, struct{ io.Reader }{bytes.NewReader(data)})
		case "/copied chunked":
			io.Copy(w, struct{ io.Reader }{bytes.NewReader(data)})
		}
	}))
	c := dial(t, w.addr)
	s := await(t, "accept", l.accepted)
	for _, path := range []string{"/length", "/chunked", "/copied", "/copied%20chunked"} {
		a := c.get(path)
		want(t, "status of "+path, a.status, http.StatusOK)
		wantSame(t, []byte(a.body), data)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	want(t, "longest write", slices.Max(s.writes), writePiece)
}

// After a refusal net/http closes its half, so that the client can still read why.
func TestHalfCloseIsForwarded(t *testing.T) {
	t.Parallel()
	w, l := startSpying(t, http.HandlerFunc(hello), func(s *setup) { s.server.MaxHeaderBytes = 1 })
	c := dial(t, w.addr)
	c.send("GET / HTTP/1.1\r\nHost: test\r\nX: " + string(bytes.Repeat([]byte("x"), 8000)) + "\r\n\r\n")
	want(t, "status", c.answer("GET").status, http.StatusRequestHeaderFieldsTooLarge)
	c.wantEOF()
	s := await(t, "accept", l.accepted)
	s.note(func() { want(t, "half-closes", s.writesClosed, 1) })

	m := newTestMember(testConfig())
	pipe, _ := net.Pipe()
	if err := m.admit(pipe, 0).CloseWrite(); err != nil {
		t.Errorf("where it cannot be done: %v", err)
	}
}

func pattern(n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(data)
	return data
}

func wantSame(t *testing.T, got, wanted []byte) {
	t.Helper()
	if len(got) != len(wanted) || sha256.Sum256(got) != sha256.Sum256(wanted) {
		t.Errorf("%d bytes arrived, not the same as the %d that were sent", len(got), len(wanted))
	}
}
