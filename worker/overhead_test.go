package worker

import (
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/worker/internal/nethttp"
)

// endless is a connection without a network: it brings the same request again and again, and what is written goes to
// /dev/null. What a request costs on it is what the programs cost, and one cheap system call a write.
type endless struct {
	net.Conn // nil: what is not below is not called
	null     *os.File
	request  []byte
	left     int
	ended    chan struct{}
	mu       sync.Mutex
	woken    *sync.Cond
	past     bool
}

func newEndless(b *testing.B, requests int) *endless {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { null.Close() })
	e := &endless{null: null, request: []byte("GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n"), left: requests, ended: make(chan struct{})}
	e.woken = sync.NewCond(&e.mu)
	return e
}

func (e *endless) Read(p []byte) (int, error) {
	if len(p) == 1 { // net/http watches for the client's disappearance
		e.mu.Lock()
		defer e.mu.Unlock()
		for !e.past {
			e.woken.Wait()
		}
		return 0, os.ErrDeadlineExceeded
	}
	if e.left == 0 {
		return 0, io.EOF
	}
	e.left--
	return copy(p, e.request), nil
}

func (e *endless) Write(p []byte) (int, error)           { return e.null.Write(p) }
func (e *endless) SyscallConn() (syscall.RawConn, error) { return e.null.SyscallConn() }
func (e *endless) Close() error                          { close(e.ended); return nil }
func (e *endless) LocalAddr() net.Addr                   { return &net.TCPAddr{} }
func (e *endless) RemoteAddr() net.Addr                  { return &net.TCPAddr{} }

func (e *endless) SetReadDeadline(t time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.past = !t.IsZero() && t.Before(time.Now()); e.past {
		e.woken.Broadcast()
	}
	return nil
}
func (e *endless) SetWriteDeadline(time.Time) error { return nil }
func (e *endless) SetDeadline(t time.Time) error    { return e.SetReadDeadline(t) }

// one is a listener that brings one connection.
type one struct {
	net.Listener
	conns chan net.Conn
}

func (l one) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l one) Close() error   { return nil }
func (l one) Addr() net.Addr { return &net.TCPAddr{} }

// BenchmarkRequest compares a request through the library, with its buffers, with one on bare net/http, in the programs alone.
func BenchmarkRequest(b *testing.B) {
	for name, answer := range map[string][]byte{"": []byte("Hello, World!"), " 10k": make([]byte, 10<<10)} {
		handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(answer) })
		b.Run("bare"+name, func(b *testing.B) {
			b.ReportAllocs()
			c := newEndless(b, b.N)
			l := one{conns: make(chan net.Conn, 1)}
			l.conns <- c
			go func() { _ = (&http.Server{Handler: handler}).Serve(l) }()
			<-c.ended
			close(l.conns)
		})
		for part, log := range map[string]bool{"library": false, "library with access log": true} {
			b.Run(part+name, func(b *testing.B) {
				b.ReportAllocs()
				s := &setup{config: testConfig()}
				buffered(s)
				m := newTestMember(s.config)
				if log {
					logRequestsTo(b, m, os.DevNull, "text")
				}
				m.coarse.Store(m.Clock.Now())
				e := nethttp.New(&m.Worker, &http.Server{Handler: handler})
				c := newEndless(b, b.N)
				l := one{conns: make(chan net.Conn, 1)}
				l.conns <- m.admit(c, 0)
				go func() { _ = e.Serve(0, l) }()
				<-c.ended
				close(l.conns)
				if n := m.Row.Total(); n != int64(b.N) {
					b.Fatalf("%d answers counted, want %d", n, b.N)
				}
			})
		}
	}
}
