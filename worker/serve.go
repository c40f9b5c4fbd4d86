package worker

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prefork/cluster/worker/internal/engine"
	"github.com/prefork/cluster/worker/internal/nethttp"
	"github.com/prefork/cluster/worker/internal/publish"
)

// Serve serves h until this worker is drained; the error is nil if all connections had ended by then. In a program that
// was started by hand it listens on --bind ADDRESS, or all interfaces on $PORT, or 127.0.0.1:9292, until SIGTERM or SIGINT.
//
// A nil h is http.DefaultServeMux. Serve can be called once in a process.
func Serve(h http.Handler, opts ...Option) error {
	return ServeServer(&http.Server{Handler: h}, opts...)
}

// ServeServer is Serve for a server with timeouts, hooks or TLS of its own. Timeouts that are zero are set from the
// cluster's configuration; a negative one means none. If its TLSConfig has certificates the binds speak TLS.
// Neither Shutdown nor Close of the server is to be called: both lose requests.
func ServeServer(srv *http.Server, opts ...Option) error {
	return ServeEngine(nethttp.Builder(srv), opts...)
}

// ServeEngine serves with another engine than net/http's. Engines are made in this module: for fasthttp, see the package
// fasthttpworker.
func ServeEngine(build engine.Builder, opts ...Option) error {
	m, err := join(collect(opts))
	if err != nil {
		return err
	}
	if m.engine, err = build(&m.Worker); err != nil {
		return m.giveUp(fmt.Errorf("worker: %w", err))
	}
	return m.run()
}

// ErrRequestTimeout is the context.Cause of a request on net/http that took longer than request-timeout. What its handler writes
// from then on comes to nothing.
var ErrRequestTimeout = engine.ErrRequestTimeout

// Info says which worker this process is.
type Info struct {
	Slot       int  `json:"slot"` // 0 in the one process of mode inprocess
	Seat       int  `json:"-"`
	Generation int  `json:"generation"`
	Alone      bool `json:"-"` // started by hand: slot 0, generation 0
}

// Option changes how Serve, ServeServer and Listeners work.
type Option func(*options)

type options struct {
	onBoot  []func(Info) error
	onDrain []func()
	onExit  []func()
	logger  *slog.Logger
	metrics *publish.Source
}

// OnBoot runs before the worker says that it is ready: open databases, warm caches. An error ends the worker; the
// cluster then keeps the old one. The boot timeout includes it.
func OnBoot(f func(Info) error) Option { return func(o *options) { o.onBoot = append(o.onBoot, f) } }

// OnDrain runs when the worker has stopped accepting and finishes what runs: stop background jobs, deregister.
func OnDrain(f func()) Option { return func(o *options) { o.onDrain = append(o.onDrain, f) } }

// OnExit runs last, when no connection is left or the drain timeout is over: flush and close. The drain timeout does not
// wait for it for longer than a second.
func OnExit(f func()) Option { return func(o *options) { o.onExit = append(o.onExit, f) } }

// Logger replaces the logger for what the library itself has to say. The default writes text to standard error.
func Logger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// Publish sends what the application counts to the master, which shows it among its metrics. Sources are made in this module: see
// the package prommetrics. Alone, and where the master serves no metrics, it does nothing.
func Publish(s publish.Source) Option { return func(o *options) { o.metrics = &s } }

func collect(opts []Option) options {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return o
}
