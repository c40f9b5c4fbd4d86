package worker

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// pause is how long a handler takes, or lets others wait, where the log must say so.
const pause = 50 * time.Millisecond

// loggedHandler gives answers of all kinds. The gate is for those that wait for the test; nil if none does.
func loggedHandler(t *testing.T, g *gate) http.HandlerFunc {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(strings.Repeat("file ", 100_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/nothing":
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/bodyless":
			w.WriteHeader(http.StatusNotModified)
			hello(w, r)
		case "/chunks":
			for n := range 40 {
				io.WriteString(w, strings.Repeat("\r\n0\r\n\r\n", n*n))
				w.(http.Flusher).Flush()
			}
		case "/head": // that no buffer of the engine holds
			for n := range 10 {
				w.Header().Set(fmt.Sprintf("Long-%d", n), strings.Repeat("x", 1000))
			}
			hello(w, r)
			w.(http.Flusher).Flush()
			hello(w, r)
		case "/file":
			http.ServeFile(w, r, file)
		case "/early":
			w.WriteHeader(http.StatusEarlyHints)
			hello(w, r)
		case "/read":
			body, err := io.ReadAll(r.Body)
			fmt.Fprint(w, len(body), err)
		case "/slow":
			<-time.After(pause)
		case "/gate":
			g.ServeHTTP(w, r)
		case "/panic":
			hello(w, r)
			panic("no reason")
		case "/abort":
			panic(http.ErrAbortHandler)
		case "/hijack":
			nc, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer nc.Close()
			io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\n\r\nsomething else")
			<-g.leave
		default:
			hello(w, r)
		}
	}
}

// chunksSize is the body of /chunks, in bytes.
const chunksSize = 7 * 39 * 40 * 79 / 6

// One line for each request of a connection, with what the client got.
func TestAccessLog(t *testing.T) {
	for _, pool := range []string{"lease", "queue", "lanes", "unbounded"} {
		for _, buffer := range []int{0, 64 << 10} {
			t.Run(fmt.Sprint(pool, " ", buffer), func(t *testing.T) {
				t.Parallel()
				var name string
				w := startWorker(t, loggedHandler(t, nil), logging(t, &name), func(s *setup) {
					s.config.Pool, s.config.BufferResponse, s.config.BufferBody = pool, buffer, buffer
				})
				c := dial(t, w.addr)
				for _, request := range []string{
					"GET /?secret=1", "GET /nothing", "HEAD /", "HEAD /chunks", "GET /none", "GET /bodyless", "GET /chunks", "GET /head", "GET /file", "GET /early", "DELETE /%C3%A9%2Fx",
				} {
					method, path, _ := strings.Cut(request, " ")
					c.send(request + " HTTP/1.1\r\nHost: test\r\n\r\n")
					if path == "/early" {
						want(t, "status", c.answer(method).status, http.StatusEarlyHints)
					}
					c.answer(method)
				}
				c.send("POST /read HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
				want(t, "status", c.answer("POST").status, http.StatusContinue)
				c.send("abc")
				want(t, "body", c.answer("POST").body, "3 <nil>")
				c.send(strings.Repeat("GET /chunks HTTP/1.1\r\nHost: test\r\n\r\n", 3) + "GET /last HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
				for range 4 {
					want(t, "status", c.answer("GET").status, http.StatusOK)
				}
				c.wantEOF()
				wantLines(t, awaitLog(t, w, name, 16),
					told{"GET", "/", 200, 5}, told{"GET", "/nothing", 200, 0}, told{"HEAD", "/", 200, 0}, told{"HEAD", "/chunks", 200, 0},
					told{"GET", "/none", 204, 0}, told{"GET", "/bodyless", 304, 0}, told{"GET", "/chunks", 200, chunksSize},
					told{"GET", "/head", 200, 10}, told{"GET", "/file", 200, 500_000}, told{"GET", "/early", 200, 5},
					told{"DELETE", "/é/x", 200, 5}, told{"POST", "/read", 200, 7}, told{"GET", "/chunks", 200, chunksSize},
					told{"GET", "/chunks", 200, chunksSize}, told{"GET", "/chunks", 200, chunksSize}, told{"GET", "/last", 200, 5})
				want(t, "counted answers", w.Row.Total(), 16)
			})
		}
	}
}

// What the handler has taken, what it waited for, and what the collector took meanwhile.
func TestAccessLogDurations(t *testing.T) {
	t.Parallel()
	var name string
	g := newGate()
	handler := loggedHandler(t, g)
	var w *testWorker
	w = startWorker(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gc" {
			for before := w.Requests.GC.Spent(); w.Requests.GC.Spent() == before; {
				runtime.GC() // the clock moves some time after it
			}
		}
		handler(rw, r)
	}), logging(t, &name), func(s *setup) { s.config.Threads = 1 })
	c := dial(t, w.addr)
	c.get("/slow")
	c.get("/gc")
	c.send("GET /gate HTTP/1.1\r\nHost: test\r\n\r\n")
	await(t, "the handler", g.entered)
	waiting := dial(t, w.addr)
	waiting.send("GET /waits HTTP/1.1\r\nHost: test\r\n\r\n")
	eventually(t, "the other one to wait", func() bool { return w.Row.Waiting.Load() == 1 })
	<-time.After(pause)
	g.leave <- struct{}{}
	c.answer("GET")
	waiting.answer("GET")
	lines := map[string]logLine{}
	for _, l := range awaitLog(t, w, name, 4) {
		lines[l.Path] = l
	}
	if l := lines["/slow"]; l.Duration < pause.Seconds() || l.Wait >= pause.Seconds() {
		t.Errorf("a handler that takes %v: %+v", pause, l)
	}
	if l := lines["/gc"]; l.GC <= 0 {
		t.Errorf("a handler that collects garbage: %+v", l)
	}
	if l := lines["/waits"]; l.Wait < pause.Seconds() || l.Duration >= l.Wait {
		t.Errorf("a request that waits for %v: %+v", pause, l)
	}
}

