package fasthttpworker

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/engine"
	"github.com/prefork/cluster/worker/internal/pool"
)

// plain is a connection without a worker behind it.
type plain struct {
	net.Conn
	bind   int
	held   engine.Held
	veiled bool
}

func (c *plain) Begin()             {}
func (c *plain) End()               {}
func (c *plain) Release()           {}
func (c *plain) Veil()              { c.veiled = true }
func (c *plain) Veiled() bool       { return c.veiled }
func (c *plain) Readable() int64    { return 0 }
func (c *plain) Held() *engine.Held { return &c.held }
func (c *plain) Claim() bool        { return false }
func (c *plain) Answer([]byte)      {}
func (c *plain) Part()              {}
func (c *plain) Bind() int          { return c.bind }
func (c *plain) CloseWrite() error  { return nil }
func (c *plain) Log(*engine.Entry)  {}
func (c *plain) Buffer(bool)        {}
func (c *plain) Count() int         { return 1 }
func (c *plain) Bodied()            {}
func (c *plain) Bound() int         { return 0 }
func (c *plain) Moves() bool        { return false }

// plainListener accepts such connections.
type plainListener struct {
	net.Listener
	bind int
}

func (l plainListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &plain{Conn: nc, bind: l.bind}, nil
}

// newWorker is what an engine sees of a worker, in this process.
func newWorker(t testing.TB, binds ...ipc.Bind) *engine.Worker {
	t.Helper()
	w := &engine.Worker{Config: testConfig(), Clock: scoreboard.NewClock(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	w.Config.Binds = binds
	board := scoreboard.Private(w.Config.Threads)
	w.Row = board.Row(0)
	var cells []*scoreboard.Cell
	for i := range w.Config.Threads {
		cells = append(cells, board.Cell(0, i))
	}
	threads, err := pool.New(pool.Kind{}, cells, w.Row, w.Clock, pool.Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	w.SetPool(threads)
	w.SetLimits(w.Config.Limits)
	return w
}

// A tls bind shows the certificates that it has at the moment, and offers HTTP/1.1 only; a plain one beside it stays plain.
func TestSecureBinds(t *testing.T) {
	t.Parallel()
	w := newWorker(t, ipc.Bind{}, ipc.Bind{TLS: true}, ipc.Bind{TLS: true})
	var keys [3]atomic.Pointer[tls.Config]
	for i := 1; i < 3; i++ {
		keys[i].Store(selfSigned())
	}
	w.KeysFor = func(bind int, http2 bool) *tls.Config {
		config := keys[bind].Load().Clone()
		if !http2 {
			config.NextProtos = []string{"http/1.1"}
		}
		return config
	}
	e, err := arm(w, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		if ctx.IsTLS() {
			ctx.SetBodyString("secure")
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	var addrs []string
	for bind := range 3 {
		l := listen(t)
		addrs = append(addrs, l.Addr().String())
		go e.Serve(bind, plainListener{l, bind})
	}
	for bind, addr := range addrs {
		for round := range 2 {
			var nc net.Conn
			if bind == 0 {
				nc, err = net.Dial("tcp", addr)
			} else {
				nc, err = tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
			}
			if err != nil {
				t.Fatal(err)
			}
			c := talk(t, nc)
			want(t, "body", c.get("/").body, strings.Repeat("secure", min(bind, 1)))
			if bind == 0 {
				continue
			}
			state := nc.(*tls.Conn).ConnectionState()
			want(t, "protocol", state.NegotiatedProtocol, "http/1.1")
			shown := string(state.PeerCertificates[0].Raw)
			want(t, "the bind's own certificate", shown == string(keys[bind].Load().Certificates[0].Certificate[0]), true)
			if round == 0 {
				keys[bind].Store(selfSigned())
			}
		}
	}
}

func TestSecureBindWithoutKeys(t *testing.T) {
	t.Parallel()
	e, err := arm(newWorker(t, ipc.Bind{TLS: true}), &fasthttp.Server{Handler: func(*fasthttp.RequestCtx) {}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Serve(0, plainListener{listen(t), 0}); err == nil || !strings.Contains(err.Error(), "bind 0") {
		t.Errorf("error %v", err)
	}
}

// What a client still sends is read before the connection is closed, but not for ever.
func TestLinger(t *testing.T) {
	t.Parallel()
	for _, left := range []int{3, 1 << 30} {
		client := &script{left: left}
		c := &conn{Conn: &plain{Conn: client}, unread: true}
		c.Close()
		if left -= client.left; left < 3 || left > lingerBytes {
			t.Errorf("%d reads before the connection was closed", left)
		}
	}
}

// BenchmarkRequest is what the engine costs on top of fasthttp: requests on a connection without a network.
func BenchmarkRequest(b *testing.B) {
	answer := func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("Hello, World!") }
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		s := &fasthttp.Server{Handler: answer}
		_ = s.ServeConn(&script{left: b.N})
	})
	b.Run("engine", func(b *testing.B) {
		b.ReportAllocs()
		s := &fasthttp.Server{Handler: answer, StreamRequestBody: true}
		e, err := arm(newWorker(b), s)
		if err != nil {
			b.Fatal(err)
		}
		_ = s.ServeConn(&conn{Conn: &plain{Conn: &script{left: b.N}}, engine: e.(*fast)})
	})
}

// script is a client that asks so often and takes every answer.
type script struct {
	net.Conn
	left int
}

func (s *script) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	s.left--
	return copy(p, "GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n"), nil
}

func (s *script) Write(p []byte) (int, error)      { return len(p), nil }
func (s *script) Close() error                     { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
