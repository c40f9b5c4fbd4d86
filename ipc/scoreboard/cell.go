package scoreboard

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

const (
	methodBytes = 8
	pathBytes   = 88
)

// Cell is one thread: whether it runs a request, since when, and which.
type Cell struct {
	word  atomic.Uint64
	since atomic.Int64  // 0 unless a running thread has said what it does
	seq   atomic.Uint32 // odd while method and path are being written
	_     uint32
	// method and path are cut to their room and padded with zero bytes.
	method [methodBytes]byte
	path   [pathBytes]byte
	_      [8]byte
}

// Take makes a free thread a running one. It is false if the thread was not free.
func (c *Cell) Take() bool { return c.word.CompareAndSwap(wordFree, wordRunning) }

// Give makes a running thread a free one.
func (c *Cell) Give() {
	c.since.Store(0)
	c.word.Store(wordFree)
}

// Begin notes what the running thread does. Only the worker in the seat calls it.
func (c *Cell) Begin(now int64, method, path string) {
	c.seq.Add(1)
	n := copy(c.method[:], method)
	clear(c.method[n:])
	n = copy(c.path[:], path)
	if n < pathBytes {
		c.path[n] = 0
	}
	c.seq.Add(1)
	c.since.Store(now)
}

// reset empties the cell of a worker that has died, perhaps in the middle of Begin.
func (c *Cell) reset() {
	c.since.Store(0)
	if c.seq.Load()%2 == 0 {
		c.seq.Add(1)
	}
	clear(c.method[:])
	clear(c.path[:])
	c.seq.Add(1)
	c.word.Store(wordFree)
}

// Work is what a thread was seen to do.
type Work struct {
	Running      bool  // false for a moment longer than Busy counts: until Begin
	Since        int64 // CLOCK_MONOTONIC, nanoseconds
	Method, Path string
}

// Read looks at a thread from another process. Method and path are empty if they were being written.
func (c *Cell) Read() Work {
	taken := c.word.Load() == wordRunning // before since, which then is not older than this request
	w := Work{Since: c.since.Load()}
	w.Running = taken && w.Since != 0

	// Whole words, loaded atomically: arm64 may move a plain copy behind the second look at seq.
	before := c.seq.Load()
	var copied [methodBytes + pathBytes]byte
	words := (*[len(copied) / 8]atomic.Uint64)(unsafe.Pointer(&c.method))
	for i := range words {
		binary.NativeEndian.PutUint64(copied[8*i:], words[i].Load())
	}
	if before%2 == 0 && c.seq.Load() == before {
		w.Method, w.Path = text(copied[:methodBytes]), text(copied[methodBytes:])
	}
	return w
}

func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
