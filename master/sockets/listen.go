package sockets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/libp2p/go-reuseport"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
)

// listen makes one TCP listener, one of many on its address if reuse, and returns it as a raw descriptor, with its address.
func listen(b configs.Bind, reuse bool, backlog int) (*ipc.FD, string, error) {
	var lc net.ListenConfig
	if reuse {
		lc.Control = reuseport.Control
	}
	lc.SetMultipathTCP(false) // Go's default is an MPTCP socket, which costs more and has no SO_REUSEPORT groups
	network := "tcp"
	if host, _, _ := net.SplitHostPort(b.Address); host == "0.0.0.0" {
		network = "tcp4" // for "tcp" it would mean both families
	}
	l, err := lc.Listen(context.Background(), network, b.Address)
	if err != nil {
		return nil, "", bindError(b, err)
	}
	defer l.Close()
	// TCPListener.File would do, but its os.File makes the shared description blocking as soon as somebody asks for Fd.
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return nil, "", bindError(b, err)
	}
	var fd *ipc.FD
	var dupErr error
	if err := raw.Control(func(n uintptr) { fd, dupErr = ipc.Duplicate(int(n)) }); err != nil || dupErr != nil {
		return nil, "", bindError(b, errors.Join(err, dupErr))
	}
	if err := deepen(fd, backlog); err != nil {
		fd.Close()
		return nil, "", bindError(b, err)
	}
	return fd, l.Addr().String(), nil
}

func bindError(b configs.Bind, err error) error {
	var hint string
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return Taken(b)
	case errors.Is(err, syscall.EACCES) && b.Scheme == "unix":
		hint = ": the user of the master may not write in its folder"
	case errors.Is(err, syscall.EACCES):
		hint = ": ports below net.ipv4.ip_unprivileged_port_start (usually 1024) need root or CAP_NET_BIND_SERVICE"
	case errors.Is(err, syscall.ENOENT):
		hint = ": its folder does not exist"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = ": no interface of this machine has the address"
	case errors.Is(err, syscall.EMFILE):
		hint = ": too few file descriptors are allowed (ulimit -n)"
	}
	return fmt.Errorf("cannot bind %s: %w%s", b.Plain(), err, hint)
}
