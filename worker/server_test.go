package worker

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prefork/cluster/worker/internal/nethttp"
)

// What the owner of a server has set stays: the hooks are called beside the library's own.
func TestServerKeepsItsHooks(t *testing.T) {
	type key struct{}
	var mu sync.Mutex
	var states []http.ConnState
	own := &logBook{}
	w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/twice" {
			w.WriteHeader(http.StatusOK)
			w.WriteHeader(http.StatusOK) // which net/http logs
		}
		io.WriteString(w, r.Context().Value(key{}).(string))
	}), func(s *setup) {
		s.server.ErrorLog = log.New(own, "", 0)
		s.server.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
			return context.WithValue(ctx, key{}, nc.RemoteAddr().String())
		}
		s.server.ConnState = func(_ net.Conn, state http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, state)
		}
	})
	c := dial(t, w.addr)
	want(t, "value of ConnContext", c.get("/").body, c.LocalAddr().String())
	c.get("/twice")
	c.Close()
	var seen []http.ConnState
	eventually(t, "StateClosed", func() bool {
		mu.Lock()
		defer mu.Unlock()
		seen = slices.Clone(states)
		return slices.Contains(seen, http.StateClosed)
	})
	wanted := []http.ConnState{http.StateNew, http.StateActive, http.StateIdle, http.StateActive, http.StateIdle, http.StateClosed}
	if !slices.Equal(seen, wanted) {
		t.Errorf("states %v, want %v", seen, wanted)
	}
	if !strings.Contains(own.String(), "superfluous") || w.log.String() != "" {
		t.Errorf("its log says %q, the library's %q", own, w.log)
	}
	w.wantAnswers(t, [5]int64{0, 2, 0, 0, 0}) // the library has seen the states too
}

func TestServerTimeouts(t *testing.T) {
	config := testConfig()
	config.HeadTimeout, config.IdleTimeout = time.Second, 2*time.Second
	for _, test := range []struct {
		name              string
		own               *http.Server
		head, idle        time.Duration
		request, response time.Duration
		ourHead, ourIdle  bool // the wrapper watches
	}{
		{"none of its own", &http.Server{}, -1, -1, 0, 0, true, true},
		{"its own", &http.Server{ReadHeaderTimeout: 5, IdleTimeout: 6, WriteTimeout: 7}, 5, 6, 0, 7, false, false},
		{"none wanted", &http.Server{ReadHeaderTimeout: -1, IdleTimeout: -1}, -1, -1, 0, 0, false, false},
		{"one for the whole request", &http.Server{ReadTimeout: 8}, 0, -1, 8, 0, false, true},
		{"TLS", &http.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{{}}}}, time.Second, 2 * time.Second, 0, 0, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newTestMember(config)
			nethttp.New(&m.Worker, test.own)
			want(t, "the wrapper watches heads", m.WatchHeads, test.ourHead)
			want(t, "the wrapper watches silence", m.WatchIdle, test.ourIdle)
			want(t, "ReadHeaderTimeout", test.own.ReadHeaderTimeout, test.head)
			want(t, "IdleTimeout", test.own.IdleTimeout, test.idle)
			want(t, "ReadTimeout", test.own.ReadTimeout, test.request)
			want(t, "WriteTimeout", test.own.WriteTimeout, test.response)
		})
	}
}

// Its own ReadHeaderTimeout counts, and not the cluster's.
func TestServerReadHeaderTimeout(t *testing.T) {
	w := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.server.ReadHeaderTimeout = 100 * time.Millisecond })
	started := time.Now()
	c := dial(t, w.addr)
	c.send("GET / HTTP/1.1\r\n")
	c.wantEOF()
	if took := time.Since(started); took < 100*time.Millisecond {
		t.Errorf("closed after %v", took)
	}
}

// Without an ErrorLog of its own the server's complaints go to the library's log.
func TestServerErrorLog(t *testing.T) {
	w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.WriteHeader(http.StatusOK)
	}))
	dial(t, w.addr).get("/")
	if text := w.log.String(); !strings.Contains(text, "superfluous") || !strings.Contains(text, "level=WARN") {
		t.Errorf("the log says %q", text)
	}
}

var onDefaultMux = sync.OnceFunc(func() { http.HandleFunc("/on-the-default-mux", hello) })

func TestNilHandlerIsTheDefaultMux(t *testing.T) {
	onDefaultMux()
	w := startWorker(t, nil)
	want(t, "body", dial(t, w.addr).get("/on-the-default-mux").body, "hello")
}

// RegisterOnShutdown functions run at the end, when no connection is open any more.
func TestServerShutdownHooksRun(t *testing.T) {
	ran := make(chan int64, 1)
	var w *testWorker
	w = startWorker(t, http.HandlerFunc(hello), func(s *setup) {
		s.server.RegisterOnShutdown(func() { ran <- w.Row.Open.Load() })
	})
	c := dial(t, w.addr)
	c.get("/")
	w.drain(t, order{})
	want(t, "shutdown functions that ran while a connection was open", len(ran), 0)
	c.get("/")
	want(t, "open connections", await(t, "the shutdown function", ran), 0)
	w.wantResult(t)
}

// A server that somebody shuts down serves no more: the worker says so and leaves, after what runs.
func TestServerShutDownByItsOwner(t *testing.T) {
	g := newGate()
	var srv *http.Server
	w := startWorker(t, g, func(s *setup) { srv = s.server })
	c := dial(t, w.addr)
	c.send("GET /running HTTP/1.1\r\nHost: test\r\n\r\n")
	await(t, "the handler", g.entered)
	go srv.Shutdown(t.Context())
	await(t, "the drain", w.drained)
	close(g.leave)
	want(t, "body", c.answer("GET").body, "/running")
	w.wantResult(t, "bind 0 of slot 0 is no longer served", "Server closed")
}
