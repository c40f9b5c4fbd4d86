package fasthttpworker

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"runtime"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/prefork/cluster/worker/internal/engine"
)

// handle is called with each request: it takes a thread, runs the handler and gives the thread back.
func (e *fast) handle(ctx *fasthttp.RequestCtx) {
	c := connOf(ctx.Conn())
	c.begin()
	if e.worker.Requests != nil {
		c.log(string(ctx.Method()), string(ctx.Path()))
	}
	readable := c.Readable()
	if n := ctx.Request.Header.ContentLength(); n > 0 || n == chunked {
		readable = 0 // its body has arrived now
	}
	if !ctx.Request.IsBodyStream() {
		e.serve(ctx, c, readable)
	} else if b := e.receive(ctx, c); b != nil {
		e.serve(ctx, c, 0)
		c.unread = c.unread || !b.finish()
	}
	e.answer(ctx, c)
}

// serve runs the handler on a thread, or refuses the request. readable is when it could have begun; 0, as
// for a pipelined one: now.
func (e *fast) serve(ctx *fasthttp.RequestCtx, c *conn, readable int64) {
	if readable == 0 {
		readable = e.worker.Clock.Now()
	}
	var err error
	if e.worker.Limits().RequestTimeout > 0 {
		err = e.apart(ctx, c, readable)
	} else {
		err = e.onThread(&turn{ctx: ctx, c: c, held: c.Held(), entry: c.entry, readable: readable})
	}
	if err != nil {
		if c.entry != nil {
			c.entry.Waited(time.Duration(e.worker.Clock.Now() - readable))
		}
		e.worker.Row.Refused.Add(1)
		refuse(ctx, fasthttp.StatusServiceUnavailable, "service unavailable: "+err.Error())
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	}
}

// turn is a request and the thread on which its handler runs.
type turn struct {
	ctx      *fasthttp.RequestCtx
	c        *conn
	held     *engine.Held
	entry    *engine.Entry // for the access log; nil if there is none
	readable int64
	limited  *engine.Limited // nil if the handler may take any time
}

func (e *fast) onThread(q *turn) error {
	if !e.worker.Inline() {
		own := *q // so that one which runs inline stays on its stack
		return e.worker.Run(context.Background(), q.held, q.readable, q.c.bound, func() { e.run(&own) })
	}
	err := e.worker.Take(context.Background(), q.held, q.readable, q.c.bound)
	if err == nil {
		e.run(q)
	}
	return err
}

func (e *fast) run(q *turn) {
	method, path := string(q.ctx.Method()), string(q.ctx.Path())
	started := e.worker.Begin(q.held, q.readable, method, path, q.entry)
	if q.limited != nil {
		e.worker.Limit(q.limited, q.held, started, method, path)
	}
	returned := false
	defer func() {
		late := q.limited != nil && e.worker.Ended(q.limited)
		if returned && !late && streams(q.ctx) {
			if q.limited != nil {
				q.c.Held().Adopt(q.held)
			}
			q.c.stream(started)
			return
		}
		e.worker.End(q.held, started, q.entry)
		if !returned {
			e.panicked(q, late, recover())
		}
	}()
	e.owner.handler(q.ctx)
	returned = true
}

// streams says whether the response will be produced after the handler has returned.
func streams(ctx *fasthttp.RequestCtx) bool {
	return ctx.LastTimeoutErrorResponse() == nil && ctx.IsBodyStream() && !ctx.Hijacked()
}

// answer counts the response that is about to be written, and says whether it is the connection's last one.
func (e *fast) answer(ctx *fasthttp.RequestCtx, c *conn) {
	last := e.worker.Last(c)
	response := ctx.LastTimeoutErrorResponse() // once there is one the handler may still be at work on the other
	if response == nil {
		response = &ctx.Response
		if ctx.Hijacked() {
			e.worker.Account(c.Held()).Answer(fasthttp.StatusSwitchingProtocols)
			c.answered(fasthttp.StatusSwitchingProtocols, 0)
			c.leave()
			return
		}
	}
	e.worker.Account(c.Held()).Answer(response.StatusCode())
	if c.entry != nil {
		c.answered(response.StatusCode(), c.bodySize(response))
	}
	if last || c.unread {
		response.SetConnectionClose()
	}
}

// bodySize is the length of a response's body in bytes. Of a stream that does not know it, it is counted from 0 on.
func (c *conn) bodySize(response *fasthttp.Response) int {
	switch {
	case response.SkipBody:
		return 0
	case !response.IsBodyStream():
		return len(response.Body())
	}
	if n := response.Header.ContentLength(); n >= 0 {
		return n
	}
	if limited, ok := response.BodyStream().(*io.LimitedReader); ok {
		return int(limited.N) // fasthttp takes it for the length, too
	}
	countStream(response, c.entry)
	return 0
}

// countStream counts what is read of a response's stream. fasthttp can only replace one by closing it, so it is put in its
// place behind fasthttp's back.
func countStream(response *fasthttp.Response, e *engine.Entry) {
	field := reflect.ValueOf(response).Elem().FieldByName("bodyStream")
	stream := reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Interface().(*io.Reader)
	*stream = countedStream{*stream, e}
}

type countedStream struct {
	io.Reader
	entry *engine.Entry
}

func (s countedStream) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.entry.Bytes.Add(int64(n))
	return n, err
}

// Close and CloseWithError are called one after the other; a stream has both, one or none.
func (s countedStream) Close() error {
	if c, ok := s.Reader.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func (s countedStream) CloseWithError(err error) error {
	if c, ok := s.Reader.(fasthttp.ReadCloserWithError); ok {
		return c.CloseWithError(err)
	}
	return nil
}

// refuse answers instead of the handler, in the words of the engine on net/http.
func refuse(ctx *fasthttp.RequestCtx, status int, why string) {
	ctx.Error(fmt.Sprintf("%d %s\n", status, why), status)
	ctx.Response.Header.Set("X-Content-Type-Options", "nosniff")
}

// panicked logs a handler's panic and answers 500: nothing of another answer has left yet. The connection is closed.
func (e *fast) panicked(q *turn, late bool, v any) {
	ctx := q.ctx
	if v == nil { // runtime.Goexit: there is nobody left to answer
		if !late {
			_ = q.c.Close()
		}
		return
	}
	e.worker.Account(q.held).Panics.Add(1)
	stack := make([]byte, 16<<10)
	stack = stack[:runtime.Stack(stack, false)]
	e.worker.Log.Error("handler panicked", "err", fmt.Sprint(v), "method", string(ctx.Method()), "path", string(ctx.Path()), "stack", string(stack))
	const text = "internal server error"
	if late {
		return // it was answered
	}
	if ctx.LastTimeoutErrorResponse() != nil {
		ctx.TimeoutErrorWithCode(text+"\n", http.StatusInternalServerError)
		ctx.LastTimeoutErrorResponse().SetConnectionClose()
		return
	}
	ctx.Hijack(nil)
	refuse(ctx, http.StatusInternalServerError, text)
	ctx.SetConnectionClose()
}
