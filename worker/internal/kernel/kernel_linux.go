// Package kernel is what the kernel tells a worker of its process and its sockets.
package kernel

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// CPU is the CPU time of this process in nanoseconds.
func CPU() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}

// DescriptorLimit is how many descriptors this process may have. The Go runtime has raised the soft limit to the hard one.
func DescriptorLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(min(limit.Cur, 1<<30))
}

// Delivered is how many bytes the client's system has acknowledged, and whether more lie in this one's send buffer. ok is
// false if it cannot be known: a unix socket.
func Delivered(nc net.Conn) (acked uint64, more, ok bool) {
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

// Peek looks at what has arrived on a socket without taking it and without waiting: EAGAIN if there is nothing, 0 if the
// other end has closed.
func Peek(fd int, p []byte) (int, error) {
	for {
		n, _, err := unix.Recvfrom(fd, p, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// HungUp says whether the other end of a connection has closed it, or its sending direction.
func HungUp(fd int) bool {
	events := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(events, 0)
	return err == nil && n == 1
}

// SendFile copies so many bytes of a file, from where it stands, to a socket, as many as go without waiting: EAGAIN if none do.
func SendFile(to, from int, bytes int64) (int64, error) {
	for {
		n, err := unix.Sendfile(to, from, nil, int(min(bytes, 1<<30)))
		if err != unix.EINTR {
			return int64(max(n, 0)), err
		}
	}
}
