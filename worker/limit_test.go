package worker

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const answered504 = "504 gateway timeout: the request took too long\n"

// limitTo sets a limit that no test meets by accident, for a pool.
func limitTo(pool string, more ...func(*setup)) func(*setup) {
	return func(s *setup) {
		s.config.Pool, s.config.RequestTimeout = pool, time.Hour
		for _, f := range more {
			f(s)
		}
	}
}

// expire is a pulse two hours later.
func (m *member) expire() { m.Expire(m.Clock.Now() + int64(2*time.Hour)) }

// stubborn is a handler that sees its context end, and returns when the test lets it.
type stubborn struct {
	*gate
	causes chan error
}

func (s *stubborn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/hello" {
		hello(w, r)
		return
	}
	s.entered <- r.URL.Path
	<-r.Context().Done()
	s.causes <- context.Cause(r.Context())
	<-s.leave
	if r.URL.Path == "/panic" {
		panic("no reason")
	}
	io.WriteString(w, "too late")
}

// A request that takes too long is answered 504 in full, and its connection is closed behind it, while its thread stays taken until
// the handler returns. What was pipelined behind it gets no answer.
func TestRequestTimeout(t *testing.T) {
	t.Parallel()
	for _, pool := range []string{"lease", "queue", "unbounded"} {
		t.Run(pool, func(t *testing.T) {
			t.Parallel()
			h := &stubborn{newGate(), make(chan error, 10)}
			log := filepath.Join(t.TempDir(), "access")
			w := startWorker(t, h, limitTo(pool, func(s *setup) { s.accessLog, s.logFormat = log, "text" }))
			c := dial(t, w.addr)
			want(t, "before", c.get("/hello").status, http.StatusOK)
			c.send("GET /odd%0Apath HTTP/1.1\r\nHost: test\r\n\r\nGET /behind HTTP/1.1\r\nHost: test\r\n\r\n")
			await(t, "the handler", h.entered)
			w.Expire(w.Clock.Now()) // in time
			w.expire()
			w.expire()
			a := c.answer(http.MethodGet)
			want(t, "status", a.status, http.StatusGatewayTimeout)
			want(t, "body", a.body, answered504)
			want(t, "close", a.close, true)
			c.wantEOF()
			if cause := await(t, "the end of the context", h.causes); !errors.Is(cause, ErrRequestTimeout) {
				t.Errorf("the context ended because of %v", cause)
			}
			want(t, "busy", w.board.Busy(0), 1)
			eventually(t, "the line of the access log", func() bool {
				text, _ := os.ReadFile(log)
				return strings.Contains(string(text), "status=504")
			})
			close(h.leave)
			eventually(t, "the thread to be free", func() bool { return w.board.Busy(0) == 0 })
			eventually(t, "the connection to be closed", func() bool { return w.openConnections() == 0 })
			w.wantAnswers(t, [5]int64{1: 1, 4: 1})
			want(t, "timed out", w.Row.TimedOut.Load(), 1)
			want(t, "requests that had a thread", len(h.entered), 0)
			if got := w.log.String(); strings.Count(got, "request timed out") != 1 || !strings.Contains(got, "/odd%0Apath") || !strings.Contains(got, "(*stubborn).ServeHTTP") || strings.Contains(got, "TestRequestTimeout") {
				t.Errorf("log %q, want the path, and the stack of the handler alone", got)
			}
			if text, _ := os.ReadFile(log); strings.Count(string(text), "\n") != 2 {
				t.Errorf("access log %q, want two lines", text)
			}
		})
	}
}

