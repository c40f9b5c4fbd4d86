package verify

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prefork/cluster/internal/traffic"
)

// conn is one connection of one client.
type conn struct {
	*net.TCPConn
	in      *bufio.Reader // reads through conn.Read
	number  int
	port    int
	asked   int   // requests
	pid     int   // of the last answer
	got     int64 // bytes since the last request was begun
	err     error // of the last read
	severed bool  // counted in the report
}

// connect opens a connection; if none comes about that is noted, and it is nil.
func (c *client) connect(doing string) *conn {
	began := time.Now()
	nc, err := (&net.Dialer{Deadline: began.Add(c.Timeout), KeepAlive: -1}).Dial("tcp", c.Addr)
	if err != nil {
		c.note(nil, Fault{Fate: Refused, ID: c.id(nil), Doing: doing, Lasted: time.Since(began), Err: err})
		time.Sleep(pauseAfterRefusal)
		return nil
	}
	c.conns++
	c.report.Opened++
	k := &conn{TCPConn: nc.(*net.TCPConn), number: c.conns, port: nc.LocalAddr().(*net.TCPAddr).Port}
	k.in = bufio.NewReader(k)
	return k
}

// Read reads, and keeps what a fate depends on, whatever the parser above makes of it.
func (k *conn) Read(p []byte) (int, error) {
	n, err := k.TCPConn.Read(p)
	k.got += int64(n)
	k.err = err
	return n, err
}

// id is the name of a request on a connection: always of the same length.
func (c *client) id(k *conn) string {
	if k == nil {
		return fmt.Sprintf("%04x-%06x-%06x", c.number, c.conns, 0)
	}
	return fmt.Sprintf("%04x-%06x-%06x", c.number, k.number, k.asked)
}

// note counts a fate.
func (c *client) note(k *conn, f Fault) {
	f.When = time.Now()
	if k != nil {
		f.Port, f.PID = k.port, k.pid
		if f.Fate.severed() && !k.severed {
			k.severed = true
			c.report.Severed++
			c.report.severedBy(k.pid, 1)
		}
	}
	c.report.add(f)
}

// keep is the connection that the client keeps, made sure to be open; nil if there is none to be had.
func (c *client) keep(doing string) *conn {
	if c.kept == nil {
		c.kept = c.connect(doing)
		return c.kept
	}
	if !c.silent(c.kept, doing) {
		c.kept = c.connect(doing)
	}
	return c.kept
}

// silent says whether a connection on which nothing is asked is open and has nothing to say. If not, it is closed.
func (c *client) silent(k *conn, doing string) bool {
	f := Fault{Doing: doing, ID: c.id(k)}
	peeked, err := traffic.Peek(k.TCPConn)
	switch n := k.in.Buffered(); {
	case n > 0:
		peeked, _ = k.in.Peek(min(n, 64))
		f.Fate, f.Err = Wrong, fmt.Errorf("bytes after the end of the answer: %q", peeked)
	case err != nil:
		f.Fate, f.Err = ClosedIdle, err
	case len(peeked) > 0:
		f.Fate, f.Err = Wrong, fmt.Errorf("bytes that nobody asked for: %q", peeked)
	default:
		return true
	}
	c.note(k, f)
	_ = k.Close()
	return false
}

// leave ends a connection on which nothing is asked, and makes sure that not a byte more comes on it.
func (k *conn) leave(c *client) {
	if !c.silent(k, "leaving") {
		return
	}
	_ = k.CloseWrite()
	c.untilEnd(k, "leaving")
}

// untilEnd waits for the server to close a connection, and closes it.
func (c *client) untilEnd(k *conn, doing string) {
	defer k.Close()
	began := time.Now()
	_ = k.SetDeadline(began.Add(c.Timeout))
	k.err = nil
	surplus, err := k.in.ReadByte()
	f := Fault{ID: c.id(k), Doing: doing + ", until the end", Lasted: time.Since(began), Err: err}
	switch {
	case err == nil:
		f.Fate, f.Err = Wrong, fmt.Errorf("byte %q after the end of the last answer", surplus)
	case errors.Is(err, io.EOF):
		return
	case isTimeout(err):
		f.Fate = TimedOut
	default:
		f.Fate = Truncated
	}
	c.note(k, f)
}

// head reads the head of an answer. Bytes that begin none are wrong, also when the connection fails behind them.
func (k *conn) head(method string) (*http.Response, error) {
	const beginning = "HTTP/"
	if begun, _ := k.in.Peek(len(beginning)); !strings.HasPrefix(beginning, string(begun)) {
		k.err = nil
		return nil, fmt.Errorf("%q begins no answer", begun)
	}
	return http.ReadResponse(k.in, &http.Request{Method: method})
}

// failed is the fate of a request whose answer could not be read because the parser failed with parseErr. If the connection
// failed before it, that is the reason.
func (k *conn) failed(parseErr error) (Fate, error) {
	if k.err == nil {
		return Wrong, parseErr
	}
	err := fmt.Errorf("after %d bytes: %w", k.got, k.err)
	switch {
	case isTimeout(k.err):
		return TimedOut, err
	case k.got > 0:
		return Truncated, err
	}
	return Unanswered, err
}

// unwritten is the fate of a request that was begun and could not be written to its end.
func unwritten(err error) Fate {
	if isTimeout(err) {
		return TimedOut
	}
	return Unanswered
}

// reset leaves at once: what has not arrived is lost on both sides.
func (k *conn) reset() {
	_ = k.SetLinger(0)
	_ = k.Close()
}

// isTimeout is true for a passed deadline, and for the kernel's own ETIMEDOUT.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
