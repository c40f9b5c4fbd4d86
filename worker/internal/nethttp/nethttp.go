// Package nethttp is the engine on net/http: an http.Server with the pool of threads in front of its handler.
package nethttp

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/engine"
	"github.com/prefork/cluster/worker/internal/pool"
)

type connKey struct{}

// headBuffer is the room that net/http offers a read between two requests if it has no byte of the next one yet.
const headBuffer = 4 << 10

// Engine is the engine on net/http.
type Engine struct {
	worker  *engine.Worker
	server  *http.Server // for plain binds, or for all if its owner speaks TLS
	secure  *http.Server // for tls binds; nil if there is none
	handler http.Handler
	tls     bool // the owner of the server speaks TLS on all binds
}

// Builder makes the engine of a server. Its timeouts that are zero are set from the cluster's configuration.
func Builder(srv *http.Server) engine.Builder {
	return func(w *engine.Worker) (engine.Engine, error) { return New(w, srv), nil }
}

// complaints is where net/http writes what it has to say.
type complaints struct{ log *slog.Logger }

// Write passes a line on. That a client is not able to speak TLS, or does not mean to, is its own doing, and whoever scans
// ports would fill the log with it.
func (c complaints) Write(p []byte) (int, error) {
	level := slog.LevelWarn
	if bytes.HasPrefix(p, []byte("http: TLS handshake error")) {
		level = slog.LevelDebug
	}
	c.log.Log(context.Background(), level, strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// New arms a server: handler, hooks and the timeouts that its owner has left at zero.
func New(w *engine.Worker, srv *http.Server) *Engine {
	w.HeadBuffer, w.WatchesClients, w.IdleTimeout = headBuffer, true, cmp.Or(srv.IdleTimeout, srv.ReadTimeout)
	e := &Engine{worker: w, server: srv, handler: srv.Handler}
	if e.handler == nil {
		e.handler = http.DefaultServeMux
	}
	srv.Handler = e
	if srv.ErrorLog == nil {
		srv.ErrorLog = log.New(complaints{w.Log}, "", 0)
	}
	if srv.MaxHeaderBytes == 0 {
		srv.MaxHeaderBytes = w.Config.MaxHead
	}
	t := srv.TLSConfig
	e.tls = t != nil && (len(t.Certificates) > 0 || t.GetCertificate != nil || t.GetConfigForClient != nil)
	e.hook()
	if w.KeysFor != nil {
		e.secure = clone(srv)
		e.secure.TLSConfig = &tls.Config{GetConfigForClient: e.keysFor}
		e.setTimeouts(e.secure)
	}
	if e.tls {
		e.setTimeouts(srv)
		return e
	}
	// The connection watches without reading a clock for each request, but it must see where a request begins: not under TLS.
	if srv.ReadHeaderTimeout == 0 && srv.ReadTimeout == 0 {
		w.WatchHeads, srv.ReadHeaderTimeout = true, -1
	}
	if srv.IdleTimeout == 0 {
		w.WatchIdle, srv.IdleTimeout = true, -1
	}
	return e
}

func (e *Engine) setTimeouts(srv *http.Server) {
	limits := e.worker.Limits()
	if srv.ReadHeaderTimeout == 0 && srv.ReadTimeout == 0 {
		srv.ReadHeaderTimeout = limits.HeadTimeout
	}
	if srv.IdleTimeout == 0 {
		srv.IdleTimeout = limits.IdleTimeout
	}
}

// hook makes the server tell the connections what goes on.
func (e *Engine) hook() {
	connContext, connState := e.server.ConnContext, e.server.ConnState
	e.server.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, nc)
		}
		c := connOf(nc)
		if _, plain := nc.(engine.Conn); c != nil && !plain {
			c.Veil()
		}
		return context.WithValue(ctx, connKey{}, c)
	}
	e.server.ConnState = func(nc net.Conn, state http.ConnState) {
		if c := connOf(nc); c != nil {
			follow(c, state)
		}
		if connState != nil {
			connState(nc, state)
		}
	}
}