// The same where the wrapper sees no bytes: TLS and streams, of which a stream ends alone.
func TestRequestTimeoutVeiled(t *testing.T) {
	perVeiledProtocol(t, func(t *testing.T, protocol string) {
		for _, pool := range []string{"lease", "queue"} {
			h := &stubborn{newGate(), make(chan error, 10)}
			log := filepath.Join(t.TempDir(), "access")
			w, base, client := startVeiled(t, protocol, h, limitTo(pool, func(s *setup) { s.accessLog, s.logFormat = log, "text" }))
			got := make(chan answer, 1)
			go func() {
				a, _ := fetchAnswer(client, base+"/panic")
				got <- a
			}()
			await(t, "the handler", h.entered)
			w.expire()
			a := await(t, "the answer", got)
			want(t, "status", a.status, http.StatusGatewayTimeout)
			want(t, "body", a.body, answered504)
			await(t, "the end of the context", h.causes)
			want(t, "busy", w.board.Busy(0), 1)
			eventually(t, "the line of the access log", func() bool {
				text, _ := os.ReadFile(log)
				return strings.Contains(string(text), "status=504")
			})
			if a, err := fetchAnswer(client, base+"/hello"); err != nil || a.status != http.StatusOK {
				t.Errorf("another request: %v, %v", a, err)
			}
			close(h.leave)
			eventually(t, "the thread to be free", func() bool { return w.board.Busy(0) == 0 })
			w.wantAnswers(t, [5]int64{1: 1, 4: 1})
			want(t, "timed out", w.Row.TimedOut.Load(), 1)
			want(t, "panics", w.Row.Panics.Load(), 1)
			if got := w.log.String(); !strings.Contains(got, "(*stubborn).ServeHTTP") {
				t.Errorf("log %q", got)
			}
		}
	})
}

func fetchAnswer(c *http.Client, url string) (answer, error) {
	res, err := c.Get(url)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{status: res.StatusCode, body: string(text), header: res.Header}, err
}

// A handler under the limit can do over TLS and HTTP/2 what it can without: header, trailer, interim answers, flush.
func TestRequestTimeoutVeiledInTime(t *testing.T) {
	perVeiledProtocol(t, func(t *testing.T, protocol string) {
		w, base, client := startVeiled(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			h := w.Header()
			h.Set("Trailer", "Sum")
			h.Set("Kind", "early")
			w.WriteHeader(http.StatusEarlyHints)
			h.Set("Kind", "final")
			if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Error(err)
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			w.Write(body)
			h.Set("Sum", "42")
		}), limitTo("lease", func(s *setup) { s.config.BodyTimeout = time.Minute }))
		res, err := client.Post(base+"/", "text/plain", strings.NewReader("a body"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil || string(text) != "a body" || res.Header.Get("Kind") != "final" || res.Trailer.Get("Sum") != "42" {
			t.Errorf("%q, %v, %v, %v", text, err, res.Header, res.Trailer)
		}
		w.wantAnswers(t, [5]int64{1: 1})
		want(t, "busy", w.board.Busy(0), 0)
	})
}

// An answer that has begun is left alone, and so is a connection that was taken over.
func TestRequestTimeoutHasBegun(t *testing.T) {
	t.Parallel()
	g := newGate()
	w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hijack" {
			nc, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer nc.Close()
			g.entered <- ""
			<-g.leave
			io.WriteString(nc, "own words")
			return
		}
		w.(http.Flusher).Flush()
		g.ServeHTTP(w, r)
		if err := r.Context().Err(); err != nil {
			t.Errorf("the context has ended: %v", err)
		}
	}), limitTo("lease"))
	c, hijacked := dial(t, w.addr), dial(t, w.addr)
	c.send("GET /long HTTP/1.1\r\nHost: test\r\n\r\n")
	hijacked.send("GET /hijack HTTP/1.1\r\nHost: test\r\n\r\n")
	await(t, "the handler", g.entered)
	await(t, "the handler", g.entered)
	w.expire()
	close(g.leave)
	want(t, "answer", c.answer(http.MethodGet).body, "/long")
	if text, err := io.ReadAll(hijacked.in); err != nil || string(text) != "own words" {
		t.Errorf("%q, %v", text, err)
	}
	want(t, "timed out", w.Row.TimedOut.Load(), 0)
}

// A handler that waits for a client which is slow to send a body gets its thread back with the 504.
func TestRequestTimeoutWhileReading(t *testing.T) {
	t.Parallel()
	for name, expect := range map[string]string{"body": "", "100-continue": "Expect: 100-continue\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate()
			w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				g.entered <- ""
				if _, err := io.ReadAll(r.Body); err == nil {
					t.Error("the body was read to its end")
				}
				io.WriteString(w, "half of it")
			}), limitTo("lease"))
			c := dial(t, w.addr)
			c.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n" + expect + "\r\n" + strings.Repeat("x", 100_000))
			await(t, "the handler", g.entered)
			if expect != "" {
				want(t, "interim", c.answer(http.MethodPost).status, http.StatusContinue)
			}
			w.expire()
			a := c.answer(http.MethodPost)
			want(t, "status", a.status, http.StatusGatewayTimeout)
			want(t, "body", a.body, answered504)
			eventually(t, "the thread to be free", func() bool { return w.board.Busy(0) == 0 })
			c.wantEOF()
		})
	}
}

