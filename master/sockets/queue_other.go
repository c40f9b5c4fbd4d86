//go:build !linux

package sockets

import (
	"errors"

	"github.com/prefork/cluster/ipc"
)

// Queue needs the TCP_INFO of Linux.
func Queue(*ipc.FD) (waiting, limit int, err error) {
	return 0, 0, errors.New("accept queues can be read on Linux only")
}
