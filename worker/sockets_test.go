package worker

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc"
)

// testSockets is what Listeners returns, for a member of a cluster of one, and an application under it: an echo.
type testSockets struct {
	*Sockets
	*testWorker
	serving sync.WaitGroup // the application's accept loops
}

func newTestSockets(t *testing.T, config ipc.WorkerConfig, listeners ...net.Listener) *testSockets {
	t.Helper()
	m := newTestMember(config, listeners...)
	s := &testSockets{Sockets: newSockets(m), testWorker: &testWorker{member: m, addr: listeners[0].Addr().String()}}
	t.Cleanup(func() { m.order(order{why: "the test is over"}) })
	return s
}

// echo accepts from one listener as long as there is something to accept.
func (s *testSockets) echo(t *testing.T, l net.Listener) {
	s.serving.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("accept: %v", err)
				}
				return
			}
			go func() {
				defer nc.Close()
				io.Copy(nc, nc)
			}()
		}
	})
}

// wait is what Wait returns, in a channel.
func (s *testSockets) wait() <-chan error {
	result := make(chan error, 1)
	go func() { result <- s.Wait() }()
	return result
}

func (c *client) wantEcho(text string) {
	c.t.Helper()
	c.send(text + "\n")
	want(c.t, "echo", c.line(), text+"\n")
}

func TestSocketsServeADrain(t *testing.T) {
	first, second := listenLocal(t), listenLocal(t)
	s := newTestSockets(t, testConfig(), first, second)
	listeners := s.Listeners()
	want(t, "listeners", len(listeners), 2)
	want(t, "address", listeners[0].Addr().String(), first.Addr().String())
	for _, l := range listeners {
		s.echo(t, l)
	}
	early := dial(t, first.Addr().String())
	early.send("early\n")
	eventually(t, "a connection in the queue", func() bool { return queued(first) })
	want(t, "accepted before Ready", s.m.Row.Accepted.Load(), 0)
	s.Ready()
	want(t, "echo", early.line(), "early\n")
	late := dial(t, second.Addr().String())
	late.wantEcho("late")
	want(t, "open", s.m.Row.Open.Load(), 2)
	select {
	case <-s.Draining():
		t.Fatal("draining before the order")
	default:
	}

	s.order(order{})
	await(t, "Draining", s.Draining())
	s.serving.Wait() // each Accept has returned net.ErrClosed
	s.age(time.Hour) // drain-idle is not for a protocol that the library does not know
	result := s.wait()
	early.wantEcho("still here")
	late.Close()
	early.wantEcho("still here")
	want(t, "returned while a connection was open", len(result), 0)
	early.Close()
	want(t, "result", await(t, "Wait", result), nil)
	want(t, "requests", s.m.Row.Total(), 0)
}

func TestSocketsDrainTimeout(t *testing.T) {
	config := testConfig()
	config.DrainTimeout = 50 * time.Millisecond
	s := newTestSockets(t, config, listenLocal(t))
	s.echo(t, s.Listeners()[0])
	s.Ready()
	dial(t, s.addr).wantEcho("hello")
	s.order(order{})
	wantError(t, await(t, "Wait", s.wait()), "1 connections were still open")
}

// What another slot's listener brings comes out of the same bind's.
func TestSocketsMergeAdopted(t *testing.T) {
	s := newTestSockets(t, testConfig(), listenLocal(t), listenLocal(t))
	for _, l := range s.Listeners() {
		s.echo(t, l)
	}
	s.Ready()
	for bind := range 2 {
		adopted := listenLocal(t)
		s.attach(sourceKey{slot: 5, bind: bind}, adopted)
		c := dial(t, adopted.Addr().String())
		c.wantEcho("adopted")
		c.Close()
	}
	c := dial(t, s.addr)
	c.wantEcho("own")
	c.Close()
	s.release(5)
	eventually(t, "two sources of its own", func() bool { return s.sourceCount() == 2 })
	s.order(order{})
	want(t, "result", await(t, "Wait", s.wait()), nil)
}