// The same over TLS and for streams.
func TestRequestTimeoutVeiledWhileReading(t *testing.T) {
	perVeiledProtocol(t, func(t *testing.T, protocol string) {
		g := newGate()
		w, base, client := startVeiled(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			g.entered <- ""
			for {
				if _, err := io.ReadAll(r.Body); err != nil && r.Context().Err() != nil {
					return // and not before: it reads on after an error
				}
			}
		}), limitTo("lease", func(s *setup) { s.config.BodyTimeout = time.Minute }))
		body, more := io.Pipe()
		defer more.Close()
		got := make(chan answer, 1)
		go func() {
			defer close(got)
			res, err := client.Post(base, "text/plain", body)
			if err != nil {
				return
			}
			defer res.Body.Close()
			text, _ := io.ReadAll(res.Body)
			got <- answer{status: res.StatusCode, body: string(text)}
		}()
		io.WriteString(more, "half of it")
		await(t, "the handler", g.entered)
		w.expire()
		a := await(t, "the answer", got)
		want(t, "status", a.status, http.StatusGatewayTimeout)
		want(t, "body", a.body, answered504)
		eventually(t, "the thread to be free", func() bool { return w.board.Busy(0) == 0 })
	})
}

// The moment of the limit is that of the answer, many times: a client sees a whole one of both, and what is counted is what it saw.
func TestRequestTimeoutAtTheDeadline(t *testing.T) {
	t.Parallel()
	for _, pool := range []string{"lease", "queue"} {
		t.Run(pool, func(t *testing.T) {
			t.Parallel()
			const rounds, length = 400, 8 << 10
			whole := strings.Repeat("x", length)
			g := &gate{entered: make(chan string, 1), leave: make(chan struct{})}
			w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				g.entered <- ""
				<-g.leave
				if r.URL.Path == "/early" {
					w.WriteHeader(http.StatusEarlyHints)
				}
				io.WriteString(w, whole)
			}), limitTo(pool))
			var ok, late int64
			var c *client
			for round := range rounds {
				if c == nil {
					c = dial(t, w.addr)
				}
				path := []string{"/", "/early"}[round%2]
				c.send("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n")
				await(t, "the handler", g.entered)
				g.leave <- struct{}{}
				for range rand.IntN(60) {
					runtime.Gosched()
				}
				w.expire()
				a := c.answer(http.MethodGet)
				if a.status == http.StatusEarlyHints {
					a = c.answer(http.MethodGet)
				}
				switch {
				case a.status == http.StatusOK && a.body == whole:
					ok++
				case a.status == http.StatusGatewayTimeout && a.body == answered504 && a.close:
					late++
					c.wantEOF()
					c.Close()
					c = nil
				default:
					t.Fatalf("answer %d of %d bytes", a.status, len(a.body))
				}
			}
			w.wantAnswers(t, [5]int64{1: ok, 4: late})
			want(t, "timed out", w.Row.TimedOut.Load(), late)
			t.Logf("%d times 200, %d times 504", ok, late)
		})
	}
}

// A limit that is set while requests run is for those that come.
func TestRequestTimeoutIsLive(t *testing.T) {
	t.Parallel()
	g := newGate()
	w := startWorker(t, g)
	before, after := dial(t, w.addr), dial(t, w.addr)
	before.send("GET /before HTTP/1.1\r\nHost: test\r\n\r\n")
	await(t, "the handler", g.entered)
	limits := *w.Limits()
	limits.RequestTimeout = time.Hour
	w.SetLimits(limits)
	after.send("HEAD /after HTTP/1.1\r\nHost: test\r\n\r\n")
	await(t, "the handler", g.entered)
	w.expire()
	a := after.answer(http.MethodHead)
	want(t, "status", a.status, http.StatusGatewayTimeout)
	after.wantEOF()
	close(g.leave)
	want(t, "answer", before.answer(http.MethodGet).body, "/before")
}
