package lines

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/prefork/cluster/worker/internal/metronome"
)

const (
	// fileBatch is how many bytes a regular file gets at a time.
	fileBatch = 64 << 10
	// pipeBatch is how many bytes anything else gets at a time. It is PIPE_BUF of Linux: so many are written in one piece,
	// even if other processes write to the same pipe (pipe(7)).
	pipeBatch = 4096
)

// flusher is the goroutine that writes to one destination, from its opening to its end.
type flusher struct {
	w       *Writer
	file    *os.File
	batch   int
	parked  atomic.Bool   // waits in wake, or is about to
	wake    chan struct{} // one token for each time parked is taken back
	failing bool
	torn    bool // the destination ends within a line

	buf   []byte // what is being written
	ends  []int  // where in buf its lines end; with the Writer's mu held
	until uint64 // the position after them
	left  bool   // another one writes now, or nobody; with the Writer's mu held
}

func newFlusher(w *Writer, file *os.File) (*flusher, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot log to %s: %w", file.Name(), err)
	}
	f := &flusher{w: w, file: file, batch: pipeBatch, wake: make(chan struct{}, 1)}
	if info.Mode().IsRegular() {
		f.batch = fileBatch
	}
	return f, nil
}

// gatherTime is how long the goroutine lets lines gather after it has written: to be woken for a few costs more than to write
// them. Only a first line after a silence is written at once.
const gatherTime = 5 * time.Millisecond

// run writes until the destination is left. It waits without a timer of the runtime: while one is pending, the scheduler
// reads the clock whenever it looks for work.
func (f *flusher) run() {
	beat, err := metronome.New()
	if err == nil {
		defer beat.Stop()
	}
	for busy := false; ; {
		h, left := f.gather()
		switch {
		case left:
			return
		case h != nil:
			f.finish(h)
			return
		case len(f.buf) > 0:
			n, err := f.file.Write(f.buf)
			f.settle(n, err)
			busy = true
		case busy && beat != nil:
			beat.Wait(gatherTime)
			busy = false
		default:
			f.await()
		}
	}
}

// gather takes as many whole lines as fit into one write; one that is longer goes alone. It returns the handover if it has
// come to its position.
func (f *flusher) gather() (h *handover, left bool) {
	w := f.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.left {
		return nil, true
	}
	if cap(f.buf) > 2*fileBatch {
		f.buf = nil // once a huge line has passed
	}
	f.buf, f.ends = f.buf[:0], f.ends[:0]
	r, h := w.ring, w.handover
	for h == nil || r.next != h.at {
		size, whole := r.peek()
		if !whole {
			break
		}
		if len(f.ends) == 0 && f.torn {
			f.buf = append(f.buf, '\n')
		}
		if len(f.ends) > 0 && len(f.buf)+size+1 > f.batch {
			break
		}
		f.buf = append(r.take(f.buf, size), '\n')
		f.ends = append(f.ends, len(f.buf))
	}
	if len(f.ends) == 0 && h != nil && r.next == h.at {
		return h, false
	}
	r.release()
	f.until = r.next
	return nil, false
}

// settle accounts for what has been written. Lines of which a part is missing are dropped: to try again might never end.
func (f *flusher) settle(n int, err error) {
	w := f.w
	if err != nil && !f.failing && !f.isLeft() {
		w.report(fmt.Errorf("cannot write to the log: %w; lines are dropped until it works again", err))
	}
	f.failing = err != nil
	if n > 0 {
		f.torn = f.buf[n-1] != '\n'
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.left {
		return // they have been counted as dropped
	}
	whole := len(f.ends)
	for whole > 0 && f.ends[whole-1] > n {
		whole--
	}
	w.written.Add(int64(whole))
	w.dropped.Add(int64(len(f.ends) - whole))
	f.ends = f.ends[:0]
	w.settle(f.until)
}

func (f *flusher) isLeft() bool {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return f.left
}

// finish closes the file and lets the next one follow.
func (f *flusher) finish(h *handover) {
	err := f.file.Close()
	if err != nil {
		err = fmt.Errorf("cannot close the log: %w; its last lines may be lost", err)
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if f.left {
		return
	}
	h.err = err
	f.w.succeed(h)
}

// await waits until there may be something to do.
func (f *flusher) await() {
	f.parked.Store(true)
	// A line that came before the flag has woken nobody. One that comes now does.
	if f.idle() || !f.parked.CompareAndSwap(true, false) {
		<-f.wake
	}
}

func (f *flusher) idle() bool {
	w := f.w
	w.mu.Lock()
	defer w.mu.Unlock()
	_, whole := w.ring.peek()
	return !whole && !f.left && (w.handover == nil || w.ring.next != w.handover.at)
}

// rouse wakes the goroutine if it waits; of many lines that come meanwhile the first one does. It does not block: wake has
// room for the token, as there is one each time the flag is set.
func (f *flusher) rouse() {
	if f.parked.Load() && f.parked.CompareAndSwap(true, false) {
		f.wake <- struct{}{}
	}
}
