package fasthttpworker

import (
	"bytes"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc"
)

// A request that takes too long is answered 504 in full, and its connection is closed behind it, while its thread stays taken until
// the handler returns, in every way in which one is run.
func TestRequestTimeout(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, role, pool, head, body string }{
		{"lease", "serve", "lease", "", ""},
		{"queue", "serve", "queue", "", ""},
		{"TLS", "tls", "lease", "", ""},
		{"with a body that is streamed", "streams", "lease", "Content-Length: 5\r\n", "hello"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := spawn(t, tt.role, func(c *ipc.WorkerConfig) {
				c.Pool, c.RequestTimeout, c.LogRequests = tt.pool, 100*time.Millisecond, "text"
			})
			c := dialTo(t, m, tt.role)
			want(t, "before", c.get("/").status, 200)
			until := filepath.Join(t.TempDir(), "until")
			c.ask("POST", "/held?until="+until, tt.head, tt.body+"GET /behind HTTP/1.1\r\nHost: test\r\n\r\n")
			a := c.answer("POST")
			want(t, "status", a.status, 504)
			want(t, "body", a.body, "504 gateway timeout: the request took too long\n")
			want(t, "close", a.close, true)
			if tt.role != "tls" {
				c.wantEOF()
			}
			want(t, "busy", m.busy(), 1)
			eventually(t, "the log to be written", func() bool { return strings.Contains(m.log.String(), "request timed out") })
			if log := m.log.String(); strings.Count(log, "request timed out") != 1 || !strings.Contains(log, "path=/held") || !strings.Contains(log, "roleHandler") {
				t.Errorf("log %q, want the path, and the stack of the handler", log)
			}
			if err := os.WriteFile(until, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			m.awaitBusy(0)
			m.wantAnswers(0, 1, 0, 0, 1)
			want(t, "timed out", m.row.TimedOut.Load(), 1)
			want(t, "another request", dialTo(t, m, tt.role).get("/").status, 200)
			eventually(t, "the access log", func() bool {
				text, _ := os.ReadFile(m.accessLog)
				return bytes.Contains(text, []byte("path=/held status=504 bytes=47"))
			})
		})
	}
}

// dialTo speaks TLS if the role does.
func dialTo(t *testing.T, m *fakeMaster, role string) *client {
	c := dial(t, m)
	if role == "tls" {
		c = talk(t, tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true}))
	}
	return c
}

// What runs under the limit and keeps to it is as it was: response streams keep their thread, panics are answered, a connection can
// be taken over; and a HEAD that does not has no body.
func TestRequestTimeoutInTime(t *testing.T) {
	t.Parallel()
	m := spawn(t, "serve", func(c *ipc.WorkerConfig) { c.RequestTimeout = time.Minute })
	c := dial(t, m)
	c.ask("GET", "/produce", "", "")
	m.awaitBusy(1)
	m.open()
	want(t, "stream", c.answer("GET").body, "firstlast")
	m.awaitBusy(0)
	want(t, "panic", c.get("/panic").status, 500)
	c.wantEOF()
	c = dial(t, m)
	c.ask("GET", "/hijack", "", "")
	want(t, "taken over", c.answer("GET").status, 101)
	c.send("echo")
	echo := make([]byte, 4)
	if _, err := c.in.Read(echo); err != nil || string(echo) != "echo" {
		t.Errorf("%q, %v", echo, err)
	}
	m.awaitBusy(0)
	c = dial(t, m)
	limits := testConfig().Limits
	limits.RequestTimeout = time.Nanosecond
	m.must(m.control.Send(ipc.Message{Type: ipc.Configure, Limits: &limits}, -1))
	until := filepath.Join(t.TempDir(), "until")
	c.ask("HEAD", "/held?until="+until, "", "")
	want(t, "HEAD", c.answer("HEAD").status, 504)
	c.wantEOF()
	m.must(os.WriteFile(until, nil, 0o600))
	m.awaitBusy(0)
}

// A handler that waits for a client which is slow to send a body gets its thread back with the 504.
func TestRequestTimeoutWhileReading(t *testing.T) {
	t.Parallel()
	m := spawn(t, "streams", func(c *ipc.WorkerConfig) { c.RequestTimeout = 100 * time.Millisecond })
	c := dial(t, m)
	c.ask("POST", "/stream", "Content-Length: 200000\r\n", noise(100_000))
	want(t, "status", c.answer("POST").status, 504)
	m.awaitBusy(0)
	c.wantEOF()
	m.wantAnswers(0, 0, 0, 0, 1)
}
