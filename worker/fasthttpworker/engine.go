package fasthttpworker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/prefork/cluster/worker/internal/engine"
)

// headRoom is the room for a request head, in bytes, if the cluster has no limit of its own: what net/http's clients send
// fits, and twice what fasthttp takes otherwise.
const headRoom = 8 << 10

// fast is the engine on fasthttp.
type fast struct {
	worker *engine.Worker
	server *fasthttp.Server
	owner  hooks
	keys   *tls.Config // of an owner who speaks TLS on all binds; nil: the cluster says which binds do
	heads  bool        // the owner has no timeout for heads: the cluster's counts
	idle   bool        // nor for silence between two requests
	marks  marks
}

// hooks are what the owner of the server had set where the engine has to listen.
type hooks struct {
	handler        fasthttp.RequestHandler
	headerReceived func(*fasthttp.RequestHeader) fasthttp.RequestConfig
	failed         func(*fasthttp.RequestCtx, error)
	expect         func(*fasthttp.RequestCtx) int
	mayContinue    func(*fasthttp.RequestHeader) bool
	state          func(net.Conn, fasthttp.ConnState)
}

// arm makes the engine of a server.
func arm(w *engine.Worker, srv *fasthttp.Server) (engine.Engine, error) {
	switch {
	case srv.Handler == nil:
		return nil, errors.New("the fasthttp.Server has no Handler: set it")
	case srv.MaxConnsPerIP > 0:
		return nil, errors.New("the fasthttp.Server has MaxConnsPerIP set, which counts the connections of one worker only: limit them in front of the cluster")
	}
	e := &fast{worker: w, server: srv, marks: newMarks(time.Now())}
	e.owner = hooks{srv.Handler, srv.HeaderReceived, srv.ErrorHandler, srv.ExpectHandler, srv.ContinueHandler, srv.ConnState}
	srv.Handler, srv.HeaderReceived, srv.ErrorHandler = e.handle, e.headReceived, e.failed
	srv.ExpectHandler, srv.ContinueHandler, srv.ConnState = e.expect, nil, e.follow
	srv.Logger = logger{worker: w, owner: srv.Logger}
	if srv.ReadBufferSize <= 0 {
		srv.ReadBufferSize = cmp.Or(w.Config.MaxHead, headRoom)
	}
	if srv.Concurrency <= 0 {
		srv.Concurrency = math.MaxInt32 // the cluster limits connections while they wait in the kernel; fasthttp would refuse them
	}
	if srv.StreamRequestBody {
		srv.DisablePreParseMultipartForm = true // it reads the whole form before the handler, whatever its size
	}
	if t := srv.TLSConfig; t != nil && (len(t.Certificates) > 0 || t.GetCertificate != nil || t.GetConfigForClient != nil) {
		e.keys = http1(t)
	}
	e.heads = srv.ReadTimeout == 0
	e.idle = srv.ReadTimeout == 0 && srv.IdleTimeout == 0
	w.CountsItself = true // answers to pipelined requests leave together
	w.WatchHeads, w.WatchIdle = e.heads && e.keys == nil, e.idle && e.keys == nil
	w.HeadBuffer = max(srv.ReadBufferSize, 16) // a bufio.Reader has no less
	w.IdleTimeout = cmp.Or(srv.IdleTimeout, srv.ReadTimeout)
	w.Stationary = srv.ReduceMemoryUsage // it reads the first byte of a request by itself
	return e, nil
}

// http1 is the same configuration without HTTP/2, which fasthttp does not speak.
func http1(t *tls.Config) *tls.Config {
	t = t.Clone()
	t.NextProtos = []string{"http/1.1"}
	return t
}

// Serve serves a source of a bind.
func (e *fast) Serve(bind int, l net.Listener) error {
	keys := e.keys
	if keys == nil && e.worker.Secure(bind) {
		if e.worker.KeysFor == nil {
			return fmt.Errorf("bind %d speaks TLS, but its certificates were not handed over", bind)
		}
		keys = &tls.Config{GetConfigForClient: e.keysFor}
	}
	l = &listener{Listener: l, engine: e, secure: keys != nil}
	if keys != nil {
		l = tls.NewListener(l, keys)
	}
	if err := e.server.Serve(l); err != nil {
		return err
	}
	return net.ErrClosed
}

// keysFor finds the certificates of the bind that a client has come to, as they are now.
func (e *fast) keysFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	keys := e.worker.KeysFor(connOf(hello.Conn).Bind(), false)
	if keys == nil {
		return nil, errors.New("no certificates for this bind")
	}
	return keys, nil
}

// Stop ends the engine. Only with no connection open may it be Shutdown, which ends what waits for ctx.Done().
func (e *fast) Stop(left int) {
	if left > 0 {
		return // the process ends and takes them along
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = e.server.ShutdownWithContext(ctx)
}

// follow keeps a connection in step. fasthttp calls it from the goroutine that serves it, but for StateHijacked.
func (e *fast) follow(nc net.Conn, state fasthttp.ConnState) {
	switch state {
	case fasthttp.StateActive: // of the first request before any of its bytes, of others at the first
		connOf(nc).awaitHead()
	case fasthttp.StateIdle:
		connOf(nc).end()
	}
	if e.owner.state != nil {
		e.owner.state(nc, state)
	}
}

// headReceived is called between head and body. It does not say on which connection: what it returns does.
func (e *fast) headReceived(h *fasthttp.RequestHeader) (conf fasthttp.RequestConfig) {
	if e.owner.headerReceived != nil {
		conf = e.owner.headerReceived(h)
	}
	if !e.server.StreamRequestBody {
		conf.MaxRequestBodySize = int(min(e.mostBody(conf.MaxRequestBodySize), math.MaxInt))
	}
	if n := h.ContentLength(); n > 0 || n == chunked {
		conf.ReadTimeout = bodyFollows(conf.ReadTimeout)
	}
	return conf
}

// chunked is the length of a body of which fasthttp does not know it.
const chunked = -1

// mostBody is the largest body allowed, in bytes, if the owner allows so many for this request; 0: he has not said.
func (e *fast) mostBody(owner int) int64 {
	most := e.worker.Limits().MaxBody
	if e.server.StreamRequestBody { // what fasthttp limits then is its buffer
		return cmp.Or(most, math.MaxInt64)
	}
	if owner <= 0 {
		owner = e.server.MaxRequestBodySize
	}
	switch {
	case owner <= 0:
		return cmp.Or(most, fasthttp.DefaultMaxRequestBodySize)
	case most == 0:
		return int64(owner)
	}
	return min(most, int64(owner))
}
