package sockets

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
)

// firstGiven is the first descriptor that is handed over (sd_listen_fds(3)).
const firstGiven = 3

// gift is a socket that systemd, or another program that speaks its protocol, has handed over at start.
type gift struct {
	number int
	name   string
	fd     *ipc.FD
}

// gifts are read once: they belong to the process. Package activation of go-systemd would do it too, but makes an os.File
// of each, which puts one that does not block into the poller of this process.
var gifts = sync.OnceValues(func() ([]gift, error) { return receive(os.Getenv, os.Getpid()) })

// receive reads the variables of sd_listen_fds(3) and marks the descriptors close-on-exec.
func receive(getenv func(string) string, pid int) ([]gift, error) {
	if getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil // meant for another process, or none at all
	}
	count, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || count < 0 {
		return nil, fmt.Errorf("sockets handed over at start: LISTEN_FDS=%q is no number of descriptors", getenv("LISTEN_FDS"))
	}
	names := make([]string, count)
	if text := getenv("LISTEN_FDNAMES"); text != "" {
		if names = strings.Split(text, ":"); len(names) != count {
			return nil, fmt.Errorf("sockets handed over at start: LISTEN_FDNAMES=%q has %d names for %d descriptors", text, len(names), count)
		}
	}
	var received []gift
	for i, name := range names {
		number := firstGiven + i
		if _, err := unix.FcntlInt(uintptr(number), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, fmt.Errorf("sockets handed over at start: descriptor %d is not open: %w", number, err)
		}
		received = append(received, gift{number: number, name: name, fd: ipc.Own(number)})
	}
	return received, nil
}

// bind is how a gift is bound: by its name if no other has it, else by its number.
func (g gift) bind(all []gift) configs.Bind {
	first := slices.IndexFunc(all, func(other gift) bool { return other.name == g.name })
	last := len(all) - 1
	for last > first && all[last].name != g.name {
		last--
	}
	text := "fd://" + g.name
	if b, err := configs.ParseBind(text); err == nil && first == last && text == b.String() {
		if _, err := strconv.Atoi(g.name); err != nil {
			return b
		}
	}
	return configs.Bind{Scheme: "fd", Address: strconv.Itoa(g.number)}
}

// Given is a bind for each socket that was handed over at start by the protocol of sd_listen_fds(3), for the cluster that
// was told no other; none if none was.
func Given() ([]configs.Bind, error) {
	all, err := gifts()
	var binds []configs.Bind
	for _, g := range all {
		binds = append(binds, g.bind(all))
	}
	return binds, err
}

// named is the gift that a bind means.
func named(b configs.Bind, all []gift) (gift, error) {
	for _, g := range all {
		if b.Address == strconv.Itoa(g.number) {
			return g, nil
		}
	}
	if _, err := strconv.Atoi(b.Address); err != nil {
		for _, g := range all {
			if b.Address == g.name {
				return g, nil
			}
		}
	}
	if len(all) == 0 {
		return gift{}, fmt.Errorf("cannot bind %s: no socket was handed over at start (LISTEN_PID and LISTEN_FDS say so, sd_listen_fds(3)): start the cluster from a systemd .socket unit or by systemd-socket-activate", b.Plain())
	}
	have := make([]string, 0, len(all))
	for _, g := range all {
		have = append(have, g.bind(all).Plain())
	}
	return gift{}, fmt.Errorf("cannot bind %s: no such socket was handed over at start, only %s", b.Plain(), strings.Join(have, ", "))
}

// openGiven duplicates a given listener, so that Open can be tried again, and finds out what it is.
func openGiven(b configs.Bind, backlog int) (fd *ipc.FD, scheme, address string, err error) {
	all, err := gifts()
	if err != nil {
		return nil, b.Scheme, b.Address, err
	}
	g, err := named(b, all)
	if err != nil {
		return nil, b.Scheme, b.Address, err
	}
	scheme, address, err = listensOn(g.fd.Int())
	if err == nil {
		err = unix.SetNonblock(g.fd.Int(), true)
	}
	if err == nil {
		err = deepen(g.fd, backlog)
	}
	if err == nil {
		fd, err = ipc.Duplicate(g.fd.Int())
	}
	if err != nil {
		return nil, b.Scheme, b.Address, fmt.Errorf("cannot bind %s: descriptor %d: %w", b.Plain(), g.number, err)
	}
	return fd, scheme, address, nil
}

// listensOn is the address of a listener of this process.
func listensOn(fd int) (scheme, address string, err error) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if errors.Is(err, unix.ENOTSOCK) {
		return "", "", errors.New("it is no socket: only ListenStream= can be served")
	}
	if err != nil {
		return "", "", err
	}
	if kind != unix.SOCK_STREAM {
		return "", "", errors.New("it is no stream socket: only ListenStream= can be served")
	}
	accepts, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return "", "", err
	}
	if accepts == 0 {
		return "", "", errors.New("it does not listen: it is a connection, as a .socket unit with Accept=yes hands over, and the cluster accepts by itself (Accept=no)")
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return "", "", err
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return "tcp", netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port)).String(), nil
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(name.Addr)
		if link, err := net.InterfaceByIndex(int(name.ZoneId)); err == nil {
			ip = ip.WithZone(link.Name)
		}
		return "tcp", netip.AddrPortFrom(ip, uint16(name.Port)).String(), nil
	case *unix.SockaddrUnix:
		return "unix", name.Name, nil
	}
	return "", "", errors.New("it is neither a TCP nor a unix socket")
}

// takeGiven sees to it that every gift is in a bind, and lets go of the originals: the set has duplicates.
func takeGiven(binds []configs.Bind) error {
	all, err := gifts()
	if err != nil {
		return err
	}
	meant := map[int]bool{}
	for _, b := range binds {
		if b.Scheme != "fd" {
			continue
		}
		g, err := named(b, all)
		if err != nil {
			return err
		}
		if meant[g.number] {
			return fmt.Errorf("cannot bind %s: another bind has the same socket, descriptor %d", b.Plain(), g.number)
		}
		meant[g.number] = true
	}
	for _, g := range all {
		if b := g.bind(all); !meant[g.number] {
			return fmt.Errorf("a socket was handed over at start that no --bind serves, and its clients would wait for ever: descriptor %d, named %q; give --bind %s too, or none at all, or take it out of the unit", g.number, g.name, b.Plain())
		}
	}
	for _, g := range all {
		g.fd.Close()
	}
	return nil
}
