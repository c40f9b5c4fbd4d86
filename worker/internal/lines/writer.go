package lines

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// DefaultBuffer is the room for lines that wait to be written, in bytes.
const DefaultBuffer = 1 << 20

var errClosed = errors.New("the log is closed")

// Options are what a [Writer] may be told. The zero value is usable.
type Options struct {
	// Buffer is the room for lines that wait, in bytes, rounded up to a power of two; 0 is DefaultBuffer. Each line takes
	// a multiple of 64 bytes of it.
	Buffer int
	// Dropped counts the lines that were not written. It may lie in shared memory.
	Dropped *atomic.Int64
	// Report is told when the destination begins to fail, once until it works again. It is called by the goroutine that
	// writes, which goes on when it returns; it may call Write, but not Flush, Swap or Close.
	Report func(error)
}

// Writer takes whole lines from many goroutines and writes them to a file with one of its own, many at a time. It may be
// used by several goroutines at once.
//
// While the destination fails, lines are dropped and counted, and each batch tries it again. While it blocks, as a pipe
// does whose reader has stopped, lines wait in the ring, and are dropped and counted when that is full.
type Writer struct {
	ring    *ring
	dropped *atomic.Int64
	report  func(error)
	written atomic.Int64
	flusher atomic.Pointer[flusher]

	replacing sync.Mutex // held by Swap and Close until the old destination is left
	ended     bool       // closed; with replacing held

	mu       sync.Mutex // no producer takes it, and none holds it while it writes
	settled  uint64     // lines before this position are written or dropped
	progress chan struct{}
	handover *handover
}

// handover tells the flusher to leave its destination at a position.
type handover struct {
	at   uint64
	next *flusher // nil: the log ends
	left chan struct{}
	err  error // of closing the old file
}

// New starts a Writer. From now on the file belongs to it: Swap and Close close it. It should be open for appending if
// other processes write to it too. The error is that the file cannot be examined.
func New(file *os.File, o Options) (*Writer, error) {
	if o.Buffer == 0 {
		o.Buffer = DefaultBuffer
	}
	if o.Dropped == nil {
		o.Dropped = new(atomic.Int64)
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	w := &Writer{ring: newRing(o.Buffer), dropped: o.Dropped, report: o.Report}
	f, err := newFlusher(w, file)
	if err != nil {
		return nil, err
	}
	w.flusher.Store(f)
	go f.run()
	return w, nil
}

// Write hands over one line, with or without its newline, and copies it. It never waits. It always returns len(p) and no
// error, for a log that loses a line must not disturb who wrote it: a line that finds no room, or comes after Close, is
// counted as dropped. What one call hands over is written in one piece, newlines within it and all.
func (w *Writer) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	line := p
	if last := len(p) - 1; p[last] == '\n' {
		line = p[:last]
	}
	if !w.ring.push(line) {
		w.dropped.Add(1)
		return len(p), nil
	}
	w.flusher.Load().rouse()
	return len(p), nil
}

// Written is the number of lines that the destinations have taken. Those handed over are that, those dropped, and those
// that wait.
func (w *Writer) Written() int64 { return w.written.Load() }

// Flush waits until every line handed over before is written or dropped. If the context ends before, they stay in the
// queue, and the error is the context's.
func (w *Writer) Flush(ctx context.Context) error {
	at := w.ring.position()
	for {
		w.mu.Lock()
		if w.settled >= at {
			w.mu.Unlock()
			return nil
		}
		if w.progress == nil {
			w.progress = make(chan struct{})
		}
		progress := w.progress
		w.mu.Unlock()
		select {
		case <-progress:
		case <-ctx.Done():
			return fmt.Errorf("log lines wait for a destination that does not take them: %w", context.Cause(ctx))
		}
	}
}

// Swap replaces the destination. Every line handed over before goes to the old file, which is then closed; all later ones
// go to the new one. If the context ends before the old file has taken its lines, they count as dropped, though the last
// few may still arrive, and the new file is used all the same. An error says what was lost on the way, or that the Writer is
// closed, or that the new file cannot be examined and the old one stays. The new file belongs to the Writer in every case.
func (w *Writer) Swap(ctx context.Context, next *os.File) error {
	w.replacing.Lock()
	defer w.replacing.Unlock()
	if w.ended {
		next.Close()
		return errClosed
	}
	f, err := newFlusher(w, next)
	if err != nil {
		next.Close()
		return err
	}
	return w.leave(ctx, f)
}

// Close writes what was handed over, closes the file and ends the goroutine. What comes later is dropped. If the context
// ends first, the lines left count as dropped, though the last few may still arrive, and the error says so. A second Close
// does nothing.
func (w *Writer) Close(ctx context.Context) error {
	w.replacing.Lock()
	defer w.replacing.Unlock()
	if w.ended {
		return nil
	}
	w.ended = true
	return w.leave(ctx, nil)
}

// leave has the flusher leave its destination, and gives it up if that takes too long.
func (w *Writer) leave(ctx context.Context, next *flusher) error {
	h := &handover{next: next, left: make(chan struct{})}
	w.mu.Lock()
	if h.at = w.ring.position(); next == nil {
		h.at = w.ring.close()
	}
	w.handover = h
	f := w.flusher.Load()
	w.mu.Unlock()
	f.rouse()
	select {
	case <-h.left:
		return h.err
	case <-ctx.Done():
	}
	lost, given := w.giveUp(f, h)
	if !given {
		return h.err
	}
	_ = f.file.Close() // ends a write that waits in the poller; one that blocks its thread has to be left behind
	return fmt.Errorf("%s has not taken its last %d lines, which are lost: %w", f.file.Name(), lost, context.Cause(ctx))
}

// giveUp takes the destination from a flusher that may hang in it, and drops what was meant for it. given is false if it
// has left by itself.
func (w *Writer) giveUp(f *flusher, h *handover) (lost int, given bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.handover != h {
		return 0, false
	}
	lost = len(f.ends)
	for w.ring.next != h.at {
		size, whole := w.ring.peek()
		if !whole {
			runtime.Gosched() // a producer is copying
			continue
		}
		w.ring.skip(size)
		lost++
	}
	w.ring.release()
	w.dropped.Add(int64(lost))
	w.settle(h.at)
	w.succeed(h)
	return lost, true
}

// succeed lets the next destination follow, with mu held.
func (w *Writer) succeed(h *handover) {
	w.flusher.Load().left = true
	if h.next != nil {
		w.flusher.Store(h.next)
		go h.next.run()
	}
	w.handover = nil
	close(h.left)
}

// settle says that all lines before a position are written or dropped, with mu held.
func (w *Writer) settle(at uint64) {
	w.settled = at
	if w.progress != nil {
		close(w.progress)
		w.progress = nil
	}
}
