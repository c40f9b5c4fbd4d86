package traffic

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const maxBody = 64 << 10 // how much of a body an Answer has

// connection is one connection of one client, with one request on it at a time.
type connection struct {
	number   int
	once     bool // one request only, to the end of the stream
	conn     net.Conn
	socket   net.Conn // below TLS; else the same
	in       wire
	buffered *bufio.Reader // reads in
	port     int
	asked    int       // requests
	deadline time.Time // of the last one
}

// wire reads from the connection and keeps what an outcome depends on, whatever the parser above makes of it.
type wire struct {
	conn net.Conn
	n    int64 // bytes since the request was begun
	err  error // the last
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.conn.Read(p)
	w.n += int64(n)
	w.err = err
	return n, err
}

// connect returns when the handshake is over, if there is one.
func (c *Clients) connect(deadline time.Time) (*connection, error) {
	dialer := net.Dialer{Deadline: deadline, KeepAlive: -1}
	socket, err := dialer.Dial(cmp.Or(c.Network, "tcp"), c.Addr)
	if err != nil {
		return nil, err
	}
	made := &connection{conn: socket, socket: socket}
	if local, ok := socket.LocalAddr().(*net.TCPAddr); ok {
		made.port = local.Port
	}
	if c.TLS != nil {
		secure := tls.Client(socket, c.TLS)
		_ = secure.SetDeadline(deadline)
		if err := secure.Handshake(); err != nil {
			socket.Close()
			return nil, fmt.Errorf("handshake: %w", err)
		}
		made.conn = secure
	}
	return made.begin(), nil
}

func (c *connection) begin() *connection {
	c.in.conn = c.conn
	c.buffered = bufio.NewReader(&c.in)
	return c
}

func (c *connection) close() { _ = c.conn.Close() }

// keep returns the connection if it can take another request after this answer, else closes it and returns nil.
func (c *connection) keep(a Answer) *connection {
	if c.once || (a.Outcome != OK && a.Outcome != Error5xx) {
		c.close()
		return nil
	}
	return c
}

// ask makes a request, which began at started (before connecting, if it is the first).
func (c *connection) ask(text []byte, started time.Time, timeout time.Duration) Answer {
	c.asked++
	a := Answer{
		Conn: c.number, Port: c.port, Request: c.asked, First: c.asked == 1,
		Started: started,
	}
	c.deadline = started.Add(timeout)
	_ = c.conn.SetDeadline(c.deadline) // fails only on a closed connection, which writing will tell
	a.Outcome, a.Err = c.exchange(text, &a)
	a.Ended = time.Now()
	return a
}

func (c *connection) exchange(text []byte, a *Answer) (Outcome, error) {
	c.in.n, c.in.err = 0, nil
	if !a.First {
		if outcome, err := c.look(); err != nil {
			return outcome, err
		}
	}
	n, err := c.conn.Write(text)
	if err != nil {
		switch {
		case isTimeout(err):
			return Timeout, err
		case n == 0 && !a.First: // reset after the look, and still before the first byte
			return ClosedIdle, err
		}
		return Reset, err
	}
	return c.read(a)
}

// look finds out, without waiting and without taking anything, whether an idle connection can still be used.
func (c *connection) look() (Outcome, error) {
	peeked, err := Peek(c.socket.(syscall.Conn))
	switch {
	case errors.Is(err, io.EOF):
		return ClosedIdle, errors.New("idle connection closed by the server")
	case err != nil:
		return ClosedIdle, fmt.Errorf("idle connection: %w", err)
	case len(peeked) == 0:
		return OK, nil
	case c.conn != c.socket:
		return c.lookInside()
	}
	return Garbled, fmt.Errorf("bytes that nobody asked for: %q", peeked)
}

