package load

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// conn is a place for one connection at a time with one request at a time. Its epoll is level-triggered, armed for reading
// once in a connection's life: a request costs one write and one read, and its share of an epoll_wait.
type conn struct {
	fd     int   // -1: none
	number int32 // in the loop
	turn   int32 // counts connections in this place: an event of an earlier one is passed over
	state  state
	up     bool          // the server's kernel has taken the connection
	asked  int           // requests on it
	armed  uint32        // events
	since  time.Duration // free; resting: until

	request
	first, second []byte // still to be written
	own           []byte // space for first
	wrote         bool   // some of it
	broken        error  // of writing, after that
	got           int64  // bytes of the answer
	answer        response
}

type state uint8

const (
	idle       state = iota // free, with or without a connection
	asking                  // connecting, writing or reading
	backlogged              // connecting: the unix socket's backlog was full
	resting                 // after it was refused, in a closed loop
)

const (
	reading = unix.EPOLLIN | unix.EPOLLRDHUP
	writing = reading | unix.EPOLLOUT
	broke   = unix.EPOLLERR | unix.EPOLLHUP
)

// peer is where connections go.
type peer struct {
	domain  int
	address unix.Sockaddr
}

// resolve also says what stands in the Host of requests.
func resolve(addr string) (p peer, host string, err error) {
	if filepath.IsAbs(addr) {
		return peer{unix.AF_UNIX, &unix.SockaddrUnix{Name: addr}}, "localhost", nil
	}
	to, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return peer{}, "", fmt.Errorf("cannot put load on %s: %w", addr, err)
	}
	ip := to.AddrPort().Addr().Unmap()
	if ip.Is4() {
		return peer{unix.AF_INET, &unix.SockaddrInet4{Port: to.Port, Addr: ip.As4()}}, addr, nil
	}
	address := &unix.SockaddrInet6{Port: to.Port, Addr: ip.As16()}
	if zone, err := net.InterfaceByName(to.Zone); err == nil {
		address.ZoneId = uint32(zone.Index)
	}
	return peer{unix.AF_INET6, address}, addr, nil
}

// send sends r on c, on a new connection if there is none, or none that can still be used.
func (l *loop) send(c *conn, r request) {
	c.request, c.state, c.wrote, c.broken, c.got = r, asking, false, nil, 0
	c.first, c.second = l.text.compose(c.own, r.service)
	if l.text.before != nil {
		c.own = c.first
	}
	c.answer.reset()
	// In an open loop a connection may have been idle for long, and its end may have come since the last epoll_wait. A
	// closed loop sends within microseconds of an answer, and saves the system call.
	if l.schedule != nil && c.fd >= 0 && l.look(c) {
		l.shut(c)
	}
	if c.fd < 0 {
		l.dial(c)
		return
	}
	c.asked++
	l.write(c)
}

// look notices, without waiting, that the server has closed an idle connection, or has sent what nobody asked for.
func (l *loop) look(c *conn) (over bool) {
	n, _, err := unix.Recvfrom(c.fd, l.input[:1], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return false
	}
	l.noteIdle(n > 0 && err == nil)
	return true
}

// noteIdle counts the end of an idle connection.
func (l *loop) noteIdle(spoke bool) {
	if l.phase == warming || l.ended > 0 {
		return
	}
	if spoke {
		l.tally.outcomes[garbled]++
		l.tally.fail(l.clock-l.began, garbled, "bytes that nobody asked for came on an idle connection")
	} else {
		l.tally.outcomes[closedIdle]++
	}
}

// dial opens a connection for the request of c.
func (l *loop) dial(c *conn) {
	fd, err := unix.Socket(l.peer.domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		l.fail(c, refused, fmt.Sprintf("no connection: cannot make a socket: %v", err))
		return
	}
	c.fd, c.asked, c.up, c.armed = fd, 1, false, 0
	c.turn++
	if l.peer.domain != unix.AF_UNIX {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // without it the load is only slower
		if l.plan.Fresh {
			// Closing with a reset after the whole answer leaves no TIME_WAIT behind. With one for each request this machine
			// would be out of ports after some 28,000 of them.
			_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 0})
		}
	}
	l.connect(c)
}

func (l *loop) connect(c *conn) {
	switch err := unix.Connect(c.fd, l.peer.address); {
	case err == nil:
		l.connected(c)
	case errors.Is(err, unix.EINPROGRESS), errors.Is(err, unix.EINTR), errors.Is(err, unix.EALREADY):
	case errors.Is(err, unix.EAGAIN): // only of unix sockets, and nothing tells when there is room
		c.state = backlogged
		l.sweep = min(l.sweep, l.clock+retryBacklog)
		return
	default:
		l.writeFailed(c, err)
		return
	}
	c.state = asking
	l.write(c) // a connection on this machine is often there already
}

func (l *loop) connected(c *conn) {
	if !c.up {
		c.up = true
		l.opened++
	}
}

// write goes on writing, and says whether the request is still under way on this connection.
func (l *loop) write(c *conn) (goesOn bool) {
	for len(c.first) > 0 {
		n, err := unix.Write(c.fd, c.first)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return l.arm(c, writing)
		case err != nil:
			return l.writeFailed(c, err)
		}
		l.connected(c)
		c.wrote = true
		if c.first = c.first[n:]; len(c.first) > 0 { // an upload: others have their turn, and perhaps there is an answer already
			return l.arm(c, writing)
		}
		c.first, c.second = c.second, nil
	}
	return l.arm(c, reading)
}