// What no handler has answered, or none could.
func TestAccessLogOfFailures(t *testing.T) {
	t.Parallel()
	const request = "GET /gate HTTP/1.1\r\nHost: test\r\n\r\n"
	for _, x := range []struct {
		name, text string
		status     int
		want       told
	}{
		{"a panic", "GET /panic HTTP/1.1\r\nHost: test\r\n\r\n", 500, told{"GET", "/panic", 500, int64(len(answered500))}},
		{"a panic, of HEAD", "HEAD /panic HTTP/1.1\r\nHost: test\r\n\r\n", 500, told{"HEAD", "/panic", 500, 0}},
		{"a handler that hangs up", "GET /abort HTTP/1.1\r\nHost: test\r\n\r\n", 0, told{"GET", "/abort", 0, 0}},
		{"a body that is too large", "POST /read HTTP/1.1\r\nHost: test\r\nContent-Length: 2000\r\n\r\n", 413, told{"POST", "/read", 413, 27}},
		{"a body that is too large, in chunks", "POST /read HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + strings.Repeat("x", 2000) + "\r\n0\r\n\r\n", 413, told{"POST", "/read", 413, 27}},
		{"a body that does not come", "POST /read HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nx", 408, told{"POST", "/read", 408, 42}},
		{"no HTTP", "this is not HTTP\r\n\r\n", 400, told{"", "", 400, 15}},
		{"a head that is too large", "GET / HTTP/1.1\r\nHost: test\r\nLong: " + strings.Repeat("x", 10_000) + "\r\n\r\n", 431, told{"", "", 431, 35}},
		{"the server as a whole", "OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n", 200, told{"", "", 200, 0}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			var name string
			w := startWorker(t, loggedHandler(t, nil), logging(t, &name), func(s *setup) {
				s.config.MaxBody, s.config.BufferBody, s.config.BodyTimeout, s.server.MaxHeaderBytes = 1000, 1<<10, time.Minute, 1
			})
			c := dial(t, w.addr)
			c.send(x.text)
			if x.status == http.StatusRequestTimeout {
				eventually(t, "the worker to have waited", func() bool {
					w.mu.Lock()
					defer w.mu.Unlock()
					for c := range w.conns {
						if c.bodySince.Load() != 0 {
							c.look(w.Clock.Now() + int64(time.Hour))
							return true
						}
					}
					return false
				})
			}
			if method, _, _ := strings.Cut(x.text, " "); x.status != 0 {
				want(t, "status", c.answer(method).status, x.status)
			}
			c.Close()
			eventually(t, "the connection to be closed", func() bool { return w.Row.Accepted.Load() == 1 && w.Row.Open.Load() == 0 })
			wantLines(t, awaitLog(t, w, name, 1), x.want)
		})
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		var name string
		g := newGate()
		w := startWorker(t, g, logging(t, &name), func(s *setup) { s.config.Threads, s.config.QueueDepth, s.config.QueueTimeout = 1, 1, pause })
		running, waiting := dial(t, w.addr), dial(t, w.addr)
		running.send(request)
		await(t, "the handler", g.entered)
		want(t, "status", waiting.get("/waits").status, 503)
		lines := awaitLog(t, w, name, 1)
		wantLines(t, lines, told{"GET", "/waits", 503, lines[0].Bytes})
		if l := lines[0]; l.Wait < pause.Seconds() || l.Duration != 0 || l.Bytes < 24 {
			t.Errorf("refused after %v: %+v", pause, l)
		}
		close(g.leave)
	})
	t.Run("the client leaves", func(t *testing.T) {
		t.Parallel()
		var name string
		g := newGate()
		w := startWorker(t, g, logging(t, &name), func(s *setup) { s.config.Threads = 1 })
		running, waiting := dial(t, w.addr), dial(t, w.addr)
		running.send(request)
		await(t, "the handler", g.entered)
		waiting.send("GET /waits HTTP/1.1\r\nHost: test\r\n\r\n")
		eventually(t, "the other one to wait", func() bool { return w.Row.Waiting.Load() == 1 })
		waiting.Close()
		wantLines(t, awaitLog(t, w, name, 1), told{"GET", "/waits", 0, 0})
		running.SetLinger(0)
		running.Close()
		close(g.leave)
		lines := awaitLog(t, w, name, 2)
		want(t, "path", lines[1].Path, "/gate")
	})
}

