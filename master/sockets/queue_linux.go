package sockets

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
)

// Queue is how many connections wait in a listener, and how many may: of TCP tcpi_unacked and tcpi_sacked, of a unix
// socket what sock_diag(7) says.
func Queue(fd *ipc.FD) (waiting, limit int, err error) {
	domain, err := unix.GetsockoptInt(fd.Int(), unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return 0, 0, fmt.Errorf("accept queue: %w", err)
	}
	if domain == unix.AF_UNIX {
		return unixQueue(fd)
	}
	info, err := unix.GetsockoptTCPInfo(fd.Int(), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, 0, fmt.Errorf("accept queue: %w", err)
	}
	return int(info.Unacked), int(info.Sacked), nil
}