// writeFailed finds out what it means that nothing more can be written: no connection, one that was closed while it was
// idle, or the loss of a request, which an answer may nevertheless precede.
func (l *loop) writeFailed(c *conn, err error) (goesOn bool) {
	lost := errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
	switch {
	case c.wrote:
		c.broken, c.first, c.second = err, nil, nil
		return l.arm(c, reading)
	case c.up && c.asked > 1:
		l.noteIdle(false)
		l.shut(c)
		l.dial(c)
	case errors.Is(err, unix.ETIMEDOUT):
		l.fail(c, timeout, fmt.Sprintf("no connection: %v", err))
	case lost:
		l.fail(c, reset, fmt.Sprintf("a new connection, before anything was written: %v", err))
	default:
		l.fail(c, refused, fmt.Sprintf("no connection: %v", err))
	}
	return false
}

// arm awaits these events; mostly it does already.
func (l *loop) arm(c *conn, events uint32) bool {
	if c.armed == events {
		return true
	}
	op := unix.EPOLL_CTL_MOD
	if c.armed == 0 {
		op = unix.EPOLL_CTL_ADD
	}
	if err := l.poll.watch(op, c.fd, events, c.number, c.turn); err != nil {
		l.fail(c, refused, fmt.Sprintf("the generator cannot watch the connection: epoll_ctl: %v", err))
		return false
	}
	c.armed = events
	return true
}

// ready is told that something happened on a connection.
func (l *loop) ready(c *conn, e *unix.EpollEvent) {
	if e.Pad != c.turn || c.fd < 0 {
		return
	}
	if c.state == idle {
		n, err := unix.Read(c.fd, l.input[:1])
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return
		}
		l.noteIdle(n > 0 && err == nil)
		l.shut(c)
		return
	}
	if len(c.first) > 0 {
		if !c.up {
			if code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && code != 0 {
				l.writeFailed(c, unix.Errno(code))
				return
			}
			if e.Events&broke == 0 {
				l.connected(c)
			}
		}
		if !l.write(c) {
			return
		}
	}
	if e.Events&(reading|broke) != 0 {
		l.read(c, e.Events&(unix.EPOLLRDHUP|broke) != 0)
	}
}

// read takes what came. Where more came than fits, or the end with it, epoll tells again.
func (l *loop) read(c *conn, ends bool) {
	n, err := unix.Read(c.fd, l.input)
	l.tick()
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case err != nil:
		l.readEnded(c, err)
		return
	case n == 0:
		l.readEnded(c, c.broken)
		return
	}
	c.got += int64(n)
	used, err := c.answer.feed(l.input[:n])
	switch {
	case err != nil:
		l.fail(c, garbled, err.Error())
	case used < n:
		l.fail(c, garbled, fmt.Sprintf("%.40q after the end of the answer", l.input[used:n]))
	case c.answer.done():
		l.answered(c, ends)
	}
}

// readEnded is told that no more of the answer will come, because of err unless that is nil.
func (l *loop) readEnded(c *conn, err error) {
	why := fmt.Sprintf("request %d of a connection, after %d bytes of the answer: ", c.asked, c.got)
	if err == nil {
		why += "the server closed the connection"
	} else {
		why += err.Error()
	}
	switch {
	case err == nil && c.answer.end():
		l.answered(c, true)
	case errors.Is(err, unix.ETIMEDOUT):
		l.fail(c, timeout, why)
	case c.got > 0:
		l.fail(c, truncated, why)
	case err == nil:
		l.fail(c, empty, why)
	default:
		l.fail(c, reset, why)
	}
}

// answered is told that the answer is whole. If the connection ends with it although the server did not announce that, it
// was closed while idle.
func (l *loop) answered(c *conn, ends bool) {
	o := judge(c.answer.status)
	l.tally.total[o]++
	if c.counted {
		l.open--
		l.tally.answer(o, l.clock-c.at, c.service, c.got)
		if o != ok && l.tally.first == "" {
			l.tally.fail(l.clock-l.began, o, fmt.Sprintf("status %d", c.answer.status))
		}
	}
	early := len(c.first) > 0 || c.broken != nil // before all of an upload was written, which is then the end of the connection
	expected := l.plan.Fresh || c.answer.closes() || early
	if ends && !expected {
		l.noteIdle(false)
	}
	if ends || expected {
		l.shut(c)
	}
	l.release(c)
}

// fail ends the request of c and its connection.
func (l *loop) fail(c *conn, o outcome, why string) {
	l.settle(c.request, o, why)
	l.shut(c)
	if o == refused && l.schedule == nil {
		l.rest(c, l.clock+restRefused)
		return
	}
	l.release(c)
}

// release makes c free for the next request.
func (l *loop) release(c *conn) {
	c.state, c.since = idle, l.clock
	l.free.push(c.number)
}

// shut closes the connection in the place c.
func (l *loop) shut(c *conn) {
	if c.fd >= 0 {
		_ = unix.Close(c.fd)
		c.fd = -1
	}
}

func (l *loop) closeAll() {
	for i := range l.conns {
		if s := l.conns[i].state; s == asking || s == backlogged {
			l.tally.total[abandoned]++
		}
		l.shut(&l.conns[i])
	}
}
