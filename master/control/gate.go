package control

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// silencePatience is how long a connection may be silent while another one waits for its place. A program connects and
	// asks at once, so that is a client that has stopped, or one that keeps the connection for its next request. A thousand
	// silent clients keep an operator waiting for three times as long.
	silencePatience = time.Second
	lookInterval    = 50 * time.Millisecond // how often the silent ones are looked for while somebody waits
)

// gate is a listener that has so many connections open at a time. Others wait in the kernel's queue; the one that has
// been silent for longest is closed for them.
type gate struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
	mu     sync.Mutex
	silent map[*guest]time.Time // since when
}

func newGate(l net.Listener, places int) *gate {
	return &gate{Listener: l, places: make(chan struct{}, places), closed: make(chan struct{}), silent: map[*guest]time.Time{}}
}

// guest is a connection that has a place.
type guest struct {
	*net.UnixConn
	gate *gate
	once sync.Once
}

func (g *gate) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("a control connection is a %T, no unix socket", c)
	}
	if !g.enter() {
		c.Close()
		return nil, net.ErrClosed
	}
	v := &guest{UnixConn: u, gate: g}
	g.note(v, true)
	return v, nil
}

// enter waits for a place; false: the gate was closed.
func (g *gate) enter() bool {
	for {
		select {
		case g.places <- struct{}{}:
			return true
		default:
		}
		if g.closeOldest(time.Now().Add(-silencePatience)) {
			continue
		}
		select {
		case g.places <- struct{}{}:
			return true
		case <-g.closed:
			return false
		case <-time.After(lookInterval):
		}
	}
}

// closeOldest closes the connection that has been silent for longest, if that is since before; false: there is none.
func (g *gate) closeOldest(before time.Time) bool {
	g.mu.Lock()
	var oldest *guest
	for v, since := range g.silent {
		if since.Before(before) {
			oldest, before = v, since
		}
	}
	g.mu.Unlock()
	if oldest == nil {
		return false
	}
	oldest.Close()
	return true
}

func (g *gate) note(v *guest, silent bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if silent {
		g.silent[v] = time.Now()
	} else {
		delete(g.silent, v)
	}
}

// Close ends the listener; connections stay.
func (g *gate) Close() error {
	g.once.Do(func() { close(g.closed) })
	return g.Listener.Close()
}

// Close gives the place back.
func (v *guest) Close() error {
	v.once.Do(func() {
		v.gate.note(v, false)
		<-v.gate.places
	})
	return v.UnixConn.Close()
}

// stateOf is told by the server what becomes of a connection.
func stateOf(c net.Conn, s http.ConnState) {
	v := c.(*guest)
	switch s {
	case http.StateIdle:
		v.gate.note(v, true)
	case http.StateActive, http.StateHijacked, http.StateClosed:
		v.gate.note(v, false)
	}
}