// follow keeps the connection in step. net/http calls it from the goroutine that serves it.
func follow(c engine.Conn, state http.ConnState) {
	switch state {
	case http.StateActive:
		c.Begin()
	case http.StateIdle:
		c.End()
	case http.StateHijacked:
		c.Release()
	}
}

// clone copies what an owner can have set. It copies field by field: a Server holds locks.
func clone(s *http.Server) *http.Server {
	return &http.Server{
		Handler: s.Handler, DisableGeneralOptionsHandler: s.DisableGeneralOptionsHandler,
		ReadTimeout: s.ReadTimeout, ReadHeaderTimeout: s.ReadHeaderTimeout, WriteTimeout: s.WriteTimeout, IdleTimeout: s.IdleTimeout,
		MaxHeaderBytes: s.MaxHeaderBytes, TLSNextProto: s.TLSNextProto, ConnState: s.ConnState, ErrorLog: s.ErrorLog,
		BaseContext: s.BaseContext, ConnContext: s.ConnContext, HTTP2: s.HTTP2, Protocols: s.Protocols,
	}
}

// Serve serves a source of a bind.
func (e *Engine) Serve(bind int, l net.Listener) error {
	switch {
	case e.tls:
		return e.server.ServeTLS(l, "", "")
	case e.worker.Secure(bind):
		return e.secure.ServeTLS(l, "", "")
	}
	return e.server.Serve(l)
}

// keysFor finds the certificates of the bind that a client has come to, as they are now.
func (e *Engine) keysFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	c := connOf(hello.Conn)
	if c == nil {
		return nil, errors.New("not a connection of this worker")
	}
	return e.worker.KeysFor(c.Bind(), true), nil
}

// Stop ends the engine. Only with no connection open may it be Shutdown, which runs what RegisterOnShutdown was given.
func (e *Engine) Stop(left int) {
	for _, server := range []*http.Server{e.secure, e.server} {
		switch {
		case server == nil:
		case left > 0:
			_ = server.Close()
		default:
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_ = server.Shutdown(ctx)
			cancel()
		}
	}
}

func connOf(nc net.Conn) engine.Conn {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	c, _ := nc.(engine.Conn)
	return c
}

// request is one on its way through the pool.
type request struct {
	w        http.ResponseWriter
	r        *http.Request
	c        engine.Conn // nil if the connection is none of the worker's
	plain    bool        // HTTP/1 without TLS: the connection sees its bytes
	held     *engine.Held
	readable int64
	entry    *engine.Entry   // nil if requests are not logged
	counted  *counter        // nil if the connection counts
	timed    *timed          // its body, if reading that is limited here; nil: it is not
	limited  *engine.Limited // nil if the handler may take any time, or if plain and it has not begun
}

// bound is why it cannot be passed on to a sibling.
func (q *request) bound() int {
	switch {
	case q.r.TLS != nil:
		return scoreboard.StayedTLS
	case q.r.ProtoMajor == 2:
		return scoreboard.StayedHTTP2
	case q.plain:
		return q.c.Bound()
	}
	return scoreboard.StayedBuffered
}

// buffers says whether its connection can buffer the response.
func (q *request) buffers() bool { return q.c != nil && q.r.ProtoMajor == 1 }