// Connections that are accepted while the drain begins reach the application: each is served, or left in the queue.
func TestSocketsLoseNothingAtDrain(t *testing.T) {
	t.Parallel()
	for range 10 {
		kept := listenLocal(t)
		s := newTestSockets(t, testConfig(), duplicate(t, kept))
		s.echo(t, s.Listeners()[0])
		s.Ready()
		var clients []*client
		for i := range 30 {
			if i == 15 {
				s.order(order{})
			}
			c := dial(t, s.addr)
			c.send("hello\n")
			clients = append(clients, c)
		}
		s.serving.Wait()
		next := newTestSockets(t, testConfig(), kept)
		next.echo(t, next.Listeners()[0])
		next.Ready()
		for _, c := range clients {
			want(t, "echo", c.line(), "hello\n")
			c.Close()
		}
		want(t, "accepted by both", s.m.Row.Accepted.Load()+next.m.Row.Accepted.Load(), 30)
		want(t, "result", await(t, "Wait", s.wait()), nil)
		next.order(order{})
		want(t, "result", await(t, "Wait", next.wait()), nil)
	}
}

// An application that is slow to accept gets all that were accepted for it, before net.ErrClosed.
func TestSocketsSlowAccept(t *testing.T) {
	s := newTestSockets(t, testConfig(), listenLocal(t))
	l := s.Listeners()[0]
	s.Ready()
	c := dial(t, s.addr)
	eventually(t, "the connection to be accepted", func() bool { return s.m.Row.Accepted.Load() == 1 })
	s.order(order{})
	eventually(t, "the order to arrive", s.m.Draining.Load)
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Accept()
	want(t, "the next error", err, net.ErrClosed)
	nc.Close()
	c.wantEOF()
	want(t, "result", await(t, "Wait", s.wait()), nil)
}

// One that never accepts keeps the worker no longer than the drain timeout.
func TestSocketsNobodyAccepts(t *testing.T) {
	config := testConfig()
	config.DrainTimeout = 50 * time.Millisecond
	s := newTestSockets(t, config, listenLocal(t))
	s.Ready()
	dial(t, s.addr)
	eventually(t, "the connection to be accepted", func() bool { return s.m.Row.Accepted.Load() == 1 })
	s.order(order{})
	wantError(t, await(t, "Wait", s.wait()), "1 connections were still open")
}

// An application that closes its listener by itself ends the worker.
func TestSocketsClosedByTheApplication(t *testing.T) {
	s := newTestSockets(t, testConfig(), listenLocal(t))
	l := s.Listeners()[0]
	s.Ready()
	l.Close()
	l.Close()
	if _, err := l.Accept(); err != net.ErrClosed {
		t.Errorf("Accept: %v", err)
	}
	c := dial(t, s.addr) // accepted for nobody
	c.wantEOF()
	wantError(t, await(t, "Wait", s.wait()), "bind 0 of slot 0 is no longer served", net.ErrClosed.Error())
}

// poorListener has no descriptor for the first connections.
type poorListener struct {
	net.Listener
	failures atomic.Int32
}

func (l *poorListener) Accept() (net.Conn, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// A worker that has no descriptor free for a connection accepts it later; net/http's engine does the same.
func TestNoDescriptorFree(t *testing.T) {
	t.Parallel()
	poor := &poorListener{Listener: listenLocal(t)}
	poor.failures.Store(3)
	s := newTestSockets(t, testConfig(), poor)
	s.echo(t, s.Listeners()[0])
	s.Ready()
	c := dial(t, s.addr)
	c.wantEcho("hello")

	poor = &poorListener{Listener: listenLocal(t)}
	poor.failures.Store(3)
	w := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.listeners = []net.Listener{poor} })
	want(t, "body", dial(t, w.addr).get("/").body, "hello")
}

// The application has the connection's deadlines to itself.
func TestSocketsDeadlines(t *testing.T) {
	s := newTestSockets(t, testConfig(), listenLocal(t))
	s.Ready()
	c := dial(t, s.addr)
	nc, err := s.Listeners()[0].Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	near := time.Now().Add(30 * time.Millisecond)
	nc.SetDeadline(near)
	var timeout net.Error
	if _, err := nc.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() || time.Now().Before(near) {
		t.Errorf("read: %v", err)
	}
	nc.SetDeadline(time.Time{})
	c.send("x")
	if n, err := nc.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
}
