package demo

import (
	"time"

	"golang.org/x/sys/unix"
)

// NativeSleep waits on the clock of the operating system, in a system call that blocks its OS thread, as a C extension or
// a blocking driver would.
func NativeSleep(d time.Duration) {
	end := time.Now().Add(d)
	for left := d; left > 0; left = time.Until(end) {
		ts := unix.NsecToTimespec(int64(left))
		_ = unix.Nanosleep(&ts, nil) // interrupted by a signal: the rest
	}
}
