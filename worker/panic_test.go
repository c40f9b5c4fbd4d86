package worker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

const answered500 = "500 internal server error\n"

func TestPanicBeforeAnyByte(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"at once":  func(http.ResponseWriter, *http.Request) { panic("no reason") },
		"an error": func(http.ResponseWriter, *http.Request) { panic(errors.New("no reason")) },
		"after headers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			panic("no reason")
		},
		"after a status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK); panic("no reason") },
		"after a body": func(w http.ResponseWriter, r *http.Request) {
			hello(w, r) // it lies in net/http's buffers
			panic("no reason")
		},
		"after early hints": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			panic("no reason")
		},
		"of an impossible status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(99) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := startWorker(t, handler)
			c := dial(t, w.addr)
			a := c.get("/the/path")
			if a.status == http.StatusEarlyHints {
				a = c.answer("GET")
			}
			want(t, "status", a.status, http.StatusInternalServerError)
			want(t, "body", a.body, answered500)
			want(t, "Connection: close", a.close, true)
			c.wantEOF()
			w.wantAnswers(t, [5]int64{0, 0, 0, 0, 1})
			want(t, "panics", w.Row.Panics.Load(), 1)
			for _, part := range []string{"handler panicked", "method=GET", "path=/the/path", "panic_test.go"} {
				if !strings.Contains(w.log.String(), part) {
					t.Errorf("the log does not say %q:\n%s", part, w.log)
				}
			}
			eventually(t, "the thread to be free", func() bool { return w.board.Busy(0) == 0 })
		})
	}
}

func TestPanicAnswersHead(t *testing.T) {
	w := startWorker(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("no reason") }))
	c := dial(t, w.addr)
	a := c.ask(http.MethodHead, "/")
	want(t, "status", a.status, http.StatusInternalServerError)
	want(t, "length", a.header.Get("Content-Length"), fmt.Sprint(len(answered500)))
	c.wantEOF()
}

// Once something of the answer has left, the client must see that it is not whole.
func TestPanicWithinAnAnswer(t *testing.T) {
	w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hello(w, r)
		w.(http.Flusher).Flush()
		panic("no reason")
	}))
	c := dial(t, w.addr)
	c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(r.Body); string(body) != "hello" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %q, %v; want hello and then %v", body, err, io.ErrUnexpectedEOF)
	}
	w.wantAnswers(t, [5]int64{0, 1, 0, 0, 0}) // begun
	want(t, "panics", w.Row.Panics.Load(), 1)
}

// http.ErrAbortHandler is the handler's way to hang up, and nothing to log.
func TestAbortHandler(t *testing.T) {
	for name, v := range map[string]error{"plain": http.ErrAbortHandler, "wrapped": fmt.Errorf("enough: %w", http.ErrAbortHandler)} {
		t.Run(name, func(t *testing.T) {
			w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				hello(w, r)
				panic(v)
			}))
			c := dial(t, w.addr)
			c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
			c.wantEOF()
			w.wantAnswers(t, [5]int64{})
			want(t, "panics", w.Row.Panics.Load(), 0)
			want(t, "log", w.log.String(), "")
		})
	}
}

// A client that is still sending a body reads the 500, where a reset would destroy it on its way.
func TestPanicWithUnreadBody(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"short":   "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000),
		"long":    "Content-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1_000_000),
		"chunked": "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("4000\r\n"+strings.Repeat("x", 0x4000)+"\r\n", 10) + "0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := startWorker(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("no reason") }))
			c := dial(t, w.addr)
			c.send("POST / HTTP/1.1\r\nHost: test\r\n" + body)
			a := c.answer("POST")
			want(t, "status", a.status, http.StatusInternalServerError)
			want(t, "body", a.body, answered500)
			c.wantEOF()
		})
	}
}

// The body that the client still owes delays neither the answer nor the thread, and only for a moment the connection.
func TestPanicWithMissingBody(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"missing":      "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n",
		"100-continue": "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := startWorker(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("no reason") }))
			c := dial(t, w.addr)
			c.send(head)
			a := c.answer("POST")
			want(t, "status", a.status, http.StatusInternalServerError)
			want(t, "busy", w.board.Busy(0), 0)
			c.wantEOF()
			started := time.Now()
			eventually(t, "the connection to be closed", func() bool { return w.openConnections() == 0 })
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("the connection was closed after %v", took)
			}
		})
	}
}

// A handler that ends its goroutine has no one to answer; its thread comes back all the same.
func TestGoexit(t *testing.T) {
	w := startWorker(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runtime.Goexit() }))
	c := dial(t, w.addr)
	c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	c.wantEOF()
	want(t, "busy", w.board.Busy(0), 0)
}

// A panic after Hijack leaves the connection to its new owner.
func TestPanicAfterHijack(t *testing.T) {
	mine := make(chan io.ReadWriteCloser, 1)
	w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		nc, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		mine <- nc
		panic("no reason")
	}))
	c := dial(t, w.addr)
	c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	nc := await(t, "the hijacked connection", mine)
	eventually(t, "the panic", func() bool { return w.Row.Panics.Load() == 1 })
	io.WriteString(nc, "still here\n")
	want(t, "line", c.line(), "still here\n")
	nc.Close()
	c.wantEOF()
	w.wantAnswers(t, [5]int64{1, 0, 0, 0, 0})
}

// The answer goes around net/http's buffers: what lies in them must not follow it.
func TestPanicLeavesNothingBehindTheAnswer(t *testing.T) {
	for _, size := range []int{100, 2000, 3000} { // there are two buffers, of 2,048 and of 4,096 bytes
		w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Write(bytes.Repeat([]byte("#"), size))
			panic("no reason")
		}))
		c := dial(t, w.addr)
		c.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
		all, err := io.ReadAll(c)
		if err != nil || !strings.HasSuffix(string(all), "\r\n\r\n"+answered500) || strings.Contains(string(all), "#") {
			t.Errorf("after %d bytes: read %q, %v", size, all, err)
		}
	}
}