// Peek looks at what lies unread in a socket, at most 64 bytes of it, without waiting and without taking anything. It is
// nothing and no error if the connection is open and silent, and io.EOF at the end of the stream.
func Peek(socket syscall.Conn) ([]byte, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	var (
		n       int
		peeked  [64]byte
		peekErr error
	)
	err = raw.Control(func(fd uintptr) {
		for {
			n, _, peekErr = unix.Recvfrom(int(fd), peeked[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
			if !errors.Is(peekErr, unix.EINTR) {
				return
			}
		}
	})
	switch {
	case err != nil:
		return nil, err
	case errors.Is(peekErr, unix.EAGAIN):
		return nil, nil
	case peekErr != nil:
		return nil, peekErr
	case n == 0:
		return nil, io.EOF
	}
	return peeked[:n], nil
}

// insideWait is how long a record takes that has begun to arrive.
const insideWait = 50 * time.Millisecond

// lookInside finds out what a TLS record is that nobody asked for: the end of the stream, a session ticket, or a mistake.
func (c *connection) lookInside() (Outcome, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(insideWait))
	defer func() { _ = c.conn.SetReadDeadline(c.deadline) }()
	var b [1]byte
	_, err := c.conn.Read(b[:])
	switch {
	case err == nil:
		return Garbled, fmt.Errorf("byte that nobody asked for: %q", b)
	case isTimeout(err):
		return OK, nil
	}
	return ClosedIdle, fmt.Errorf("idle connection: %w", err)
}

// read takes the answer to a request that was written.
func (c *connection) read(a *Answer) (Outcome, error) {
	answer, err := c.head()
	if err != nil {
		return c.failed(err)
	}
	defer answer.Body.Close()
	a.Status = answer.StatusCode
	if a.Body, err = io.ReadAll(io.LimitReader(answer.Body, maxBody)); err == nil {
		_, err = io.Copy(io.Discard, answer.Body)
	}
	if err != nil {
		return c.failed(err)
	}
	if n := c.buffered.Buffered(); n > 0 {
		surplus, _ := c.buffered.Peek(min(n, 64))
		return Garbled, fmt.Errorf("bytes after the end of the answer: %q", surplus)
	}
	if c.once {
		if outcome, err := c.end(); err != nil {
			return outcome, err
		}
	}
	c.once = c.once || answer.Close
	if a.Status >= 500 {
		return Error5xx, nil
	}
	return OK, nil
}

// head reads up to the head of the final answer, past interim ones such as 103 Early Hints.
func (c *connection) head() (*http.Response, error) {
	for {
		answer, err := http.ReadResponse(c.buffered, &http.Request{Method: http.MethodGet})
		if err != nil || answer.StatusCode >= 200 {
			return answer, err
		}
		if answer.StatusCode == http.StatusSwitchingProtocols {
			return nil, errors.New("switching protocols, which nobody asked for")
		}
	}
}

// end reads to the end of the stream, which must follow a whole answer.
func (c *connection) end() (Outcome, error) {
	extra, err := c.buffered.ReadByte()
	switch {
	case err == nil:
		return Garbled, fmt.Errorf("byte %q after the end of the answer", extra)
	case errors.Is(err, io.EOF):
		return OK, nil
	case isTimeout(err):
		return Timeout, fmt.Errorf("whole answer, but the connection was not closed: %w", err)
	}
	return Reset, fmt.Errorf("whole answer, then: %w", err)
}

// failed is the outcome of a request whose answer could not be read, because the parser failed with parseErr. If the
// connection failed before it, that is the reason: at the end of the stream the parser complains of half a line.
func (c *connection) failed(parseErr error) (Outcome, error) {
	if c.in.err == nil {
		return Garbled, parseErr
	}
	err := fmt.Errorf("after %d bytes: %w", c.in.n, c.in.err)
	switch {
	case isTimeout(c.in.err):
		return Timeout, err
	case c.in.n > 0:
		return Truncated, err
	case errors.Is(c.in.err, io.EOF):
		return Empty, err
	}
	return Reset, err
}

// isTimeout is true for a passed deadline, and for the kernel's own ETIMEDOUT.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
