package worker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"
)

type connKey struct{}

// engine is net/http with the pool in front of the handler.
type engine struct {
	m       *member
	server  *http.Server
	handler http.Handler
	tls     bool
}

// newEngine arms a server: handler, hooks and the timeouts that its owner has left at zero.
func newEngine(m *member, srv *http.Server) *engine {
	e := &engine{m: m, server: srv, handler: srv.Handler}
	if e.handler == nil {
		e.handler = http.DefaultServeMux
	}
	srv.Handler = e
	if srv.ErrorLog == nil {
		srv.ErrorLog = newErrorLog(m.log)
	}
	t := srv.TLSConfig
	e.tls = t != nil && (len(t.Certificates) > 0 || t.GetCertificate != nil || t.GetConfigForClient != nil)
	if srv.ReadHeaderTimeout == 0 && srv.ReadTimeout == 0 {
		m.headLimit, srv.ReadHeaderTimeout = e.limit(m.config.HeadTimeout)
	}
	if srv.IdleTimeout == 0 {
		m.idleLimit, srv.IdleTimeout = e.limit(m.config.IdleTimeout)
	}

	connContext, connState := srv.ConnContext, srv.ConnState
	srv.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, nc)
		}
		c := wrapperOf(nc)
		if _, plain := nc.(*conn); c != nil && !plain {
			c.veil()
		}
		return context.WithValue(ctx, connKey{}, c)
	}
	srv.ConnState = func(nc net.Conn, state http.ConnState) {
		if c := wrapperOf(nc); c != nil {
			e.follow(c, state)
		}
		if connState != nil {
			connState(nc, state)
		}
	}
	return e
}

// limit decides who watches a timeout. The wrapper does it without reading a clock for each request, but it must see where
// a request begins; under TLS only the engine does.
func (e *engine) limit(d time.Duration) (wrapper, engine time.Duration) {
	if e.tls {
		return 0, d
	}
	return d, -1
}

func (e *engine) serve(_ int, l net.Listener) error {
	if e.tls {
		return e.server.ServeTLS(l, "", "")
	}
	return e.server.Serve(l)
}

// stop ends the engine. Only with no connection open may it be Shutdown, which runs what RegisterOnShutdown was given.
func (e *engine) stop(left int) {
	if left > 0 {
		_ = e.server.Close()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = e.server.Shutdown(ctx)
}

func wrapperOf(nc net.Conn) *conn {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	c, _ := nc.(*conn)
	return c
}

// follow keeps the wrapper in step with the engine. net/http calls it from the goroutine that serves the connection.
func (e *engine) follow(c *conn, state http.ConnState) {
	switch state {
	case http.StateActive:
		c.idleSince.Store(0)
		c.phase.CompareAndSwap(phaseIdle, phaseActive)
	case http.StateIdle:
		c.idleSince.Store(c.m.coarse.Load())
		if c.phase.Load() == phaseVeiled {
			return
		}
		c.readable.Store(0)
		c.awaited.Store(false)
		c.reused.Store(true)
		c.answering.Store(true)
		c.phase.CompareAndSwap(phaseActive, phaseIdle)
	case http.StateHijacked:
		if c.answering.Load() {
			c.m.row.Answer(http.StatusSwitchingProtocols)
		}
		c.release()
		c.m.giveBack(&c.held)
	}
}

// ServeHTTP is called at the complete head of each request: it takes a thread, runs the handler and gives it back.
func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m := e.m
	c, _ := r.Context().Value(connKey{}).(*conn)
	if m.draining.Load() {
		w.Header().Set("Connection", "close") // under HTTP/2 net/http sends a GOAWAY for it
	}
	if c != nil && r.ProtoMajor == 1 && c.phase.Load() != phaseVeiled {
		e.dispatch(w, r, c, &c.held, c.readable.Load())
		return
	}
	if c != nil {
		c.veil() // HTTP/2 without TLS shows itself here
	}
	counted := &counter{ResponseWriter: w, m: m}
	e.dispatch(counted, r, c, &counted.held, 0)
	counted.begin()
}

func (e *engine) dispatch(w http.ResponseWriter, r *http.Request, c *conn, held *atomic.Int32, readable int64) {
	if readable == 0 {
		readable = e.m.clock.Now() // a pipelined request, or a stream
	}
	thread, err := e.m.pool.take(r.Context())
	if err != nil {
		e.refuse(w, err)
		return
	}
	held.Store(int32(thread) + 1)
	e.run(w, r, c, held, readable)
}

func (e *engine) run(w http.ResponseWriter, r *http.Request, c *conn, held *atomic.Int32, readable int64) {
	m := e.m
	started := m.clock.Now()
	m.row.Wait.Observe(started - readable)
	m.pool.cells[held.Load()-1].Begin(started, r.Method, r.URL.Path)
	returned := false
	defer func() {
		m.row.Duration.Observe(m.clock.Now() - started)
		m.giveBack(held)
		if !returned {
			e.panicked(w, r, c, recover())
		}
	}()
	e.handler.ServeHTTP(w, r)
	returned = true
}

// giveBack gives the thread back unless that has been done, as Hijack does before the handler returns.
func (m *member) giveBack(held *atomic.Int32) {
	if t := held.Swap(0); t != 0 {
		m.pool.give(int(t) - 1)
	}
}

// refuse answers 503 to a request that got no thread. A client that has left gets nothing.
func (e *engine) refuse(w http.ResponseWriter, why error) {
	if errors.Is(why, errClientGone) {
		panic(http.ErrAbortHandler)
	}
	e.m.row.Refused.Add(1)
	w.Header().Set("Retry-After", strconv.Itoa(1))
	http.Error(w, "503 service unavailable: "+why.Error(), http.StatusServiceUnavailable)
}

// panicked logs a handler's panic and answers 500 if no byte of an answer has left yet. The status that the handler may
// have set sits in net/http's buffers and cannot be taken back, so the answer goes around them, and the connection is
// closed as net/http does after a panic.
func (e *engine) panicked(w http.ResponseWriter, r *http.Request, c *conn, v any) {
	if v == nil { // runtime.Goexit: there is nobody left to answer
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler) // the handler's way to hang up; net/http would log a wrapped one
	}
	e.m.row.Panics.Add(1)
	stack := make([]byte, 16<<10)
	stack = stack[:runtime.Stack(stack, false)]
	e.m.log.Error("handler panicked", "err", fmt.Sprint(v), "method", r.Method, "path", r.URL.Path, "stack", string(stack))
	if counted, ok := w.(*counter); ok {
		if !counted.counted {
			http.Error(w, "500 internal server error", http.StatusInternalServerError)
			return
		}
		panic(http.ErrAbortHandler)
	}
	if c != nil && c.answering.Load() {
		c.answer500(r)
	}
	panic(http.ErrAbortHandler)
}

// answer500 writes a whole answer below the engine and mutes the engine. Before the connection is closed it reads what
// the client still sends, for a moment: a reset would destroy the answer on its way.
func (c *conn) answer500(r *http.Request) {
	const text = "500 internal server error\n"
	body := text
	if r.Method == http.MethodHead {
		body = ""
	}
	_, _ = fmt.Fprintf(c, "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), body)
	c.muted.Store(true)
	if r.ContentLength != 0 {
		_ = c.CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20))
	}
}
