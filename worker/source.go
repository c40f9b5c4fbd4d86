package worker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
)

// sourceKey names a listener: bind number bind of slot number slot.
type sourceKey struct{ slot, bind int }

// source is a listener that this worker takes connections from: its slot's own or an adopted one. The descriptor is a
// duplicate of the master's, so closing it loses nothing that waits in it.
type source struct {
	net.Listener
	gate   *os.File // another duplicate, to wait at without accepting; nil for a listener without a descriptor
	m      *member
	key    sourceKey
	closed atomic.Bool // by this worker's wish
	final  atomic.Bool // leave when the queue is empty
}

// finalWait is how long a final Accept waits for a connection that was seen in the queue: another worker may have been
// faster, and then nothing more comes.
const finalWait = 50 * time.Millisecond

// acceptWait is the same for each Accept after the gate: beyond it, waiting is the gate's business.
const acceptWait = time.Millisecond

// listen turns an inherited descriptor into a listener and takes it over.
func listen(fd *ipc.FD) (net.Listener, error) {
	defer fd.Close()
	// A duplicate for the file, so that each number has one owner: closed twice, it could be a client's by the second time.
	own, err := ipc.Duplicate(fd.Int())
	if err != nil {
		return nil, fmt.Errorf("the inherited descriptor is no listener: %w", err)
	}
	f := os.NewFile(uintptr(own.Int()), "listener")
	defer f.Close() // net.FileListener works on a duplicate
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("the inherited descriptor is no listener: %w", err)
	}
	return l, nil
}

// attach starts serving a listener.
func (m *member) attach(key sourceKey, l net.Listener) {
	s := &source{Listener: l, gate: openGate(l), m: m, key: key}
	m.mu.Lock()
	if _, serving := m.sources[key]; serving || m.Draining.Load() {
		m.mu.Unlock()
		s.stop()
		return
	}
	m.sources[key] = s
	m.accepting.Add(1)
	m.mu.Unlock()
	go func() {
		defer m.accepting.Done()
		if err := m.engine.Serve(key.bind, s); !s.closed.Load() {
			select {
			case m.failed <- fmt.Errorf("bind %d of slot %d is no longer served: %w", key.bind, key.slot, err):
			default:
			}
		}
	}()
}

// release stops serving the listeners of another slot.
func (m *member) release(slot int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, s := range m.sources {
		if key.slot == slot && slot != m.info.Slot {
			delete(m.sources, key)
			s.stop()
		}
	}
}

// Accept waits for the next connection and wraps it.
func (s *source) Accept() (net.Conn, error) {
	for {
		if s.final.Load() && !queued(s.Listener) {
			s.stop()
		}
		if s.closed.Load() {
			return nil, net.ErrClosed
		}
		c, err := s.take()
		if err == nil {
			return c, nil
		}
		if s.closed.Load() {
			return nil, net.ErrClosed // and not what the gate says: engines know this error
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
		if s.final.Load() {
			s.setDeadline(time.Now().Add(finalWait))
		}
	}
}

// take waits until a connection is there and accepts it. The row says that one is being taken from before it leaves the
// kernel's queue until it counts as open: so the master can tell, to the last one, what a killed worker has taken along.
func (s *source) take() (*conn, error) {
	if s.gate != nil {
		raw, err := s.gate.SyscallConn()
		if err != nil {
			return nil, err
		}
		if err := raw.Read(pollable); err != nil {
			return nil, err
		}
	}
	if !s.m.awaitRoom(s) {
		return nil, net.ErrClosed
	}
	defer s.m.leaveRoom()
	s.m.Row.Accepting.Add(1)
	defer s.m.Row.Accepting.Add(-1)
	if s.gate != nil { // another worker may have been faster
		setDeadline(s.Listener, time.Now().Add(acceptWait))
	}
	nc, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return s.m.admit(nc, s.key.bind), nil
}

// descriptorReserve is how many descriptors are left to the application when connections take all others.
const descriptorReserve = 64

// mostConnections is how many may be open.
func (m *member) mostConnections() int {
	most := m.Limits().MaxConnections
	if most == 0 {
		most = m.roomForConnections()
	}
	return max(most, 1)
}

// roomForConnections is how many descriptors there are for connections.
func (m *member) roomForConnections() int {
	n := m.descriptors - descriptorReserve
	if m.siblings != nil {
		n -= m.siblings.Len()
	}
	return n
}

// spend notes how close to the limit the number of a new descriptor is: it is the lowest that was free.
func (m *member) spend(fd int) {
	if scarce := fd >= m.descriptors-max(descriptorReserve, m.descriptors/8); scarce != m.scarce.Load() {
		m.scarce.Store(scarce)
	}
}

// awaitRoom waits until one more connection may be open and keeps the place until leaveRoom. Meanwhile connections wait in
// the kernel, where another worker may take them. It is false if the source was stopped.
func (m *member) awaitRoom(s *source) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for !s.closed.Load() {
		if len(m.conns)+m.entering < m.mostConnections() {
			m.entering++
			return true
		}
		m.room.Wait()
	}
	return false
}

func (m *member) leaveRoom() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entering--
	m.room.Broadcast()
}

// openGate makes a file of a listener that can be waited at: a net.Listener can only be waited at by accepting.
func openGate(l net.Listener) *os.File {
	sc, ok := l.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	var gate *os.File
	_ = raw.Control(func(fd uintptr) {
		if own, err := ipc.Duplicate(int(fd)); err == nil {
			gate = os.NewFile(uintptr(own.Int()), "gate") // not blocking, as the listener is: so it can be polled
		}
	})
	return gate
}

// stop closes this process's descriptor of the listener.
func (s *source) stop() {
	if !s.closed.Swap(true) {
		s.Close()
		s.m.room.Broadcast()
	}
}

// finish makes the source take what is queued and leave then.
func (s *source) finish() {
	s.final.Store(true)
	s.setDeadline(longAgo) // wakes an Accept that waits
}

func (s *source) setDeadline(t time.Time) {
	if s.gate != nil {
		_ = s.gate.SetReadDeadline(t)
	}
	setDeadline(s.Listener, t)
}

func setDeadline(l net.Listener, t time.Time) {
	if l, ok := l.(interface{ SetDeadline(time.Time) error }); ok {
		_ = l.SetDeadline(t)
	}
}

// Close is what http.Server calls when its Serve returns, for whatever reason: it says nothing about this worker's wish.
func (s *source) Close() error {
	if s.gate != nil {
		s.gate.Close()
	}
	return s.Listener.Close()
}

// queued says whether a connection waits in a listener.
func queued(l net.Listener) bool {
	sc, ok := l.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	waits := false
	_ = raw.Control(func(fd uintptr) { waits = events(fd)&unix.POLLIN != 0 })
	return waits
}

// pollable says whether a descriptor would answer without waiting: with a connection, or that it is broken.
func pollable(fd uintptr) bool { return events(fd) != 0 }

func events(fd uintptr) int16 {
	ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(ready, 0); err != nil || n != 1 {
		return 0
	}
	return ready[0].Revents
}
