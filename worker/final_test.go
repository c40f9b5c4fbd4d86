package worker

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// gatedListener accepts nothing before it is opened.
type gatedListener struct {
	*net.TCPListener
	open chan struct{}
}

func listenGated(t *testing.T) *gatedListener {
	return &gatedListener{TCPListener: listenLocal(t).(*net.TCPListener), open: make(chan struct{})}
}

func (l *gatedListener) Accept() (net.Conn, error) {
	<-l.open
	return l.TCPListener.Accept()
}

// duplicate is a second descriptor of the same listener, as another worker inherits it.
func duplicate(t *testing.T, l net.Listener) net.Listener {
	t.Helper()
	other, err := listen(rawListener(t, l))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return other
}

// queueRequests makes connections that nobody has accepted yet, each with a request on it.
func queueRequests(t *testing.T, l net.Listener, n int) (clients []*client) {
	t.Helper()
	for range n {
		c := dial(t, l.Addr().String())
		c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
		clients = append(clients, c)
	}
	eventually(t, "connections in the queue", func() bool { return queued(l) })
	return clients
}

func wantAllAnswered(t *testing.T, clients []*client, closed bool) {
	t.Helper()
	for _, c := range clients {
		a := c.answer("GET")
		if a.body != "hello" || a.close != closed {
			t.Fatalf("answer %+v; want hello, and Connection: close %v", a, closed)
		}
	}
}

// With a final order what is queued is accepted and answered before the listener is closed.
func TestFinalDrainServesTheQueue(t *testing.T) {
	for _, blocked := range []bool{false, true} { // in Accept when the order comes, or not yet there
		l := listenGated(t)
		if blocked {
			close(l.open)
		}
		var clients []*client
		if !blocked {
			clients = queueRequests(t, l, 50)
		}
		w := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.listeners = []net.Listener{l} })
		w.order(order{final: true})
		if !blocked {
			eventually(t, "the order to arrive", w.Draining.Load)
			close(l.open)
		}
		await(t, "accepting to end", w.drained)
		wantAllAnswered(t, clients, true)
		w.wantResult(t)
		want(t, "accepted", w.Row.Accepted.Load(), int64(len(clients)))
	}
}

// Without one it is left to whoever else holds the listener.
func TestDrainLeavesTheQueueToOthers(t *testing.T) {
	l := listenGated(t)
	other := duplicate(t, l.TCPListener)
	leaving := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.listeners = []net.Listener{l} })
	clients := queueRequests(t, l, 50)
	leaving.order(order{})
	eventually(t, "its descriptor to be closed", func() bool { return !queued(l) })
	close(l.open)
	leaving.wantResult(t)
	want(t, "accepted by the one that leaves", leaving.Row.Accepted.Load(), 0)

	w := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.listeners = []net.Listener{other} })
	wantAllAnswered(t, clients, false)
	want(t, "accepted by the other", w.Row.Accepted.Load(), 50)
}

// Workers that share a listener leave together: whoever finds the queue empty goes, even if it has just seen a connection.
func TestFinalDrainOfASharedListener(t *testing.T) {
	t.Parallel()
	for range 5 {
		first, second := listenGated(t), listenGated(t)
		second.TCPListener = duplicate(t, first.TCPListener).(*net.TCPListener)
		clients := queueRequests(t, first, 20)
		var workers []*testWorker
		for _, l := range []*gatedListener{first, second} {
			workers = append(workers, startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.listeners = []net.Listener{l} }))
		}
		for _, w := range workers {
			w.order(order{final: true})
			eventually(t, "the order to arrive", w.Draining.Load)
		}
		var both sync.WaitGroup
		both.Go(func() { close(first.open) })
		both.Go(func() { close(second.open) })
		both.Wait()
		wantAllAnswered(t, clients, true)
		var accepted int64
		for _, w := range workers {
			w.wantResult(t)
			accepted += w.Row.Accepted.Load()
		}
		want(t, "accepted", accepted, 20)
	}
}

// luredListener sees the queue of another listener: connections that are always gone when it accepts.
type luredListener struct {
	*net.TCPListener
	lure   *net.TCPListener
	honest atomic.Int32 // so many looks are into its own queue
}

func (l *luredListener) SyscallConn() (syscall.RawConn, error) {
	if l.honest.Add(-1) >= 0 {
		return l.TCPListener.SyscallConn()
	}
	return l.lure.SyscallConn()
}

// listenLured is one with a connection as the lure.
func listenLured(t *testing.T) *luredListener {
	l := &luredListener{TCPListener: listenLocal(t).(*net.TCPListener), lure: listenLocal(t).(*net.TCPListener)}
	queueRequests(t, l.lure, 1)
	return l
}

// taken is another worker that takes the lure.
func (l *luredListener) taken(t *testing.T) {
	t.Helper()
	nc, err := l.lure.Accept()
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

func TestFinalDrainDoesNotWaitForWhatOthersTook(t *testing.T) {
	for honest := range int32(2) { // others took it after the last look of all, or after the one before
		l := listenLured(t)
		l.honest.Store(honest)
		w := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.listeners = []net.Listener{l} })
		w.order(order{final: true})
		eventually(t, "the order to arrive", w.Draining.Load)
		late := dial(t, l.Addr().String()) // it is still served
		want(t, "body", late.get("/").body, "hello")
		l.taken(t)
		w.wantResult(t)
	}
}

func TestQueued(t *testing.T) {
	l := listenLocal(t)
	want(t, "queued", queued(l), false)
	queueRequests(t, l, 1)
	want(t, "queued", queued(l), true)
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	want(t, "queued", queued(l), false)
	l.Close()
	want(t, "queued in a closed one", queued(l), false)
	want(t, "queued where it cannot be known", queued(&merged{}), false)
}
