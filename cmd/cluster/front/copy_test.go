package front

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
)

// copied is a front that copies requests to servers of this test, one a slot.
type copied struct {
	*copier
	t    *testing.T
	addr string
}

func startCopied(t *testing.T, slots ...http.HandlerFunc) *copied {
	t.Helper()
	folder, err := os.MkdirTemp("/tmp", "cl") // those of t.TempDir have paths that are too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	stand := newStand(t, 2*len(slots))
	for i, handler := range slots {
		l, err := net.Listen("unix", ipc.SlotSocket(folder, i))
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: handler}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { server.Close() })
		stand.board.Row(2*i + 1).State.Store(scoreboard.StateBoot)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd *ipc.FD
	if controlErr := raw.Control(func(n uintptr) { fd, err = ipc.Duplicate(int(n)) }); controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
	h := &ipc.Handover{Binds: []*ipc.FD{fd}, Config: ipc.WorkerConfig{Limits: ipc.Limits{DrainIdle: time.Minute, IdleTimeout: time.Minute}}}
	c := newCopier(h, stand.board, folder, slog.New(slog.DiscardHandler)).(*copier)
	if err := c.serve(); err != nil {
		t.Fatal(err)
	}
	return &copied{copier: c, t: t, addr: l.Addr().String()}
}

// ask asks on a connection of the test.
func (c *copied) ask(nc net.Conn, path string) (*http.Response, string) {
	c.t.Helper()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(nc, "GET "+path+" HTTP/1.1\r\nHost: example.test\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"); err != nil {
		c.t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer, string(body)
}

func (c *copied) dial() net.Conn {
	c.t.Helper()
	nc, err := net.Dial("tcp", c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { nc.Close() })
	return nc
}

// A worker sees the request as it came, and where from; the client the answer, with its status.
func TestCopy(t *testing.T) {
	t.Parallel()
	c := startCopied(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, r.Host, " ", r.RequestURI, " ", r.Header.Get("X-Forwarded-For"))
	})
	answer, body := c.ask(c.dial(), "/a?b=c")
	if answer.StatusCode != http.StatusTeapot || body != "example.test /a?b=c 127.0.0.1" {
		t.Errorf("%d %q", answer.StatusCode, body)
	}
}

// Requests go where the fewest run, and wait while no worker is ready.
func TestCopyChooses(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan int), make(chan struct{})
	handler := func(slot int) http.HandlerFunc {
		return func(http.ResponseWriter, *http.Request) { entered <- slot; <-leave }
	}
	c := startCopied(t, handler(0), handler(1), handler(2))
	rows := func(state int64) {
		for _, s := range c.slots {
			s.rows[0].State.Store(state)
		}
	}
	rows(scoreboard.StateDraining)
	done := make(chan int)
	for range 6 {
		nc := c.dial()
		go func() {
			answer, _ := c.ask(nc, "/")
			done <- answer.StatusCode
		}()
	}
	select {
	case slot := <-entered:
		t.Errorf("slot %d got a request, and nobody was ready", slot)
	case <-time.After(5 * retryPause):
	}
	rows(scoreboard.StateReady)
	got := map[int]int{}
	for range 6 {
		got[<-entered]++
	}
	if got[0] != 2 || got[1] != 2 || got[2] != 2 {
		t.Errorf("requests by slot: %v", got)
	}
	close(leave)
	for range 6 {
		if status := <-done; status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	if !until(t.Context(), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.slots[0].running+c.slots[1].running+c.slots[2].running == 0
	}) {
		t.Error("requests are counted that have ended")
	}
}

// A worker that hangs up before it has answered costs its client the request, not the connection.
func TestCopyFails(t *testing.T) {
	t.Parallel()
	c := startCopied(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/dies" {
			panic(http.ErrAbortHandler)
		}
	})
	nc := c.dial()
	for path, want := range map[string]int{"/dies": http.StatusBadGateway, "/": http.StatusOK} {
		if answer, _ := c.ask(nc, path); answer.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, answer.StatusCode, want)
		}
	}
}

// A front that leaves answers with Connection: close, also a client that has been silent, and then takes no more.
func TestCopyDrains(t *testing.T) {
	t.Parallel()
	c := startCopied(t, func(http.ResponseWriter, *http.Request) {})
	silent := c.dial()
	if answer, _ := c.ask(silent, "/"); answer.Close {
		t.Error("closed without a reason")
	}
	drained := make(chan struct{})
	go func() {
		c.drain(context.Background())
		close(drained)
	}()
	until(t.Context(), c.draining.Load)
	if answer, _ := c.ask(silent, "/"); !answer.Close {
		t.Error("a front that leaves keeps the connection")
	}
	select {
	case <-drained:
	case <-time.After(20 * time.Second):
		t.Error("it waits for a connection that is closed")
	}
}

// When a worker serves no more, the idle connections to it are closed: it waits for them.
func TestCopyLetsGo(t *testing.T) {
	t.Parallel()
	c := startCopied(t, func(http.ResponseWriter, *http.Request) {})
	closed := make(chan struct{})
	dial := c.slots[0].kept.DialContext
	c.slots[0].kept.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := dial(ctx, network, address)
		return watched{nc, closed}, err
	}
	c.ask(c.dial(), "/")
	select {
	case <-closed:
		t.Error("closed while the worker was ready")
	default:
	}
	c.slots[0].rows[0].State.Store(scoreboard.StateDraining)
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Error("an idle connection to a worker that drains stays open")
	}
}

// watched tells when it is closed.
type watched struct {
	net.Conn
	closed chan struct{}
}

func (w watched) Close() error {
	close(w.closed)
	return w.Conn.Close()
}
