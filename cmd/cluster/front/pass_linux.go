package front

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
	"github.com/prefork/cluster/ipc/scoreboard"
)

// passer accepts connections and sends each to the inbox of a worker. It reads and writes nothing on them.
type passer struct {
	workers *workers
	binds   []*ipc.FD
	log     *slog.Logger
	files   []*os.File
	loops   sync.WaitGroup
	over    context.Context // from here on nothing more is taken, and nothing kept
	end     context.CancelFunc
}

func newPasser(h *ipc.Handover, board *scoreboard.Board, log *slog.Logger) server {
	p := &passer{workers: &workers{board: board, clock: scoreboard.NewClock()}, binds: h.Binds, log: log}
	p.over, p.end = context.WithCancel(context.Background())
	return p
}

func (p *passer) meet(seat int, inbox *ipc.FD) { p.workers.meet(seat, inbox) }

func (p *passer) serve() error {
	for bind, fd := range p.binds {
		if err := prepare(fd.Int()); err != nil {
			return err
		}
		own, err := fd.Release()
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(own), "listener") // it does not block: the master has made it so
		raw, err := f.SyscallConn()
		if err != nil {
			return err
		}
		p.files = append(p.files, f)
		p.loops.Go(func() { p.accept(bind, raw) })
	}
	return nil
}

// prepare sets what each connection inherits of a TCP listener, as Go's net package sets it on each that it accepts.
func prepare(fd int) error {
	const keepAlive = 15 // seconds, of silence and between probes
	if domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil || domain == unix.AF_UNIX {
		return os.NewSyscallError("getsockopt", err)
	}
	for _, o := range [][3]int{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAlive},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAlive},
	} {
		if err := unix.SetsockoptInt(fd, o[0], o[1], o[2]); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// accept takes connections until the listener is drained: it waits no more, but what is in the queue is taken. While no worker is
// ready it takes none.
func (p *passer) accept(bind int, l syscall.RawConn) {
	const scarce = 20 * time.Millisecond // when no descriptor is free: there will be, when connections have been sent
	var connection int
	var from unix.Sockaddr
	var failed error
	take := func(fd uintptr) bool {
		connection, from, failed = unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		return !errors.Is(failed, unix.EAGAIN)
	}
	for until(p.over, p.workers.any) {
		if err := l.Read(take); err != nil { // the deadline of drain
			if err := l.Control(func(fd uintptr) { take(fd) }); err != nil {
				return
			}
		}
		switch {
		case failed == nil:
			p.pass(bind, connection, from)
		case errors.Is(failed, unix.EAGAIN):
			return
		case errors.Is(failed, unix.EMFILE) || errors.Is(failed, unix.ENFILE):
			p.log.Warn("no connection can be accepted for want of descriptors", "err", failed)
			time.Sleep(scarce)
		case errors.Is(failed, unix.EINVAL) || errors.Is(failed, unix.EBADF):
			p.log.Error("a listener is broken", "bind", bind, "err", failed)
			return
		} // else the client has left
	}
}

// pass sends one connection, if need be when a worker is ready again.
func (p *passer) pass(bind, connection int, from unix.Sockaddr) {
	defer unix.Close(connection)
	packet := inbox.Packet{Kind: inbox.Connection, Sender: ipc.FrontSeat, Bind: bind, IdleSince: p.workers.clock.Now(), Remote: address(from)}
	if to, err := unix.Getsockname(connection); err == nil {
		packet.Local = address(to)
	}
	if !until(p.over, func() bool { return p.workers.send(&packet, connection) }) {
		p.log.Warn("a connection is closed because no worker was ready until the end", "bind", bind)
	}
}

// address is the zero value for one that is not of TCP.
func address(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(a.Addr).Unmap()
		if a.ZoneId != 0 && ip.Is6() {
			ip = ip.WithZone(strconv.Itoa(int(a.ZoneId)))
		}
		return netip.AddrPortFrom(ip, uint16(a.Port))
	}
	return netip.AddrPort{}
}

func (p *passer) drain(over context.Context) {
	defer context.AfterFunc(over, p.end)()
	for _, f := range p.files {
		_ = f.SetReadDeadline(time.Unix(1, 0))
	}
	p.loops.Wait()
}
