package worker

import (
	"net"
	"syscall"

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
