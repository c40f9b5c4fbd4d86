package engine

import (
	"sync/atomic"
	"time"

	"github.com/prefork/cluster/worker/internal/lines"
)

// RequestLog is the access log of a worker.
type RequestLog struct {
	Out        *lines.Writer
	JSON       bool
	GC         *lines.GCClock
	Slot       int
	Generation int
}

// Entry is a request on its way to the access log. Who answers it says in Status and Bytes what became of it.
type Entry struct {
	lines.Request
	Status atomic.Int32 // 0: no answer was begun
	Bytes  atomic.Int64 // of the answer after its head

	log *RequestLog
	gc  time.Duration // the collector's when the request began
}

// Begin begins a line.
func (l *RequestLog) Begin(method, path, remote string) *Entry {
	return &Entry{
		Request: lines.Request{Time: time.Now(), Method: method, Path: path, Remote: remote, Slot: l.Slot, Generation: l.Generation},
		log:     l, gc: l.GC.Spent(),
	}
}

// Handled notes how long the request waited and its handler ran.
func (e *Entry) Handled(wait, duration time.Duration) {
	e.Wait, e.Duration, e.GC = wait, duration, e.log.GC.Spent()-e.gc
}

// Write hands the line over.
func (e *Entry) Write() {
	e.Request.Status, e.Request.Bytes = int(e.Status.Load()), e.Bytes.Load()
	var room [512]byte
	line := room[:0]
	if e.log.JSON {
		line = e.AppendJSON(line)
	} else {
		line = e.AppendText(line)
	}
	_, _ = e.log.Out.Write(line)
}
