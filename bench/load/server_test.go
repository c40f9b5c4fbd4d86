package load

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

type counts = map[string]int64

// server does what a test wants with each request.
type server struct {
	addr     string
	requests atomic.Int64 // read
	conns    atomic.Int64 // accepted
}

// exchange is one request on its connection. The functions of it end the connection or do not, as they say.
type exchange struct {
	net.Conn
	*http.Request
	n      int64 // of the server's requests, from 1
	onConn int   // of this connection's, from 1
}

func (e *exchange) say(text string) { _, _ = io.WriteString(e.Conn, text) }

func (e *exchange) reset() {
	_ = e.Conn.(*net.TCPConn).SetLinger(0)
	_ = e.Conn.Close()
}

// serve starts a server on 127.0.0.1, or on a unix socket. It reads each request whole, with its body unless handle is to
// do that, and closes the connection when handle returns false.
func serve(t *testing.T, network string, readBody bool, handle func(e *exchange) (goOn bool)) *server {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(t.TempDir(), "s")
	}
	listener, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: listener.Addr().String()}
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		conns = map[net.Conn]bool{}
	)
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			mu.Lock()
			conns[conn] = true
			mu.Unlock()
			all.Go(func() {
				s.serve(conn, readBody, handle)
				_ = conn.Close()
				mu.Lock()
				delete(conns, conn)
				mu.Unlock()
			})
		}
	})
	return s
}

func (s *server) serve(conn net.Conn, readBody bool, handle func(e *exchange) bool) {
	in := bufio.NewReader(conn)
	for n := 1; ; n++ {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if readBody {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
		}
		if !handle(&exchange{Conn: conn, Request: r, n: s.requests.Add(1), onConn: n}) {
			return
		}
	}
}

// answer is a whole answer with the given fields in its head.
func answer(status int, body string, fields ...string) string {
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n", status, http.StatusText(status), len(body))
	for _, field := range fields {
		head += field + "\r\n"
	}
	return head + "\r\n" + body
}

// fine answers every request.
func fine(e *exchange) bool {
	e.say(answer(200, "Hello, World!"))
	return true
}
