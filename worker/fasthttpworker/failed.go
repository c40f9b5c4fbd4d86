package fasthttpworker

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"syscall"

	"github.com/valyala/fasthttp"

	"github.com/prefork/cluster/worker/internal/engine"
)

// failed answers a request that could not be read, as the owner of the server wants it or as fasthttp does; it closes the
// connection then.
func (e *fast) failed(ctx *fasthttp.RequestCtx, err error) {
	c := connOf(ctx.Conn())
	if e.owner.failed != nil {
		e.owner.failed(ctx, err)
	} else {
		status, text := fault(err)
		ctx.Error(text, status)
	}
	if gone(err) {
		return // what is written will not arrive
	}
	e.worker.Row.Answer(ctx.Response.StatusCode())
	if c.entry == nil {
		c.log("", "") // what could be read of it is not to be trusted
	}
	c.answered(ctx.Response.StatusCode(), len(ctx.Response.Body()))
	c.unread = true
}

// fault is the answer to a request that could not be read: fasthttp's own, but for the body that is too large.
func fault(err error) (status int, text string) {
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		return fasthttp.StatusRequestHeaderFieldsTooLarge, "Too big request header"
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return fasthttp.StatusRequestEntityTooLarge, "Too big request body"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fasthttp.StatusRequestTimeout, "Request timeout"
	}
	return fasthttp.StatusBadRequest, "Error when parsing request"
}

// gone says whether a read failed because the client has reset the connection.
func gone(err error) bool { return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) }

// expect decides whether a client that asks first may send its body. fasthttp writes any other status than 100 itself and
// closes the connection.
func (e *fast) expect(ctx *fasthttp.RequestCtx) int {
	c := connOf(ctx.Conn())
	status := fasthttp.StatusContinue
	switch {
	case e.owner.expect != nil:
		status = e.owner.expect(ctx)
	case e.owner.mayContinue != nil && !e.owner.mayContinue(&ctx.Request.Header):
		status = fasthttp.StatusExpectationFailed
	}
	owner := 0
	if e.owner.headerReceived != nil {
		owner = math.MaxInt // he may have allowed more for this request: fasthttp knows, and asks again
	}
	if status == fasthttp.StatusContinue && int64(ctx.Request.Header.ContentLength()) > e.mostBody(owner) {
		status = fasthttp.StatusRequestEntityTooLarge
	}
	if status != fasthttp.StatusContinue {
		e.worker.Row.Answer(status)
		c.log(string(ctx.Method()), string(ctx.Path()))
		c.answered(status, 0)
		c.unread = true
	}
	return status
}

// logger passes on what fasthttp logs. What it says about single connections is the clients' doing and told at level
// debug, except a panic of a response stream, which it says nowhere else.
type logger struct {
	worker *engine.Worker
	owner  fasthttp.Logger
}

// Printf is fasthttp's only way to log.
func (l logger) Printf(format string, args ...any) {
	for _, arg := range args {
		var panicked *fasthttp.ErrBodyStreamWritePanic
		if err, ok := arg.(error); ok && errors.As(err, &panicked) {
			l.worker.Row.Panics.Add(1)
			l.worker.Log.Error("response stream panicked", "err", err.Error())
			return
		}
	}
	switch {
	case l.owner != nil:
		l.owner.Printf(format, args...)
	case strings.HasPrefix(format, "error when serving connection"):
		l.worker.Log.Debug(fmt.Sprintf(format, args...))
	default:
		l.worker.Log.Warn(fmt.Sprintf(format, args...))
	}
}
