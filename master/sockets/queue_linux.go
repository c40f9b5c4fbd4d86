package sockets

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
)

// Queue is how many connections wait in a listener, and how many may (tcpi_unacked and tcpi_sacked of a listening socket).
func Queue(fd *ipc.FD) (waiting, limit int, err error) {
	info, err := unix.GetsockoptTCPInfo(fd.Int(), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, 0, fmt.Errorf("accept queue: %w", err)
	}
	return int(info.Unacked), int(info.Sacked), nil
}
