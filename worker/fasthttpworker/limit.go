package fasthttpworker

import (
	"time"

	"github.com/valyala/fasthttp"

	"github.com/prefork/cluster/worker/internal/engine"
)

// apart is onThread for a handler that may take only so long: it runs on another goroutine, and is left behind with its context, as
// fasthttp's own TimeoutHandler does it, when it takes longer. Nothing of an answer is written before a handler has returned, so
// until then each can be answered 504.
func (e *fast) apart(ctx *fasthttp.RequestCtx, c *conn, readable int64) (err error) {
	held := new(engine.Held) // the thread must not be given back with the connection
	held.Adopt(c.Held())
	limited := engine.NewLimited(func() bool { return true }, func() {})
	head := ctx.IsHead() // the context is the handler's from here on
	refused := make(chan error, 1)
	done := engine.Apart(limited, func() {
		refused <- e.onThread(&turn{ctx: ctx, c: c, held: held, entry: c.entry, readable: readable, limited: limited})
	})
	c.Held().CountAs(held)
	if done {
		return <-refused
	}
	c.late.Store(true)
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0)) // of a body: nobody is to wait for its reader
	c.unread = true
	response := fasthttp.AcquireResponse()
	defer fasthttp.ReleaseResponse(response)
	response.SetStatusCode(fasthttp.StatusGatewayTimeout)
	response.Header.SetContentType("text/plain; charset=utf-8")
	response.Header.Set("X-Content-Type-Options", "nosniff")
	response.SetBodyString("504 gateway timeout: the request took too long\n")
	response.SkipBody = head
	ctx.TimeoutErrorWithResponse(response)
	return nil
}
