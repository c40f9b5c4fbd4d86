package worker

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
	"github.com/prefork/cluster/worker/internal/handoff"
)

// inboxSource is the listener of the connections that siblings pass on, or a front. It is served until no connection is left: a draining
// worker passes on what still arrives.
type inboxSource struct {
	m         *member
	file      *os.File
	raw       syscall.RawConn
	bind      int        // of the engine's server that is to serve them
	addresses []net.Addr // by bind, for unix sockets
	closed    atomic.Bool
	ended     chan struct{} // closed when Accept says that there are no more

	// What was received, by the one goroutine that accepts.
	packet     inbox.Packet
	connection *ipc.FD
	err        error
}

// meetSiblings takes over what the master has handed over to pass connections on, and to be passed some.
func (m *member) meetSiblings(h *ipc.Handover) error {
	if (m.Config.Handoff || m.Config.Passed) && h.Inbox == nil {
		return errors.New("connections are to be passed on, but no inbox was handed over")
	}
	if h.Inbox != nil {
		s := &inboxSource{m: m, ended: make(chan struct{})}
		own, err := h.Inbox.Release()
		if err != nil {
			return err
		}
		s.file = os.NewFile(uintptr(own), "inbox") // it does not block: the master has made it so
		if s.raw, err = s.file.SyscallConn(); err != nil {
			return err
		}
		s.bind = -1
		for i, l := range m.binds {
			s.addresses = append(s.addresses, l.Addr())
			if s.bind < 0 && !m.Secure(i) {
				s.bind = i
			}
		}
		if s.bind >= 0 { // else nothing can be passed on
			m.inbox = s
		}
	}
	if !m.Config.Handoff {
		return nil
	}
	m.siblings = handoff.New(m.board, m.info.Seat, m.Clock, func() int { return m.Limits().Threads }, m.mostConnections)
	for seat, send := range h.Peers {
		m.siblings.Add(seat, send)
	}
	return nil
}

// openInbox begins to serve what siblings pass on.
func (m *member) openInbox() {
	if m.inbox == nil {
		return
	}
	go func() { _ = m.engine.Serve(m.inbox.bind, m.inbox) }()
	m.Row.Handoff.Takes.Store(inbox.Version)
}

// Accept waits for the next connection. The hints that come in between are followed.
func (s *inboxSource) Accept() (net.Conn, error) {
	for {
		s.awaitRoom()
		err := s.raw.Read(s.receive)
		if s.closed.Load() && err != nil && s.m.final.Load() {
			err = s.raw.Control(func(fd uintptr) { s.receive(fd) }) // nobody else will
		}
		if s.closed.Load() && (err != nil || s.err != nil) {
			return nil, s.end()
		}
		if err == nil {
			err = s.err
		}
		switch {
		case err == nil && s.packet.Kind == inbox.Free && s.connection == nil:
			if s.m.waits() {
				s.m.relieve(true)
			}
		case err == nil && s.connection != nil:
			if c := s.admit(); c != nil {
				return c, nil
			}
		case err == nil || errors.Is(err, inbox.ErrVersion):
			s.m.Log.Debug("a packet in the inbox was not understood", "kind", s.packet.Kind, "err", err)
		case errors.Is(err, inbox.ErrNoDescriptor):
			s.m.scarce.Store(true)
			time.Sleep(acceptPause)
		default:
			if !errors.Is(err, io.EOF) { // the master and all siblings are gone
				s.m.Log.Error("the inbox is broken: nothing is passed on to this worker any more", "err", err)
			}
			return nil, s.end()
		}
	}
}

func (s *inboxSource) end() error {
	if !s.closed.Swap(true) {
		s.m.Row.Handoff.Takes.Store(0)
	}
	close(s.ended)
	return net.ErrClosed
}

// receive takes a packet. The row says that a connection is being taken from before it leaves the inbox until it counts as
// open: it dies with this process from then on.
func (s *inboxSource) receive(fd uintptr) bool {
	accepting := &s.m.Row.Accepting
	accepting.Add(1)
	s.packet, s.connection, s.err = inbox.Receive(int(fd), s.m.scarce.Load())
	if s.connection == nil {
		accepting.Add(-1)
	}
	return !errors.Is(s.err, inbox.ErrEmpty) || s.closed.Load()
}

// admit wraps the connection that was received. With the thread that is reserved for it, it reads its request at once.
func (s *inboxSource) admit() *conn {
	m, p := s.m, &s.packet
	defer m.Row.Accepting.Add(-1)
	m.spend(s.connection.Int())
	network, local, remote := "tcp", net.Addr(net.TCPAddrFromAddrPort(p.Local)), net.Addr(net.TCPAddrFromAddrPort(p.Remote))
	if p.Bind >= len(s.addresses) {
		s.connection.Close()
		m.Log.Warn("a connection of a bind that is not there was passed on to this worker", "bind", p.Bind, "sender", p.Sender)
		return nil
	}
	if !p.Remote.IsValid() {
		network, local, remote = "unix", s.addresses[p.Bind], &net.UnixAddr{Name: "@", Net: "unix"} // as the kernel names a client without a name
	}
	nc, err := handoff.NewConn(s.connection, network, local, remote)
	if err != nil {
		m.Log.Warn("a connection that was passed on to this worker cannot be served", "err", err)
		return nil
	}
	c := &conn{Conn: nc, socket: nc, m: m, bind: p.Bind}
	c.count.Store(int32(p.Served))
	c.reused.Store(p.Served > 0)
	c.readable.Store(p.Readable)
	c.headSince.Store(p.HeadSince)
	c.idleSince.Store(p.IdleSince)
	if m.siblings != nil && !m.Stationary {
		c.mover = newMover(c)
		c.mover.hops = p.Hops
		c.mover.fresh.Store(p.Served > 0 && p.Readable == 0)
		if p.Reservation != 0 && m.Line.Claim(p.Thread, p.Reservation) {
			c.held.Keep(p.Thread)
		}
	}
	if p.Sender == ipc.FrontSeat { // this worker is the first to have it
		m.Row.Accepted.Add(1)
	} else {
		m.Row.Handoff.Received.Add(1)
	}
	m.enter(c)
	return c
}

// awaitRoom waits while as many connections are open as there can be descriptors. What is in the inbox waits there. How many may be open does not count
// here: siblings and the front see to that, and what they have sent all the same must not lie unread.
func (s *inboxSource) awaitRoom() {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.conns)+m.entering >= max(m.roomForConnections(), 1) && !s.closed.Load() {
		m.room.Wait()
	}
}

// stop ends it, and returns when nothing is being received any more.
func (s *inboxSource) stop(over <-chan struct{}) {
	s.m.Row.Handoff.Takes.Store(0)
	s.closed.Store(true)
	_ = s.file.SetReadDeadline(longAgo)
	s.m.room.Broadcast()
	select {
	case <-s.ended:
	case <-over:
	}
}

// Close is what engines call when they stop serving.
func (s *inboxSource) Close() error { return s.file.Close() }

// Addr is that of the bind in whose name they are served.
func (s *inboxSource) Addr() net.Addr { return s.addresses[s.bind] }
