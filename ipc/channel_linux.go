package ipc

import "golang.org/x/sys/unix"

// ReceiveFlags are for recvmsg(2): never wait, and a descriptor that comes with a message must not be inherited by a child that is started in the same moment.
const ReceiveFlags = unix.MSG_CMSG_CLOEXEC | unix.MSG_DONTWAIT

func socketPair() ([2]int, error) {
	return unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
}
