package worker

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// processCPU is the CPU time of this process in nanoseconds.
func processCPU() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}

// descriptorLimit is how many descriptors this process may have. The Go runtime has raised the soft limit to the hard one.
func descriptorLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(min(limit.Cur, 1<<30))
}

// delivered is how many bytes the client's system has acknowledged, and whether more lie in this one's send buffer. ok is
// false if it cannot be known: a unix socket.
func delivered(nc net.Conn) (acked uint64, more, ok bool) {
	sc, isSocket := nc.(syscall.Conn)
	if !isSocket {
		return 0, false, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, false, false
	}
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			acked, more, ok = info.Bytes_acked, info.Unacked > 0 || info.Notsent_bytes > 0, true
		}
	})
	return acked, more, ok
}

// metronome wakes the pulse. It is a timerfd in the poller (timerfd_create(2)) and no timer of the Go runtime, because one
// that is pending is dear: the scheduler then reads the clock whenever it looks for work, several times a request, and the
// runtime's monitor thread wakes for it too.
type metronome struct{ file *os.File }

func newMetronome() (*metronome, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timer: %w", err)
	}
	return &metronome{file: os.NewFile(uintptr(fd), "metronome")}, nil
}

// wait returns after d, and false if the metronome was stopped.
func (t *metronome) wait(d time.Duration) bool {
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

func (t *metronome) stop() { t.file.Close() }
