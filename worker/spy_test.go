package worker

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"
)

// spyListener makes connections that tell what the wrapper does with them.
type spyListener struct {
	net.Listener
	accepted chan *spy
}

func listenSpying(t *testing.T) *spyListener {
	return &spyListener{Listener: listenLocal(t), accepted: make(chan *spy, 100)}
}

func (l *spyListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := &spy{TCPConn: nc.(*net.TCPConn)}
	l.accepted <- s
	return s, nil
}

type spy struct {
	*net.TCPConn
	mu             sync.Mutex
	reads          []int // room offered
	writes         []int
	copies         []io.Reader // what the kernel was to copy
	copied         int64
	readDeadlines  []time.Time
	writeDeadlines []time.Time
	writesClosed   int
	onTimeout      func() // called before a Read returns that its deadline is over
}

func (s *spy) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *spy) Read(p []byte) (int, error) {
	s.note(func() { s.reads = append(s.reads, len(p)) })
	n, err := s.TCPConn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		onTimeout := func() {}
		s.note(func() {
			if s.onTimeout != nil {
				onTimeout = s.onTimeout
			}
		})
		onTimeout()
	}
	return n, err
}

func (s *spy) Write(p []byte) (int, error) {
	s.note(func() { s.writes = append(s.writes, len(p)) })
	return s.TCPConn.Write(p)
}

func (s *spy) ReadFrom(r io.Reader) (int64, error) {
	n, err := s.TCPConn.ReadFrom(r)
	s.note(func() {
		s.copies = append(s.copies, r)
		s.copied += n
	})
	return n, err
}

func (s *spy) SetReadDeadline(t time.Time) error {
	s.note(func() { s.readDeadlines = append(s.readDeadlines, t) })
	return s.TCPConn.SetReadDeadline(t)
}

func (s *spy) SetWriteDeadline(t time.Time) error {
	s.note(func() { s.writeDeadlines = append(s.writeDeadlines, t) })
	return s.TCPConn.SetWriteDeadline(t)
}

func (s *spy) CloseWrite() error {
	s.note(func() { s.writesClosed++ })
	return s.TCPConn.CloseWrite()
}

func startSpying(t *testing.T, h http.Handler, change ...func(*setup)) (*testWorker, *spyListener) {
	l := listenSpying(t)
	change = append(change, func(s *setup) { s.listeners = []net.Listener{l} })
	return startWorker(t, h, change...), l
}
