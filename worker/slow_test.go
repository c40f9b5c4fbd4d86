package worker

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const bufferSize = 64 << 10

// buffered is what a test of slow clients changes: the buffers and timeouts of a server in production.
func buffered(s *setup) {
	s.config.BufferBody, s.config.BufferResponse = bufferSize, bufferSize
	s.config.BodyTimeout = time.Minute
}

// tightListener gives each connection the smallest send buffer that there is.
type tightListener struct{ *net.TCPListener }

func (l tightListener) Accept() (net.Conn, error) {
	nc, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return nc, nc.SetWriteBuffer(1)
}

// tight is a worker and its clients between which the kernel keeps next to nothing.
func tight(t *testing.T) func(*setup) {
	return func(s *setup) { s.listeners = []net.Listener{tightListener{listenLocal(t).(*net.TCPListener)}} }
}

// smallReceiveBuffer leaves room for a few segments. The smallest buffer that there is has no room for one: then the sender
// fills it only when its persist timer fires, five times a second at most (RFC 9293, 3.8.6.2.1).
func smallReceiveBuffer(_, _ string, raw syscall.RawConn) error {
	var set error
	err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10) })
	if err != nil {
		return err
	}
	return set
}

// dialTight is dial for a client that takes next to nothing before it reads.
func dialTight(t *testing.T, addr string) *client {
	t.Helper()
	nc, err := (&net.Dialer{Control: smallReceiveBuffer}).Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(2 * patience))
	return &client{TCPConn: nc.(*net.TCPConn), t: t, in: bufio.NewReader(nc)}
}

// countConns counts the connections that are in a state.
func (m *member) countConns(in func(*conn) bool) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.conns {
		if in(c) {
			n++
		}
	}
	return n
}

// bufferedBytes is how much of a response waits for the client.
func (c *conn) bufferedBytes() int {
	o := c.pending.Load()
	if o == nil {
		return 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size
}

// However many clients are slow, and with what: no thread waits for them, and others are served at once.
func TestSlowClientsHoldNoThread(t *testing.T) {
	t.Parallel()
	const clients, size = 200, 60 << 10
	big := pattern(size)
	handler := func(returned *atomic.Int64) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/big":
				defer returned.Add(1)
				w.Header().Set("Content-Length", fmt.Sprint(size))
				w.Write(big)
			case "/body":
				io.Copy(w, r.Body)
			default:
				hello(w, r)
			}
		}
	}
	half := strings.Repeat("x", 30<<10)
	for _, test := range []struct {
		name  string
		first string                                  // what is sent
		stuck func(w *testWorker, returned int64) int // how many of the clients the worker has come to wait for
		rest  string
		body  string
	}{
		{
			"head", "GET / HTTP/1.1\r\nHost: te", func(w *testWorker, _ int64) int {
				return w.countConns(func(c *conn) bool { return c.phase.Load() == phaseIdle && c.readable.Load() != 0 })
			}, "st\r\n\r\n", "hello",
		},
		{
			"body", "POST /body HTTP/1.1\r\nHost: test\r\nContent-Length: 61440\r\n\r\n" + half, func(w *testWorker, _ int64) int {
				return w.countConns(func(c *conn) bool { return c.bodySince.Load() != 0 })
			}, half, half + half,
		},
		{"response", "GET /big HTTP/1.1\r\nHost: test\r\n\r\n", func(_ *testWorker, returned int64) int { return int(returned) }, "", string(big)},
	} {
		for _, pool := range []string{"lease", "queue", "lanes"} {
			t.Run(test.name+" "+pool, func(t *testing.T) {
				t.Parallel()
				var returned atomic.Int64
				w := startWorker(t, handler(&returned), buffered, tight(t), func(s *setup) { s.config.Pool, s.config.QueueDepth = pool, clients })
				slow := make([]*client, clients)
				for i := range slow {
					slow[i] = dialTight(t, w.addr)
					slow[i].send(test.first)
				}
				eventually(t, "the worker to wait for all of them", func() bool { return test.stuck(w, returned.Load()) == clients })
				eventually(t, "the threads to be free", func() bool { return w.board.Busy(0) == 0 })
				var worst time.Duration
				other := dial(t, w.addr)
				for range 100 {
					started := time.Now()
					want(t, "another's answer", other.get("/").body, "hello")
					worst = max(worst, time.Since(started))
				}
				if worst > 2*time.Second {
					t.Errorf("others waited for up to %v", worst)
				}
				want(t, "requests that wait", w.Row.Waiting.Load(), 0)
				for _, c := range slow {
					c.send(test.rest)
				}
				for i, c := range slow {
					if a := c.answer("GET"); a.body != test.body {
						t.Fatalf("client %d was answered %d with %d bytes, which are not the %d wanted", i, a.status, len(a.body), len(test.body))
					}
				}
				want(t, "refused", w.Row.Refused.Load(), 0)
			})
		}
	}
}
