package ipc

import (
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// FD owns one raw descriptor and closes it once. It never enters the Go poller: a process that only keeps a listener
// for others must not be woken by each of their connections, which is what os.NewFile would cause.
type FD struct {
	n atomic.Int64 // descriptor + 1; 0 once closed
}

// Own takes over an open descriptor.
func Own(fd int) *FD {
	f := &FD{}
	f.n.Store(int64(fd) + 1)
	return f
}

// Int is the descriptor, or -1 once it was closed.
func (f *FD) Int() int { return int(f.n.Load()) - 1 }

// Release gives the descriptor to the caller, who owns it from here on.
func (f *FD) Release() (int, error) {
	n := f.n.Swap(0)
	if n == 0 {
		return -1, os.ErrClosed
	}
	return int(n) - 1, nil
}

// Close closes the descriptor the first time it is called, and does nothing after that.
func (f *FD) Close() error {
	n := f.n.Swap(0)
	if n == 0 {
		return nil
	}
	if err := unix.Close(int(n) - 1); err != nil {
		return fmt.Errorf("close descriptor %d: %w", n-1, err)
	}
	return nil
}

// Duplicate returns a second, close-on-exec descriptor of the same open file.
func Duplicate(fd int) (*FD, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("duplicate descriptor %d: %w", fd, err)
	}
	return Own(n), nil
}
