//go:build !linux

package ipc

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ReceiveFlags are for recvmsg(2): never wait.
const ReceiveFlags = unix.MSG_DONTWAIT

func socketPair() ([2]int, error) {
	return [2]int{}, errors.New("it needs SOCK_SEQPACKET unix sockets, which only Linux has: a cluster runs on Linux, elsewhere a worker runs alone")
}
