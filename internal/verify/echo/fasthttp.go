package echo

import (
	"bufio"
	"net"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/prefork/cluster/internal/verify"
	"github.com/prefork/cluster/worker"
	"github.com/prefork/cluster/worker/fasthttpworker"
)

// ServeFastHTTP is ServeNetHTTP on fasthttp, which has no HTTP/2.
func ServeFastHTTP() error { return fasthttpworker.Serve(FastHTTP, worker.OnBoot(noteSlot)) }

// FastHTTP is the application on fasthttp.
func FastHTTP(ctx *fasthttp.RequestCtx) {
	path := string(ctx.Path())
	if id, upgrade := strings.CutPrefix(path, verify.UpgradePath); upgrade {
		ctx.SetStatusCode(fasthttp.StatusSwitchingProtocols)
		ctx.Response.Header.Set("Connection", "Upgrade")
		ctx.Response.Header.Set("Upgrade", verify.Protocol)
		who(id, ctx.Response.Header.Set)
		ctx.Hijack(func(nc net.Conn) { echoFrames(bufio.NewReader(nc), nc) })
		return
	}
	ask, err := verify.ParseAsk(path)
	if err != nil {
		ctx.Error(err.Error(), fasthttp.StatusNotFound)
		return
	}
	time.Sleep(ask.Wait)
	who(ask.ID, ctx.Response.Header.Set)
	ctx.Response.Header.Set(verify.HeaderSum, sum(ctx.PostBody()))
	ctx.SetContentType("application/octet-stream")
	body := ctx.PostBody()
	if ctx.IsGet() {
		body = verify.Pattern(ask.ID, ask.Answer)
	}
	if !ask.Stream {
		ctx.SetBody(body)
		return
	}
	body = append([]byte(nil), body...) // the request's own is used again while the stream is sent
	ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		_, _ = w.Write(body[:len(body)/2])
		_ = w.Flush() // that the client has left shows in the next write, to nobody
		_, _ = w.Write(body[len(body)/2:])
	})
}
