// Package metronome waits without a timer of the Go runtime.
package metronome

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Metronome wakes one goroutine. It is a timerfd in the poller (timerfd_create(2)) and no timer of the Go runtime, because one
// that is pending is dear: the scheduler then reads the clock whenever it looks for work, several times a request, and the
// runtime's monitor thread wakes for it too.
type Metronome struct{ file *os.File }

// New makes one.
func New() (*Metronome, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timer: %w", err)
	}
	return &Metronome{file: os.NewFile(uintptr(fd), "metronome")}, nil
}

// Wait returns after d, and false if the metronome was stopped.
func (t *Metronome) Wait(d time.Duration) bool {
	raw, err := t.file.SyscallConn()
	if err != nil {
		return false
	}
	var setErr error
	err = raw.Control(func(fd uintptr) {
		setErr = unix.TimerfdSettime(int(fd), 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil)
	})
	if err != nil || setErr != nil {
		return false
	}
	var expirations [8]byte
	_, err = t.file.Read(expirations[:])
	return err == nil
}

// Stop ends it, and a Wait under way.
func (t *Metronome) Stop() { t.file.Close() }
