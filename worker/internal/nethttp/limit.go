package nethttp

import (
	"bufio"
	"context"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prefork/cluster/worker/internal/engine"
)

const text504 = "504 gateway timeout: the request took too long\n"

// limit begins the time of the handler that is about to run, and returns the request that it gets: its context is done when the
// time is over. Where the connection sees bytes the handler stays where it is, and the answer is given below the engine.
func (e *Engine) limit(q *request, started int64) *http.Request {
	r := q.r
	if q.plain {
		c, method := q.c, r.Method // and not q, which is to stay on its stack
		r, q.limited = withLimit(r, c.Claim, func() { c.Answer(instead(http.StatusGatewayTimeout, text504, method)) })
	}
	if q.limited != nil { // else the limit was set while the request waited
		e.worker.Limit(q.limited, q.held, started, r.Method, r.URL.Path)
	}
	return r
}

// withLimit returns a copy of a request with a context of its own, which ends with that of net/http at the latest.
func withLimit(r *http.Request, claim func() bool, give func()) (*http.Request, *engine.Limited) {
	ctx, cancel := context.WithCancelCause(r.Context())
	return r.WithContext(ctx), engine.NewLimited(claim, func() {
		cancel(engine.ErrRequestTimeout)
		give()
	})
}

// ended says whether a handler was too late. What net/http does for its own request when that is over is done here: the handler
// had a copy.
func (e *Engine) ended(l *engine.Limited, r *http.Request) bool {
	if r.MultipartForm != nil {
		_ = r.MultipartForm.RemoveAll()
	}
	return e.worker.Ended(l)
}

// tooLate ends a request that was answered 504 when its handler has returned at last, or has panicked.
func (e *Engine) tooLate(q *request, panicked any) {
	if panicked != nil && panicked != http.ErrAbortHandler {
		e.complain(q, panicked)
	}
	if !q.plain {
		return // the engine has gone on without it
	}
	<-q.limited.Over()
	q.c.Part()
	panic(http.ErrAbortHandler) // nothing follows on the connection
}

// dispatchApart is dispatch where a connection is not to be written below the engine: under TLS and for streams. The answer ends when
// ServeHTTP returns, so the handler runs on another goroutine, which is left behind if it takes too long.
func (e *Engine) dispatchApart(q request) {
	w := q.counted
	g := &guard{counter: w, header: maps.Clone(w.Header())}
	q.w = g
	if q.held != &w.own { // it must not be given back with the connection
		w.own.Adopt(q.held)
		q.held, w.held = &w.own, &w.own
	}
	q.r, q.limited = withLimit(q.r, g.claim, func() {})
	if engine.Apart(q.limited, func() { e.dispatch(&q) }) {
		maps.Copy(w.Header(), g.header) // there may be trailers
		return
	}
	if q.buffers() {
		q.c.Buffer(false)
	}
	w.body = nil // it is still the handler's
	if q.timed != nil {
		q.timed.leave()
	}
	if q.r.ProtoMajor == 1 {
		_ = http.NewResponseController(w.ResponseWriter).SetReadDeadline(time.Unix(1, 0)) // of a body: net/http would wait for who reads it
		w.Header().Set("Connection", "close")
	}
	http.Error(w, text504[:len(text504)-1], http.StatusGatewayTimeout)
}

// guard is the ResponseWriter of a handler that may be left behind: until its answer begins that can be claimed, and what the
// handler does then comes to nothing. The header is the handler's own until its answer begins.
type guard struct {
	mu      sync.Mutex
	counter *counter
	header  http.Header
	claimed bool
}

// claim takes the answer over. While the handler writes it has not to wait: then the answer has begun.
func (g *guard) claim() bool {
	if !g.mu.TryLock() {
		return false
	}
	defer g.mu.Unlock()
	g.claimed = !g.counter.counted
	return g.claimed
}

// enter locks the writer for the handler, unless the answer is another's.
func (g *guard) enter() error {
	g.mu.Lock()
	if g.claimed {
		g.mu.Unlock()
		return http.ErrHandlerTimeout
	}
	return nil
}

// publish shows the handler's header to net/http, before an answer begins.
func (g *guard) publish() {
	if !g.counter.counted {
		own := g.counter.Header()
		clear(own)
		maps.Copy(own, g.header)
	}
}

func (g *guard) Header() http.Header { return g.header }

func (g *guard) WriteHeader(status int) {
	if g.enter() == nil {
		defer g.mu.Unlock()
		g.publish()
		g.counter.WriteHeader(status)
	}
}

func (g *guard) Write(p []byte) (int, error) {
	if err := g.enter(); err != nil {
		return 0, err
	}
	defer g.mu.Unlock()
	g.publish()
	return g.counter.Write(p)
}

// Flush is for handlers that ask for an http.Flusher.
func (g *guard) Flush() { _ = g.FlushError() }

// FlushError is what http.ResponseController looks for, as it does for those below.
func (g *guard) FlushError() error {
	if err := g.enter(); err != nil {
		return err
	}
	defer g.mu.Unlock()
	g.publish()
	return g.counter.FlushError()
}

// Hijack gives the thread back: the connection does not have it.
func (g *guard) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := g.enter(); err != nil {
		return nil, nil, err
	}
	defer g.mu.Unlock()
	c, rw, err := g.counter.Hijack()
	if err == nil {
		g.counter.worker.GiveBack(g.counter.held)
	}
	return c, rw, err
}

func (g *guard) SetReadDeadline(t time.Time) error {
	return g.control(func(c *http.ResponseController) error { return c.SetReadDeadline(t) })
}

func (g *guard) SetWriteDeadline(t time.Time) error {
	return g.control(func(c *http.ResponseController) error { return c.SetWriteDeadline(t) })
}

func (g *guard) EnableFullDuplex() error {
	return g.control((*http.ResponseController).EnableFullDuplex)
}

func (g *guard) control(do func(*http.ResponseController) error) error {
	if err := g.enter(); err != nil {
		return err
	}
	defer g.mu.Unlock()
	return do(http.NewResponseController(g.counter))
}
