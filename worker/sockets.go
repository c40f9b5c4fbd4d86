package worker

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// Sockets is the membership of a server that is not an http.Server: gRPC, say, or a protocol of its own. Connections are
// counted and drained; requests are not seen, so neither counted nor given threads.
type Sockets struct {
	m         *member
	listeners []*merged
	done      chan error
}

// Listeners joins the cluster and returns its listeners, one a bind. Nothing is accepted before Ready.
//
// When Draining is closed, each Accept returns net.ErrClosed after the last connection; the application then ends its
// connections (gRPC: GracefulStop) and returns from Wait.
func Listeners(opts ...Option) (*Sockets, error) {
	m, err := join(collect(opts))
	if err != nil {
		return nil, err
	}
	return newSockets(m), nil
}

func newSockets(m *member) *Sockets {
	s := &Sockets{m: m, done: make(chan error, 1)}
	for _, l := range m.binds {
		s.listeners = append(s.listeners, &merged{addr: l.Addr(), conns: make(chan net.Conn), ended: m.drained, gone: make(chan struct{})})
	}
	m.engine = &feeder{s}
	return s
}

// feeder is the engine of Sockets: the application serves, and ends by itself.
type feeder struct{ *Sockets }

func (f *feeder) Serve(bind int, l net.Listener) error {
	var config *tls.Config
	if f.m.Secure(bind) {
		config = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.m.KeysFor(bind, true), nil }}
	}
	return f.listeners[bind].feed(l, config)
}

func (f *feeder) Stop(int) {}

// Listeners are in the order of the binds.
func (s *Sockets) Listeners() []net.Listener {
	out := make([]net.Listener, len(s.listeners))
	for i, l := range s.listeners {
		out[i] = l
	}
	return out
}

// Ready tells the master that the application serves its listeners.
func (s *Sockets) Ready() { go func() { s.done <- s.m.run() }() }

// Draining is closed when the worker has stopped accepting and is to finish.
func (s *Sockets) Draining() <-chan struct{} { return s.m.drained }

// Wait returns when no connection is open any more or the drain timeout is over. The process should exit then.
func (s *Sockets) Wait() error { return <-s.done }

// merged makes one listener of all sources of a bind: the slot's own and adopted ones.
type merged struct {
	addr  net.Addr
	conns chan net.Conn
	ended <-chan struct{} // all sources of this process have ended
	gone  chan struct{}   // the application has closed the listener
	once  sync.Once
}

// feed passes connections on until the source ends; with a configuration they speak TLS.
func (l *merged) feed(source net.Listener, config *tls.Config) error {
	for {
		c, err := source.Accept()
		if temporary(err) {
			time.Sleep(acceptPause)
			continue
		}
		if err != nil {
			return err
		}
		c.(*conn).Release()
		if config != nil {
			c = tls.Server(c, config)
		}
		select {
		case l.conns <- c:
		case <-l.gone:
			c.Close()
			return net.ErrClosed
		}
	}
}

// acceptPause is how long feed waits if no descriptor is free for a connection. Some will be when connections end.
const acceptPause = 20 * time.Millisecond

// temporary is what net/http asks before it gives a listener up.
func temporary(err error) bool {
	var e interface{ Temporary() bool }
	return errors.As(err, &e) && e.Temporary()
}

func (l *merged) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	case <-l.gone:
		return nil, net.ErrClosed
	}
}

func (l *merged) Close() error {
	l.once.Do(func() { close(l.gone) })
	return nil
}

func (l *merged) Addr() net.Addr { return l.addr }
