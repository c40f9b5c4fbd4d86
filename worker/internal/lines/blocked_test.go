//go:build linux

package lines

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pipes are both kinds of pipe that a Writer can be given: one whose writes wait in the poller, as of a fifo that this
// process has opened, and one whose writes block their thread, as an inherited standard error does.
var pipes = []struct {
	name string
	flag int
}{{"polled", unix.O_NONBLOCK}, {"blocking", 0}}

func pipe(t *testing.T, flag int) (r, w *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|flag); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(fds[0]), "reader"), os.NewFile(uintptr(fds[1]), "writer")
	t.Cleanup(func() { r.Close() }) // also ends a write that hangs
	return r, w
}

// stuckPipe is one that is full of zeros, so that the first line does not get in.
func stuckPipe(t *testing.T, flag int) (r, w *os.File) {
	t.Helper()
	r, w = pipe(t, flag)
	raw, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fillErr error
	err = raw.Control(func(fd uintptr) {
		if fillErr = unix.SetNonblock(int(fd), true); fillErr != nil {
			return
		}
		for zeros := make([]byte, pipeBatch); fillErr == nil; {
			_, fillErr = unix.Write(int(fd), zeros)
		}
		if fillErr == unix.EAGAIN {
			fillErr = unix.SetNonblock(int(fd), flag == unix.O_NONBLOCK)
		}
	})
	if err := errors.Join(err, fillErr); err != nil {
		t.Fatal(err)
	}
	return r, w
}

// fill hands over lines from many goroutines until the ring is full, and says how many. It returns only if no producer is
// held up.
func fill(t *testing.T, w *Writer, dropped *atomic.Int64, line string) (handed int64) {
	t.Helper()
	var count atomic.Int64
	var wg sync.WaitGroup
	full := dropped.Load() + 100
	for range 8 {
		wg.Go(func() {
			for dropped.Load() < full {
				_, _ = w.Write([]byte(line))
				count.Add(1)
			}
		})
	}
	filled := make(chan struct{})
	go func() { wg.Wait(); close(filled) }()
	select {
	case <-filled:
	case <-patience(t).Done():
		t.Fatal("producers are held up by a destination that nobody reads")
	}
	return count.Load()
}

func TestBlockedPipe(t *testing.T) {
	for _, test := range pipes {
		t.Run(test.name, func(t *testing.T) {
			r, out := stuckPipe(t, test.flag)
			var dropped atomic.Int64
			w := start(t, out, Options{Buffer: 64 << 10, Dropped: &dropped})
			handed := fill(t, w, &dropped, "nobody reads this\n")
			if err := w.Flush(over()); !errors.Is(err, context.Canceled) {
				t.Errorf("Flush of a blocked pipe: %v", err)
			}
			lost := dropped.Load()

			// The reader goes on: everything that had room arrives.
			read := make(chan []byte)
			go func() { text, _ := io.ReadAll(r); read <- text }()
			closeAll(t, w)
			text := <-read
			if got := int64(bytes.Count(text, []byte("nobody reads this\n"))); got != handed-lost || got != w.Written() || dropped.Load() != lost {
				t.Errorf("%d lines arrived of %d, %d written, %d dropped, then %d", got, handed, w.Written(), lost, dropped.Load())
			}
		})
	}
}

func TestCloseGivesUpBlockedPipe(t *testing.T) {
	for _, test := range pipes {
		t.Run(test.name, func(t *testing.T) {
			_, out := stuckPipe(t, test.flag)
			var dropped atomic.Int64
			w := start(t, out, Options{Buffer: 64 << 10, Dropped: &dropped})
			handed := fill(t, w, &dropped, "nobody reads this\n")
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			err := w.Close(ctx)
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "writer has not taken its last ") {
				t.Errorf("Close: %v", err)
			}
			if w.Written()+dropped.Load() != handed {
				t.Errorf("%d written + %d dropped, want %d", w.Written(), dropped.Load(), handed)
			}
			if _, err := out.Stat(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("the pipe is not closed, and who writes to it may hang for ever: %v", err)
			}
			flush(t, w)
		})
	}
}

// A destination that hangs is given up, and the new one takes what comes.
func TestSwapGivesUpBlockedPipe(t *testing.T) {
	for _, test := range pipes {
		t.Run(test.name, func(t *testing.T) {
			stuck, out := stuckPipe(t, test.flag)
			var dropped atomic.Int64
			w := start(t, out, Options{Buffer: 64 << 10, Dropped: &dropped})
			handed := fill(t, w, &dropped, "nobody reads this\n")
			r, next := pipe(t, 0)
			if err := w.Swap(over(), next); !errors.Is(err, context.Canceled) {
				t.Errorf("Swap: %v", err)
			}
			if w.Written()+dropped.Load() != handed {
				t.Errorf("%d written + %d dropped, want %d", w.Written(), dropped.Load(), handed)
			}
			written, lost := w.Written(), dropped.Load()
			_, _ = w.Write([]byte("first\n"))
			flush(t, w)
			stuck.Close() // what hung fails now, and must not count again, nor tear the next lines
			for range 100 {
				_, _ = w.Write([]byte("later\n"))
			}
			closeAll(t, w)
			if got, err := io.ReadAll(r); err != nil || string(got) != "first\n"+strings.Repeat("later\n", 100) {
				t.Errorf("the new pipe got %q, %v", got, err)
			}
			if w.Written() != written+101 || dropped.Load() != lost {
				t.Errorf("%d written, %d dropped, want %d and %d", w.Written(), dropped.Load(), written+101, lost)
			}
		})
	}
}

// With a context that has already ended a Writer is left in all the ways there are: at work, waiting, about to wait.
func TestSwapAtOnce(t *testing.T) {
	var dropped atomic.Int64
	null := func() *os.File { return openLog(t, os.DevNull) }
	w := start(t, null(), Options{Dropped: &dropped})
	const rounds = 2000
	for i := range rounds {
		_, _ = w.Write([]byte("line\n"))
		_ = w.Swap(over(), null())
		if i%3 == 0 {
			_, _ = w.Write([]byte("line\n"))
			flush(t, w) // hangs if the one who waits is not woken
		}
	}
	closeAll(t, w)
	if want := int64(rounds + (rounds+2)/3); w.Written()+dropped.Load() != want {
		t.Errorf("%d written + %d dropped, want %d", w.Written(), dropped.Load(), want)
	}
}

// late is a context that ends when the Writer has already left its destination by itself.
type late struct {
	context.Context
	w *Writer
}

func (c late) Done() <-chan struct{} {
	for c.w.pending() != nil {
		runtime.Gosched()
	}
	return c.Context.Done()
}

func TestSwapTooLateToGiveUp(t *testing.T) {
	var dropped atomic.Int64
	null := func() *os.File { return openLog(t, os.DevNull) }
	w := start(t, null(), Options{Dropped: &dropped})
	const rounds = 50 // select takes either way
	for range rounds {
		_, _ = w.Write([]byte("line\n"))
		if err := w.Swap(late{over(), w}, null()); err != nil {
			t.Errorf("Swap: %v", err)
		}
		_, _ = w.Write([]byte("line\n"))
	}
	closeAll(t, w)
	if w.Written() != 2*rounds || dropped.Load() != 0 {
		t.Errorf("%d written, %d dropped, want %d and 0", w.Written(), dropped.Load(), 2*rounds)
	}
}

func (w *Writer) pending() *handover {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.handover
}
