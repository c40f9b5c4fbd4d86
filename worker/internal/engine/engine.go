// Package engine is the contract between a worker and what turns bytes into requests: the engine on net/http and the one on
// fasthttp. The worker owns sources, connections, threads and counters; the engine says where a request begins and ends.
package engine

import (
	"crypto/tls"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/pool"
)

// Engine serves connections.
type Engine interface {
	// Serve takes connections from a source of a bind until its Accept fails. Each is a Conn.
	Serve(bind int, l net.Listener) error
	// Stop ends the engine when left connections are still open.
	Stop(left int)
}

// Builder makes the engine of a worker.
type Builder func(*Worker) (Engine, error)

// Conn is an accepted connection below the engine. It counts, watches timeouts and knows what may be closed when the worker
// drains; for that the engine tells it what goes on. Unless they say otherwise, and but for Held and Count, its methods are called by the goroutine that serves the connection.
type Conn interface {
	net.Conn
	// Begin: the head of a request is complete, and it is being served.
	Begin()
	// End: the answer has been written and the next head is awaited.
	End()
	// Release: the connection was taken over by the application. From here on it is only counted.
	Release()
	// Veil: bytes mean nothing to the connection, because they are encrypted or HTTP/2.
	Veil()
	Veiled() bool
	// Readable is when the last bytes of the running request's head arrived; 0 if they were not seen.
	Readable() int64
	// Held is the running request's thread.
	Held() *Held
	// Claim takes the running request's answer over: it is true if no byte of it was written, and what the engine writes from here on
	// is thrown away. Any goroutine may call it, and it never waits.
	Claim() bool
	// Answer writes a whole answer in the place of the claimed one, and ends the sending direction. Any goroutine may call it.
	Answer(p []byte)
	// Part waits a moment for the client to see such an answer before the connection is closed.
	Part()
	// Bodied: the running request has a body. Until then what follows its head belongs to the next one.
	Bodied()
	// Bound is why the running request cannot be passed on to a sibling, as scoreboard.Stayed….
	Bound() int
	// Moves says whether the connection can go on in a sibling when the worker drains.
	Moves() bool
	// Bind is the number of the bind that it was accepted on.
	Bind() int
	// CloseWrite ends the sending direction.
	CloseWrite() error
	// Log is told what to log of the running request: when it has been answered, or never will be, the line is written.
	Log(*Entry)
	// Buffer turns the buffering of a response on while a thread is held. Turned off, it waits until the client has taken
	// what was buffered, or has been given up.
	Buffer(on bool)
	// Count counts a request as begun on the connection and returns how many have, this one included.
	Count() int
}

// Worker is what an engine may know of the worker that it serves, and what all engines do alike.
type Worker struct {
	Config ipc.WorkerConfig // its Limits are those of the start
	Row    *scoreboard.Row  // where all is counted, but for what Shares are for
	// Shares are the rows of all workers if this process has the threads of all: what a thread does is counted in that of its
	// worker. Nil: there is one worker.
	Shares []*scoreboard.Row
	Clock  scoreboard.Clock
	Pool   pool.Pool // set by SetPool
	Line   pool.Line // the same; nil if requests are not passed on to siblings
	Idle   func()    // called when a thread is free and nobody waits; nil likewise
	Log    *slog.Logger

	// What the connections watch themselves, because an engine would read the clock for it. The engine sets it.
	WatchHeads, WatchIdle bool
	// HeadBuffer is the room, in bytes, that the engine offers a Read between two requests if it has no byte of the next one
	// yet: a smaller one says that a head is arriving, but for a single byte. The engine sets it.
	HeadBuffer int
	// Requests is the access log; nil if there is none.
	Requests *RequestLog
	// KeysFor returns the certificates and keys of a tls bind, as they are now, for an engine that speaks HTTP/2 or one that
	// does not. It is nil if no bind speaks TLS.
	KeysFor func(bind int, http2 bool) *tls.Config
	// Stationary: connections cannot be passed on, because the engine keeps what it has read of them in ways of its own.
	Stationary bool
	// IdleTimeout is what the server's owner allows between two requests; 0: nothing special.
	IdleTimeout time.Duration
	// WatchesClients: the engine gives up a request whose client has left, also by closing its sending direction.
	WatchesClients bool
	// CountsItself: the engine counts answers; else the connection does, from the status lines that pass.
	CountsItself bool

	Draining atomic.Bool
	watch    watch
	limits   atomic.Pointer[ipc.Limits]
	taker    pool.Taker  // the pool, if it is one
	runner   pool.Runner // likewise
}

// SetPool gives the worker its threads.
func (w *Worker) SetPool(p pool.Pool) {
	w.Pool = p
	w.taker, _ = p.(pool.Taker)
	w.runner, _ = p.(pool.Runner)
}

// Secure says whether the worker speaks TLS on a bind.
func (w *Worker) Secure(bind int) bool {
	return bind < len(w.Config.Binds) && w.Config.Binds[bind].TLS
}

// Limits are the settings in force.
func (w *Worker) Limits() *ipc.Limits { return w.limits.Load() }

// SetLimits puts others in force. Threads beyond the cells that the scoreboard has are not there.
func (w *Worker) SetLimits(l ipc.Limits) {
	w.limits.Store(&l)
	if w.Pool != nil {
		w.Pool.SetBounds(Bounds(&l))
	}
}

// Bounds are the limits of the pool.
func Bounds(l *ipc.Limits) pool.Bounds {
	return pool.Bounds{Threads: l.InAll(), Depth: l.QueueDepth, Timeout: l.QueueTimeout}
}

// Last counts a request on its connection and says whether its answer is to be the last one there.
func (w *Worker) Last(c Conn) bool {
	n, limits := c.Count(), w.Limits()
	return limits.MaxRequests > 0 && n >= limits.MaxRequests || limits.Leaving || w.Draining.Load() && !c.Moves()
}
