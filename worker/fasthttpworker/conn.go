package fasthttpworker

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/engine"
)

// listener wraps the connections of a source.
type listener struct {
	net.Listener
	engine *fast
	secure bool
}

// Accept takes the next one.
func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc.(engine.Conn), engine: l.engine, watched: l.secure}
	if l.secure {
		c.Veil()
		c.awaitHead()
	}
	return c, nil
}

// connOf finds the connection below the one that fasthttp knows.
func connOf(nc net.Conn) *conn {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	return nc.(*conn)
}

// conn is the engine's end of a connection. It tells the worker's end where a request's head is complete, which fasthttp
// says by way of a deadline only, and it watches the timeouts where bytes mean nothing to the worker's end: under TLS.
//
// All is done by the goroutine that serves the connection.
type conn struct {
	engine.Conn
	engine *fast

	begun   bool          // the head of the running request is complete
	watched bool          // timeouts are watched here
	unread  bool          // the client may be sending what nobody will read
	entry   *engine.Entry // of the running request, for the access log; nil if there is none
	remote  string        // the client's address, once it is logged
	late    atomic.Bool   // the running request was answered 504: its handler, which is left behind, reads nothing more
	started int64         // when the handler began that has set a response stream, which holds its thread; 0: none does
}

// marks are deadlines that no clock reaches. One of them is the only thing that fasthttp passes on to the connection when
// it has read a head and is about to read the body.
type marks struct{ body, never time.Time }

const (
	century = 100 * 365 * 24 * time.Hour
	never   = 2 * century
)

func newMarks(now time.Time) marks {
	return marks{body: now.Add(century / 2), never: now.Add(century + century/2)}
}

// bodyFollows is the timeout by which the connection sees that a head is complete. With owner, the time that the server's
// owner gives the body, or 0, nothing is lost: the connection takes it out again.
func bodyFollows(owner time.Duration) time.Duration {
	if owner > 0 {
		return century + owner
	}
	return never
}

// SetReadDeadline sets what fasthttp wants, unless it is a mark.
func (c *conn) SetReadDeadline(t time.Time) error {
	if t.After(c.engine.marks.body) {
		c.begin()
		c.Bodied()
		c.engine.worker.GiveBack(c.Held()) // no thread waits for a client that is slow to send
		if t.After(c.engine.marks.never) {
			return nil
		}
		t = t.Add(-century)
	}
	if t.IsZero() && c.watched && !c.begun {
		c.awaitHead() // fasthttp takes the owner's idle timeout back, and with it the deadline of the head
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// bound is why the running request cannot be passed on to a sibling.
func (c *conn) bound() int {
	if c.Veiled() {
		return scoreboard.StayedTLS
	}
	return c.Bound()
}

// begin notes that the head is complete, once a request.
func (c *conn) begin() {
	if c.begun {
		return
	}
	c.begun = true
	c.Begin()
	if c.watched && c.engine.heads {
		c.within(0)
	}
}

// end notes that the request is over.
func (c *conn) end() {
	c.streamed()
	c.begun, c.entry = false, nil
	c.End()
	if c.watched && c.engine.idle {
		c.within(c.engine.worker.Limits().IdleTimeout)
	}
}

// awaitHead limits how long a head, or a TLS handshake, may take.
func (c *conn) awaitHead() {
	if c.watched && c.engine.heads {
		c.within(c.engine.worker.Limits().HeadTimeout)
	}
}

// within limits what is read next; 0: it does not.
func (c *conn) within(d time.Duration) {
	var deadline time.Time
	if d > 0 {
		deadline = time.Now().Add(d)
	}
	_ = c.Conn.SetReadDeadline(deadline)
}

// Read reads. Where nobody else does it limits how long each read of a body may take.
func (c *conn) Read(p []byte) (int, error) {
	if c.watched && c.begun && c.engine.heads {
		c.within(c.engine.worker.Limits().BodyTimeout)
	}
	if c.late.Load() { // after the deadline was set: so it is the last one
		return 0, os.ErrDeadlineExceeded
	}
	return c.Conn.Read(p)
}

// ReadFrom lets the kernel copy files (sendfile).
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if to, ok := c.Conn.(io.ReaderFrom); ok {
		return to.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// stream keeps the thread of a handler that began at started, for the response stream that it has set.
func (c *conn) stream(started int64) {
	c.started = started
	c.Buffer(true)
}

// streamed gives the thread back that was kept for a response stream.
func (c *conn) streamed() {
	if c.started == 0 {
		return
	}
	c.engine.worker.End(c.Held(), c.started, c.entry)
	c.started = 0
	c.Buffer(false) // after the thread was given back: it waits for the client
}

// log begins the line of a request in the access log, if there is one.
func (c *conn) log(method, path string) {
	if l := c.engine.worker.Requests; l != nil {
		if c.remote == "" {
			c.remote = c.RemoteAddr().String()
		}
		c.entry = l.Begin(method, path, c.remote)
		c.Log(c.entry)
	}
}

// answered notes in the line what became of the request.
func (c *conn) answered(status, bytes int) {
	if c.entry != nil {
		c.entry.Status.Store(int32(status))
		c.entry.Bytes.Store(int64(bytes))
	}
}

// leave hands the connection to the application.
func (c *conn) leave() {
	c.watched = false
	c.Release()
}

const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// Close closes the connection. A client that still sends gets a moment to see the answer: the reset that a close is then
// would destroy it on its way.
func (c *conn) Close() error {
	c.streamed()
	if c.unread {
		c.unread = false
		_ = c.CloseWrite()
		_ = c.Conn.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.Copy(io.Discard, io.LimitReader(c.Conn, lingerBytes))
	}
	return c.Conn.Close()
}
