// Package fasthttpworker serves an application of fasthttp as a worker, as package worker does one of net/http: with the
// same drain, threads, limits and counters.
//
// Invariant: a handler runs only with a thread. The thread is taken when the request has arrived, its body included unless
// the server streams bodies, and given back when the handler returns, or when the response stream that it has set ends.
//
// What differs from fasthttp alone: a panic of a handler is answered 500 and logged; ctx.Conn() is the worker's connection;
// a connection is closed behind a request body that nobody has read. HTTP/2 is not served.
package fasthttpworker

import (
	"github.com/valyala/fasthttp"

	"github.com/prefork/cluster/worker"
	"github.com/prefork/cluster/worker/internal/engine"
)

// Serve serves h until this worker is drained; the error is nil if all connections had ended by then. Bodies are in memory
// before h is called; those larger than the cluster's limit, or 4 MiB if it has none, are refused with 413. Started by hand
// the program serves alone, as with worker.Serve; in one process one of them can be called, once.
func Serve(h fasthttp.RequestHandler, opts ...worker.Option) error {
	return ServeServer(&fasthttp.Server{Handler: h}, opts...)
}

// ServeServer is Serve for a server with settings of its own. ReadTimeout and IdleTimeout that are zero stand for the
// cluster's; a request body is refused beyond the smaller of its MaxRequestBodySize and the cluster's limit. If its
// TLSConfig has certificates the binds speak TLS.
//
// With StreamRequestBody a handler gets every body as a stream, of which the cluster's buffer is filled before a thread is
// taken; only the cluster's limit counts then. Such a handler should read RequestBodyStream: fasthttp's PostBody returns
// the text of an error as if it were the body.
//
// Neither Shutdown of the server is to be called, which loses requests, nor MaxConnsPerIP to be set: it is an error.
func ServeServer(srv *fasthttp.Server, opts ...worker.Option) error {
	return worker.ServeEngine(func(w *engine.Worker) (engine.Engine, error) { return arm(w, srv) }, opts...)
}
