package sockets

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
)

// Options are what the listeners have in common.
type Options struct {
	Dir     string // where the lock files are
	Holder  string // written into them, for whoever finds an address taken
	Backlog int    // connections that may wait in a listener; 0: net.core.somaxconn, and of a given socket what its giver has set
	Shared  bool   // one listener for all slots, also of the binds that could have one for each
}

// Set is the listeners of all binds and slots.
type Set struct {
	binds     []configs.Bind // as they are served: with the ports that were chosen and the addresses of given sockets
	options   Options
	shared    []*ipc.FD // by bind: the listener of all slots; nil where each slot has its own
	locks     []*Lock
	files     []socketFile
	listeners atomic.Pointer[[][]*ipc.FD] // by slot, then by bind; replaced when it grows, because a scrape reads it
}

// ErrTaken is an address that somebody else listens on.
var ErrTaken = errors.New("address already in use")

// Open locks and probes each address and makes the listeners of the first slot. What was given at start (Given) and is in
// no bind is an error: its clients would wait for ever.
func Open(binds []configs.Bind, o Options) (*Set, error) {
	s := &Set{binds: slices.Clone(binds), options: o, shared: make([]*ipc.FD, len(binds))}
	s.listeners.Store(&[][]*ipc.FD{})
	if err := s.open(binds); err != nil {
		s.Close()
		s.Unlock()
		return nil, err
	}
	return s, nil
}

func (s *Set) open(binds []configs.Bind) error {
	for _, b := range binds {
		if err := s.claim(b); err != nil {
			return err
		}
	}
	for i, b := range binds {
		if b.Scheme == "unix" || b.Scheme == "fd" || s.options.Shared {
			if err := s.openShared(i); err != nil {
				return err
			}
		}
	}
	if err := s.OpenSlot(0); err != nil {
		return err
	}
	for i, b := range binds {
		if anyPort(b) {
			if err := s.lock(s.binds[i]); err != nil {
				return err
			}
		}
	}
	return takeGiven(binds)
}

// claim sees to it that nobody else has an address.
func (s *Set) claim(b configs.Bind) error {
	if b.Scheme == "fd" || anyPort(b) { // the giver's business; locked once the kernel has chosen
		return nil
	}
	if err := s.lock(b); err != nil {
		return err
	}
	if b.Scheme == "unix" {
		return probeUnix(b)
	}
	return probe(b)
}

func (s *Set) lock(b configs.Bind) error {
	lock, err := takeLock(s.options.Dir, b, s.options.Holder)
	if err == nil {
		s.locks = append(s.locks, lock)
	}
	return err
}

// openShared makes the one listener of a bind.
func (s *Set) openShared(i int) error {
	b := s.binds[i]
	var err error
	switch b.Scheme {
	case "unix":
		var file socketFile
		s.shared[i], file, err = listenUnix(b, s.options.Backlog)
		if err == nil && file.path != "" {
			s.files = append(s.files, file)
		}
	case "fd":
		s.shared[i], s.binds[i].Scheme, s.binds[i].Address, err = openGiven(b, s.options.Backlog)
	default:
		s.shared[i], s.binds[i].Address, err = listen(b, false, s.options.Backlog)
	}
	return err
}

// Binds are the binds with their real ports, and given sockets by their real addresses, as tcp or unix binds.
func (s *Set) Binds() []configs.Bind { return slices.Clone(s.binds) }

// Shared reports whether a bind has one listener for all slots.
func (s *Set) Shared(bind int) bool { return s.shared[bind] != nil }

// Note is what a person should know about listeners that were opened; empty if there is nothing.
func (s *Set) Note() string {
	text, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		return ""
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || s.options.Backlog <= most {
		return ""
	}
	return fmt.Sprintf("--backlog %d is more than net.core.somaxconn, and the kernel lets only %d connections wait: raise it with `sysctl net.core.somaxconn=%d`", s.options.Backlog, most, s.options.Backlog)
}

// OpenSlot makes the listeners of a slot unless they exist. Slots are opened in order.
func (s *Set) OpenSlot(slot int) error {
	for len(*s.listeners.Load()) <= slot {
		row := slices.Clone(s.shared)
		for i, b := range s.binds {
			if s.Shared(i) {
				continue
			}
			fd, address, err := listen(b, true, s.options.Backlog)
			if err != nil {
				s.closeOwn(row)
				return err
			}
			if s.binds[i].Address != address {
				s.binds[i].Address = address // port 0: the first listener chooses, the others follow
			}
			row[i] = fd
		}
		grown := append(slices.Clone(*s.listeners.Load()), row)
		s.listeners.Store(&grown)
	}
	return nil
}

// Slot is the listeners of a slot, by bind; nil if the slot was not opened. A shared one is the same in every slot.
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
		s.closeOwn(row)
	}
	for _, fd := range s.shared {
		if fd != nil {
			fd.Close()
		}
	}
}

// closeOwn closes the listeners that are of one slot only.
func (s *Set) closeOwn(row []*ipc.FD) {
	for i, fd := range row {
		if fd != nil && !s.Shared(i) {
			fd.Close()
		}
	}
}

// Unlock removes the files of unix sockets and gives the addresses free for another cluster, when no worker is left.
func (s *Set) Unlock() {
	for _, file := range s.files {
		file.remove()
	}
	s.files = nil
	for _, lock := range s.locks {
		lock.Release()
	}
	s.locks = nil
}

// anyPort reports whether the kernel chooses the port of a bind.
func anyPort(b configs.Bind) bool {
	if b.Scheme != "tcp" && b.Scheme != "tls" {
		return false
	}
	_, port, _ := net.SplitHostPort(b.Address)
	return port == "0"
}

// deepen sets how many connections may wait in a listener: listen(2) a second time changes nothing else.
func deepen(fd *ipc.FD, backlog int) error {
	if backlog == 0 {
		return nil
	}
	return unix.Listen(fd.Int(), backlog)
}
