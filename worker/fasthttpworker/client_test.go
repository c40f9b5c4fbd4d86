package fasthttpworker

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// client is one connection, and says what goes over it.
type client struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

// answer is a whole one.
type answer struct {
	status int
	body   string
	close  bool
	header http.Header
}

func dial(t *testing.T, m *fakeMaster) *client {
	t.Helper()
	nc, err := net.Dial("tcp", m.addr)
	if err != nil {
		t.Fatal(err)
	}
	return talk(t, nc)
}

func talk(t *testing.T, nc net.Conn) *client {
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return &client{Conn: nc, t: t, in: bufio.NewReader(nc)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// ask sends a request; header lines end in \r\n.
func (c *client) ask(method, path, header, body string) {
	c.t.Helper()
	c.send(method + " " + path + " HTTP/1.1\r\nHost: test\r\n" + header + "\r\n" + body)
}

func (c *client) get(path string) answer {
	c.t.Helper()
	c.ask(http.MethodGet, path, "", "")
	return c.answer(http.MethodGet)
}

// answer reads the next one.
func (c *client) answer(method string) answer {
	c.t.Helper()
	r, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatalf("answer %d, but after %d bytes: %v", r.StatusCode, len(body), err)
	}
	return answer{status: r.StatusCode, body: string(body), close: r.Close, header: r.Header}
}

// wantStatus reads the next answer, which must have this status.
func (c *client) wantStatus(status int) answer {
	c.t.Helper()
	a := c.answer(http.MethodPost)
	if a.status != status {
		c.t.Fatalf("answer %d %q, want status %d", a.status, a.body, status)
	}
	return a
}

// wantEOF checks that the worker has closed the connection, without another byte and without a reset.
func (c *client) wantEOF() {
	c.t.Helper()
	if b, err := c.in.ReadByte(); err != io.EOF {
		c.t.Errorf("read %q, %v; want the connection to be closed", b, err)
	}
}
