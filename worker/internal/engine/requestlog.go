package engine

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/lines"
)

// RequestLog is the access log of a worker.
type RequestLog struct {
	Out        *lines.Writer
	JSON       bool
	GC         *lines.GCClock
	Clock      scoreboard.Clock
	Slot       int
	Generation int

	mu   sync.Mutex
	held map[*Entry]struct{}
}

// Entry is a request on its way to the access log. Who answers it says in Status and Bytes what became of it. It may be
// written by another goroutine than the one that serves the request: that one may hang.
type Entry struct {
	Status atomic.Int32 // 0: no answer was begun
	Bytes  atomic.Int64 // of the answer's body

	request  lines.Request // as far as it is known at its beginning
	log      *RequestLog
	gc       time.Duration // the collector's at the beginning
	slot     atomic.Int32  // of the worker, in process of the one whose thread it has had
	started  atomic.Int64  // when its handler began; 0: it does not run
	wait     atomic.Int64
	duration atomic.Int64
	spent    atomic.Int64 // of the collector, while the handler ran
	written  atomic.Bool
}

// Begin begins a line.
func (l *RequestLog) Begin(method, path, remote string) *Entry {
	e := &Entry{
		request: lines.Request{Time: time.Now(), Method: method, Path: path, Remote: remote, Generation: l.Generation},
		log:     l, gc: l.GC.Spent(),
	}
	e.slot.Store(int32(l.Slot))
	return e
}

// Hold keeps an entry that no connection has, until it is written.
func (l *RequestLog) Hold(e *Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[*Entry]struct{}{}
	}
	l.held[e] = struct{}{}
}

// WriteHeld writes what is held: the worker leaves, and nobody will come to it.
func (l *RequestLog) WriteHeld() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := range l.held {
		e.Write()
	}
	clear(l.held)
}

// WriteOne writes an entry that was held.
func (l *RequestLog) WriteOne(e *Entry) {
	l.mu.Lock()
	delete(l.held, e)
	l.mu.Unlock()
	e.Write()
}

// Waited notes how long the request has waited for a thread, whether it has got one or not.
func (e *Entry) Waited(wait time.Duration) { e.wait.Store(int64(wait)) }

// Started notes when its handler began, and how long the request had waited then.
func (e *Entry) Started(at int64, wait time.Duration) {
	e.started.Store(at)
	e.Waited(wait)
}

// Handled notes how long its handler has run.
func (e *Entry) Handled(duration time.Duration) {
	e.duration.Store(int64(duration))
	e.spent.Store(int64(e.log.GC.Spent() - e.gc))
	e.started.Store(0)
}

// Write hands the line over, once. Of a handler that still runs, as one that has taken the connection over may do for
// hours, it says how long it has until now.
func (e *Entry) Write() {
	if e.written.Swap(true) {
		return
	}
	if at := e.started.Load(); at != 0 {
		e.Handled(time.Duration(e.log.Clock.Now() - at))
	}
	r := e.request
	r.Slot = int(e.slot.Load())
	r.Status, r.Bytes = int(e.Status.Load()), e.Bytes.Load()
	if r.Method == http.MethodHead || r.Status < 200 || r.Status == http.StatusNoContent || r.Status == http.StatusNotModified {
		r.Bytes = 0 // a handler may write to such an answer, but nothing is sent
	}
	r.Wait, r.Duration, r.GC = time.Duration(e.wait.Load()), time.Duration(e.duration.Load()), time.Duration(e.spent.Load())
	var room [512]byte
	line := room[:0]
	if e.log.JSON {
		line = r.AppendJSON(line)
	} else {
		line = r.AppendText(line)
	}
	_, _ = e.log.Out.Write(line)
}