// ServeHTTP is called at the complete head of each request: it takes a thread, runs the handler and gives it back.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := request{w: w, r: r}
	q.c, _ = r.Context().Value(connKey{}).(engine.Conn)
	if q.c != nil && e.worker.Last(q.c) || q.c == nil && (e.worker.Draining.Load() || e.worker.Limits().Leaving) {
		w.Header().Set("Connection", "close") // under HTTP/2 net/http sends a GOAWAY for it
	}
	if e.worker.Requests != nil {
		q.entry = e.worker.Requests.Begin(r.Method, r.URL.Path, r.RemoteAddr)
	}
	if q.plain = q.c != nil && r.ProtoMajor == 1 && !q.c.Veiled(); q.plain {
		q.held, q.readable = q.c.Held(), q.c.Readable()
		if q.entry != nil {
			q.c.Log(q.entry)
		}
		e.dispatch(&q)
		return
	}
	if q.c != nil {
		q.c.Veil() // HTTP/2 without TLS shows itself here
	}
	counted := &counter{ResponseWriter: w, worker: e.worker, entry: q.entry}
	q.w, q.held, q.counted = counted, &counted.own, counted
	if r.ProtoMajor == 2 {
		limits := e.worker.Limits()
		counted.room = limits.BufferResponse
		if e.server.WriteTimeout == 0 { // else it is its owner's
			counted.limit = limits.WriteTimeout
		}
	} else if q.c != nil {
		q.held = q.c.Held()
	}
	counted.held = q.held
	if q.entry != nil {
		e.worker.Requests.Hold(q.entry)
		defer e.worker.Requests.WriteOne(q.entry)
	}
	if e.worker.Limits().RequestTimeout > 0 {
		e.dispatchApart(q)
	} else {
		e.dispatch(&q)
	}
	counted.begin()
	_ = counted.release()
}

func (e *Engine) dispatch(q *request) {
	if whole := q.r.Body; hasBody(q.r) {
		if q.plain {
			q.c.Bodied()
		}
		e.worker.GiveBack(q.held)           // no thread waits for a client that is slow to send
		defer func() { q.r.Body = whole }() // else net/http would not know its own, and follow a body that was not read by a request
	}
	read, done := e.receive(q)
	if done {
		return
	}
	if q.readable == 0 || read {
		q.readable = e.worker.Clock.Now() // a pipelined request, a stream, or one whose body has arrived now
	}
	if q.buffers() {
		defer q.c.Buffer(false) // after the thread was given back
	}
	if err := e.serve(q); err != nil {
		if q.entry != nil {
			q.entry.Waited(time.Duration(e.worker.Clock.Now() - q.readable))
		}
		e.refuse(q.w, err)
	}
}

// serve runs the handler on a thread, or says why there is none.
func (e *Engine) serve(q *request) error {
	if !e.worker.Inline() {
		return e.serveElsewhere(*q)
	}
	err := e.worker.Take(q.r.Context(), q.held, q.readable, q.bound)
	if err == nil {
		e.run(q)
	}
	return err
}

// serveElsewhere runs the handler on the thread's own goroutine. It has a copy, so that a request that runs inline stays on
// its stack.
func (e *Engine) serveElsewhere(q request) error {
	return e.worker.Run(q.r.Context(), q.held, q.readable, q.bound, func() { e.run(&q) })
}

func (e *Engine) run(q *request) {
	if q.buffers() {
		q.c.Buffer(true)
	}
	started := e.worker.Begin(q.held, q.readable, q.r.Method, q.r.URL.Path, q.entry)
	r := q.r
	if e.worker.Limits().RequestTimeout > 0 {
		r = e.limit(q, started)
	}
	returned := false
	defer func() {
		late := q.limited != nil && e.ended(q.limited, r)
		e.worker.End(q.held, started, q.entry)
		switch {
		case late && returned:
			e.tooLate(q, nil)
		case late:
			e.tooLate(q, recover())
		case !returned:
			e.panicked(q, recover())
		}
	}()
	e.handler.ServeHTTP(q.w, r)
	returned = true
}

// refuse answers 503 to a request that got no thread. A client that has left gets nothing.
func (e *Engine) refuse(w http.ResponseWriter, why error) {
	if errors.Is(why, pool.ErrClientGone) {
		panic(http.ErrAbortHandler)
	}
	e.worker.Row.Refused.Add(1)
	w.Header().Set("Retry-After", strconv.Itoa(1))
	http.Error(w, "503 service unavailable: "+why.Error(), http.StatusServiceUnavailable)
}
