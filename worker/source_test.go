package worker

import (
	"errors"
	"net"
	"net/http"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
)

// inherited makes a listener as the master does: a raw descriptor.
func inherited(t *testing.T) (fd *ipc.FD, addr string) {
	t.Helper()
	l := listenLocal(t)
	fd = rawListener(t, l)
	addr = l.Addr().String()
	l.Close()
	return fd, addr
}

// listen takes a descriptor over: nobody closes its number a second time, when it may be a client's.
func TestListenTakesTheDescriptorOver(t *testing.T) {
	fd, addr := inherited(t)
	l, err := listen(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want(t, "descriptor that is left", fd.Int(), -1)
	want(t, "address", l.Addr().String(), addr)
}

func TestListenRefuses(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	fd, err := ipc.Duplicate(int(null.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	_, err = listen(fd)
	wantError(t, err, "the inherited descriptor is no listener")
	want(t, "descriptor that is left", fd.Int(), -1)
	_, err = listen(fd)
	wantError(t, err, "the inherited descriptor is no listener", "descriptor -1")
}

// The open file is shared with the master and other workers: were it blocking for a moment, they could hang in an accept.
func TestListenNeverMakesTheSharedListenerBlocking(t *testing.T) {
	fd, _ := inherited(t)
	defer fd.Close()
	stop, checked := make(chan struct{}), make(chan int)
	go func() {
		blocking := 0
		for {
			select {
			case <-stop:
				checked <- blocking
				return
			default:
				if flags, err := unix.FcntlInt(uintptr(fd.Int()), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
					blocking++
				}
			}
		}
	}()
	for range 300 {
		other, err := ipc.Duplicate(fd.Int())
		if err != nil {
			t.Fatal(err)
		}
		l, err := listen(other)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	close(stop)
	want(t, "times it was seen blocking", await(t, "the checks", checked), 0)
}

func (m *member) sourceCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sources)
}

// A worker serves the listeners of another slot until it is told to release them.
func TestAdoptAndRelease(t *testing.T) {
	w := startWorker(t, http.HandlerFunc(hello))
	for round := range 3 {
		adopted := listenLocal(t)
		kept := duplicate(t, adopted)
		w.attach(sourceKey{slot: 1, bind: 0}, adopted)
		c := dial(t, kept.Addr().String())
		want(t, "body", c.get("/").body, "hello")
		w.release(2) // not the one
		want(t, "sources", w.sourceCount(), 2)
		w.release(1)
		want(t, "sources", w.sourceCount(), 1)
		want(t, "Connection: close after the release", c.get("/").close, false)
		late := dial(t, kept.Addr().String()) // waits for another worker
		nc, err := kept.Accept()
		if err != nil || nc.RemoteAddr().String() != late.LocalAddr().String() {
			t.Fatalf("round %d: accepted %v, %v", round, nc, err)
		}
		nc.Close()
	}
	w.release(0) // its own is not for release
	want(t, "sources", w.sourceCount(), 1)
	want(t, "body", dial(t, w.addr).get("/").body, "hello")
}

// What is adopted twice, or by a worker that drains, is served once or not at all; the surplus descriptor is closed.
func TestSurplusListenersAreClosed(t *testing.T) {
	w := startWorker(t, http.HandlerFunc(hello))
	isClosed := func(l net.Listener) bool {
		_, err := l.Accept()
		return errors.Is(err, net.ErrClosed)
	}
	first, again := listenLocal(t), listenLocal(t)
	w.attach(sourceKey{slot: 1}, first)
	w.attach(sourceKey{slot: 1}, again)
	want(t, "the second is closed", isClosed(again), true)
	want(t, "body", dial(t, first.Addr().String()).get("/").body, "hello")
	w.drain(t, order{})
	want(t, "sources", w.sourceCount(), 0)
	want(t, "the first is closed", isClosed(first), true)
	late := listenLocal(t)
	w.attach(sourceKey{slot: 2}, late)
	want(t, "the late one is closed", isClosed(late), true)
}

// brokenListener fails for good.
type brokenListener struct {
	net.Listener
	broken chan struct{}
}

func (l *brokenListener) Accept() (net.Conn, error) {
	<-l.broken
	return nil, errors.New("the interface burned down")
}

// A worker that cannot accept any more says why, finishes what runs, and leaves.
func TestBrokenSourceEndsTheWorker(t *testing.T) {
	broken := &brokenListener{listenLocal(t), make(chan struct{})}
	g := newGate()
	w := startWorker(t, g, func(s *setup) { s.listeners = []net.Listener{listenLocal(t), broken} })
	c := dial(t, w.addr)
	c.send("GET /running HTTP/1.1\r\nHost: test\r\n\r\n")
	await(t, "the handler", g.entered)
	close(broken.broken)
	await(t, "accepting to end", w.drained)
	close(g.leave)
	want(t, "body", c.answer("GET").body, "/running")
	c.Close()
	w.wantResult(t, "worker: bind 1 of slot 0 is no longer served: the interface burned down")
}

// What is between the kernel's queue and the open connections is counted, and nothing else: a worker that found others
// faster takes none.
func TestAcceptingIsCounted(t *testing.T) {
	l := listenLured(t)
	w := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.listeners = []net.Listener{l} })
	eventually(t, "a connection to be taken", func() bool { return w.Row.Accepting.Load() == 1 })
	l.taken(t)
	eventually(t, "none to be taken", func() bool { return w.Row.Accepting.Load() == 0 })
	want(t, "accepted", w.Row.Accepted.Load(), 0)
}
