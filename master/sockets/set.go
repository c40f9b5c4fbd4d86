package sockets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/libp2p/go-reuseport"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
)

// Set is the listeners of all binds and slots.
type Set struct {
	binds     []configs.Bind // with the ports that were chosen
	locks     []*Lock
	listeners atomic.Pointer[[][]*ipc.FD] // by slot, then by bind; replaced when it grows, because a scrape reads it
}

// ErrTaken is an address that somebody else listens on.
var ErrTaken = errors.New("address already in use")

// Open locks and probes each address and makes the listeners of the first slot. dir is where the lock files are,
// holder is written into them for whoever finds the address taken.
func Open(binds []configs.Bind, dir, holder string) (*Set, error) {
	s := &Set{binds: append([]configs.Bind(nil), binds...)}
	s.listeners.Store(&[][]*ipc.FD{})
	for _, b := range s.binds {
		if portOf(b) == "0" {
			continue // locked below, once the kernel has chosen
		}
		if err := s.claim(b, dir, holder); err != nil {
			s.abandon()
			return nil, err
		}
	}
	if err := s.OpenSlot(0); err != nil {
		s.abandon()
		return nil, err
	}
	for i, b := range binds {
		if portOf(b) != "0" {
			continue
		}
		lock, err := takeLock(dir, s.binds[i], holder)
		if err != nil {
			s.abandon()
			return nil, err
		}
		s.locks = append(s.locks, lock)
	}
	return s, nil
}

func (s *Set) claim(b configs.Bind, dir, holder string) error {
	lock, err := takeLock(dir, b, holder)
	if err != nil {
		return err
	}
	s.locks = append(s.locks, lock)
	return probe(b)
}

// Binds are the binds with their real ports.
func (s *Set) Binds() []configs.Bind { return slices.Clone(s.binds) }

// OpenSlot makes the listeners of a slot unless they exist. Slots are opened in order.
func (s *Set) OpenSlot(slot int) error {
	for len(*s.listeners.Load()) <= slot {
		row := make([]*ipc.FD, 0, len(s.binds))
		for i, b := range s.binds {
			fd, address, err := listen(b)
			if err != nil {
				closeAll(row)
				return err
			}
			if s.binds[i].Address != address {
				s.binds[i].Address = address // port 0: the first listener chooses, the others follow
			}
			row = append(row, fd)
		}
		grown := append(slices.Clone(*s.listeners.Load()), row)
		s.listeners.Store(&grown)
	}
	return nil
}

// Slot is the listeners of a slot, by bind; nil if the set is closed.
func (s *Set) Slot(slot int) []*ipc.FD {
	rows := *s.listeners.Load()
	if slot >= len(rows) {
		return nil
	}
	return rows[slot]
}

// Close closes all listeners. Those that workers hold go on until the workers close them too.
func (s *Set) Close() {
	for _, row := range *s.listeners.Load() {
		closeAll(row)
	}
}

// abandon lets go of everything, so that Open can be tried again.
func (s *Set) abandon() {
	s.Close()
	s.Unlock()
}

// Unlock gives the addresses free for another cluster, when no worker is left.
func (s *Set) Unlock() {
	for _, lock := range s.locks {
		lock.Release()
	}
	s.locks = nil
}

func closeAll(fds []*ipc.FD) {
	for _, fd := range fds {
		fd.Close()
	}
}

func portOf(b configs.Bind) string {
	_, port, _ := net.SplitHostPort(b.Address)
	return port
}

// listen makes one SO_REUSEPORT listener and returns it as a raw descriptor, with its address.
func listen(b configs.Bind) (*ipc.FD, string, error) {
	lc := net.ListenConfig{Control: reuseport.Control}
	lc.SetMultipathTCP(false) // Go's default is an MPTCP socket, which costs more and has no SO_REUSEPORT groups
	l, err := lc.Listen(context.Background(), "tcp", b.Address)
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
	return fd, l.Addr().String(), nil
}

func bindError(b configs.Bind, err error) error {
	var hint string
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return Taken(b)
	case errors.Is(err, syscall.EACCES):
		hint = ": ports below net.ipv4.ip_unprivileged_port_start (usually 1024) need root or CAP_NET_BIND_SERVICE"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = ": no interface of this machine has the address"
	case errors.Is(err, syscall.EMFILE):
		hint = ": too few file descriptors are allowed (ulimit -n)"
	}
	return fmt.Errorf("cannot bind %v: %w%s", b, err, hint)
}
