package control

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// silencePatience is how long a connection may be silent while another one waits for its place. A program connects and
	// asks at once, so that is a client that has stopped, or one that keeps the connection for its next request. A thousand
	// silent clients keep an operator waiting for three times as long.
	silencePatience = 250 * time.Millisecond
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

// closeOldest closes the connection that has been silent for longest, if that is since before; false: there is none. One that
// has spoken and was not read yet is not silent.
func (g *gate) closeOldest(before time.Time) bool {
	g.mu.Lock()
	old := map[*guest]time.Time{}
	for v, since := range g.silent {
		if since.Before(before) {
			old[v] = since
		}
	}
	g.mu.Unlock()
	for _, v := range slices.SortedFunc(maps.Keys(old), func(a, b *guest) int { return old[a].Compare(old[b]) }) {
		if !v.hasSpoken() {
			v.Close()
			return true
		}
	}
	return false
}

// hasSpoken says whether bytes wait to be read, without taking them.
func (v *guest) hasSpoken() bool {
	raw, err := v.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	_ = raw.Control(func(fd uintptr) { n, _, err = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT) })
	return err == nil && n > 0
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
