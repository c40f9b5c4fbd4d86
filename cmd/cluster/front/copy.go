package front

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
)

// copier is an HTTP server that copies each request to a worker, and its answer back. Which worker of a slot gets it the kernel
// decides: those that serve the slot accept from its socket.
type copier struct {
	server *http.Server
	binds  []*ipc.FD
	slots  []*slot
	clock  scoreboard.Clock
	log    *slog.Logger
	idle   time.Duration // how long a silent connection is waited for when the front leaves

	mu    sync.Mutex // for the choice: it and its count are one step
	first int

	draining  atomic.Bool
	listeners []*listener
	loops     sync.WaitGroup
	open      atomic.Int64 // connections of clients
}

// slot is where a slot's workers are found.
type slot struct {
	rows    [2]*scoreboard.Row
	drains  [2]bool // at the last look
	proxy   *httputil.ReverseProxy
	kept    *http.Transport
	running int // requests
}

func newCopier(h *ipc.Handover, board *scoreboard.Board, folder string, log *slog.Logger) server {
	limits := &h.Config.Limits
	c := &copier{binds: h.Binds, clock: scoreboard.NewClock(), log: log, idle: limits.DrainIdle}
	buffers := &pool{}
	for i := range board.Slots() {
		path := ipc.SlotSocket(folder, i)
		s := &slot{rows: [2]*scoreboard.Row{board.Row(2 * i), board.Row(2*i + 1)}}
		s.kept = &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", path)
			},
			MaxIdleConnsPerHost: 1 << 20, // as many as there were requests at a time
			IdleConnTimeout:     limits.IdleTimeout / 2,
			DisableCompression:  true,
		}
		s.proxy = &httputil.ReverseProxy{Rewrite: rewrite, Transport: s.kept, BufferPool: buffers, ErrorHandler: c.failed}
		c.slots = append(c.slots, s)
	}
	c.server = &http.Server{
		Handler: c, ReadHeaderTimeout: limits.HeadTimeout, IdleTimeout: limits.IdleTimeout, MaxHeaderBytes: h.Config.MaxHead,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ConnState: c.count,
	}
	return c
}

// rewrite leaves the request as it is, but for what a proxy has to say of the client: workers see the front's socket.
func rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.Scheme, p.Out.URL.Host = "http", "worker" // the dialer knows where
	p.Out.Host = p.In.Host
	p.SetXForwarded()
}

// failed answers for a worker that did not. What was begun is not repeated here; net/http does so once, for a request without a body
// on a kept connection that ended before the first byte of an answer.
func (c *copier) failed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) {
		return // the client has left
	}
	c.log.Warn("a request failed on its way to a worker", "method", r.Method, "path", r.URL.Path, "err", err)
	w.WriteHeader(http.StatusBadGateway)
}

// ServeHTTP copies a request to the slot with the fewest that run there. It waits while none is served.
func (c *copier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	var to *slot
	if !until(r.Context(), func() bool { to = c.take(); return to != nil }) {
		return
	}
	defer c.give(to)
	to.proxy.ServeHTTP(w, r)
}

func (c *copier) take() *slot {
	c.mu.Lock()
	defer c.mu.Unlock()
	best, i := c.least()
	if best != nil {
		best.running++
		c.first = i + 1
	}
	return best
}

func (c *copier) give(s *slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.running--
}

// least is the served slot with the fewest requests, and which it is; nil if none is. Equal ones take turns.
func (c *copier) least() (best *slot, at int) {
	now := c.clock.Now()
	for i := range c.slots {
		i = (c.first + i) % len(c.slots)
		if s := c.slots[i]; (best == nil || s.running < best.running) && (ready(s.rows[0], now) || ready(s.rows[1], now)) {
			best, at = s, i
		}
	}
	return best, at
}

// any says whether a slot is served.
func (c *copier) any() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	best, _ := c.least()
	return best != nil
}

func (c *copier) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		c.open.Add(-1)
	}
}

// look closes the idle connections to a slot when one of its workers begins to drain: that one waits for them.
func (c *copier) look() {
	for _, s := range c.slots {
		for i, row := range s.rows {
			drains := row.State.Load() == scoreboard.StateDraining
			if drains && !s.drains[i] {
				s.kept.CloseIdleConnections()
			}
			s.drains[i] = drains
		}
	}
}

func (c *copier) meet(_ int, inbox *ipc.FD) { inbox.Close() } // there are none

func (c *copier) serve() error {
	for _, fd := range c.binds {
		l, err := c.newListener(fd)
		if err != nil {
			return err
		}
		c.listeners = append(c.listeners, l)
		c.loops.Go(func() { _ = c.server.Serve(l) })
	}
	go func() {
		const often = 200 * time.Millisecond // much less than --drain-idle
		for range time.Tick(often) {
			c.look()
		}
	}()
	return nil
}

// drain answers what comes with Connection: close, and gives silent clients the time to speak once more: net/http's Shutdown alone
// would lose their requests.
func (c *copier) drain(over context.Context) {
	c.draining.Store(true)
	for _, l := range c.listeners {
		l.finish()
	}
	c.loops.Wait()
	silent, cancel := context.WithTimeout(over, c.idle)
	defer cancel()
	until(silent, func() bool { return c.open.Load() == 0 })
	_ = c.server.Shutdown(over)
}

// pool keeps buffers for copying.
type pool struct{ sync.Pool }

func (p *pool) Get() []byte {
	if b, ok := p.Pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 32<<10)
}

func (p *pool) Put(b []byte) { p.Pool.Put(&b) }

// listener accepts while a slot is served. When it is to finish it takes what waits in its queue, and ends.
type listener struct {
	net.Listener
	c    *copier
	last bool // this is the last wait
}

// finalWait is how long the last Accept waits for a connection that may be on its way.
const finalWait = 50 * time.Millisecond

func (c *copier) newListener(fd *ipc.FD) (*listener, error) {
	own, err := fd.Release()
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), "listener")
	defer f.Close() // net.FileListener works on a duplicate
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("the inherited descriptor is no listener: %w", err)
	}
	return &listener{Listener: l, c: c}, nil
}

func (l *listener) Accept() (net.Conn, error) {
	until(context.Background(), func() bool { return l.c.any() || l.c.draining.Load() })
	for {
		nc, err := l.Listener.Accept()
		switch {
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return nc, err
		case l.last:
			return nil, net.ErrClosed
		}
		l.last = true
		l.setDeadline(time.Now().Add(finalWait))
	}
}

// finish ends the waiting for connections.
func (l *listener) finish() { l.setDeadline(time.Unix(1, 0)) }

func (l *listener) setDeadline(t time.Time) {
	_ = l.Listener.(interface{ SetDeadline(time.Time) error }).SetDeadline(t)
}