// A connection that the handler takes over has its line at once: it may last for days.
func TestAccessLogOfHijack(t *testing.T) {
	t.Parallel()
	var name string
	g := newGate()
	w := startWorker(t, loggedHandler(t, g), logging(t, &name))
	c := dial(t, w.addr)
	c.send("GET /hijack HTTP/1.1\r\nHost: test\r\n\r\n")
	lines := awaitLog(t, w, name, 1)
	wantLines(t, lines, told{"GET", "/hijack", 101, 0})
	if lines[0].Duration <= 0 {
		t.Errorf("%+v: it ran until then", lines[0])
	}
	close(g.leave)
	want(t, "status", c.answer("GET").status, http.StatusSwitchingProtocols)
	eventually(t, "the connection to be closed", func() bool { return w.Row.Open.Load() == 0 })
	awaitLog(t, w, name, 1)
}

// Handlers that the drain timeout leaves behind have a line that says how far they came.
func TestAccessLogOfDrainTimeout(t *testing.T) {
	for _, protocol := range []string{"plain", "https h1", "https h2", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			var name string
			g := newGate()
			short := func(s *setup) { s.config.DrainTimeout = pause }
			w, base, client := (*testWorker)(nil), "", http.DefaultClient
			if protocol == "plain" {
				w = startWorker(t, g, logging(t, &name), short)
				base = "http://" + w.addr
			} else {
				w, base, client = startVeiled(t, protocol, g, logging(t, &name), short)
			}
			asked := make(chan error, 1)
			go func() {
				_, err := client.Get(base + "/stuck")
				asked <- err
			}()
			await(t, "the handler", g.entered)
			<-time.After(pause)
			w.drain(t, order{})
			w.wantResult(t, "1 connections were still open")
			lines := readLog(t, name)
			wantLines(t, lines, told{"GET", "/stuck", 0, 0})
			if lines[0].Duration < pause.Seconds() {
				t.Errorf("%+v: its handler has run for more than %v", lines[0], pause)
			}
			close(g.leave)
			if await(t, "the end of the request", asked) == nil {
				t.Error("it was answered")
			}
			want(t, "lines", len(readLog(t, name)), 1)
		})
	}
}
