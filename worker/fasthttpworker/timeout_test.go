package fasthttpworker

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc"
)

// short limits one thing, and nothing else.
func short(what string) func(*ipc.WorkerConfig) {
	return func(c *ipc.WorkerConfig) {
		switch what {
		case "head":
			c.HeadTimeout = time.Second // a handshake on a busy machine is to be in time
		case "idle":
			c.IdleTimeout = 200 * time.Millisecond
		case "body":
			c.BodyTimeout = 200 * time.Millisecond
		}
	}
}

// Each timeout ends what it is for, with an answer where there is a request, and the others do not.
func TestTimeouts(t *testing.T) {
	cases := []struct {
		name   string
		limit  string
		status int // 0: closed without an answer
		begin  func(*client)
	}{
		{"nothing said", "head", 0, func(*client) {}},
		{"half a head", "head", 408, func(c *client) { c.send("GET / HT") }},
		{"half a second head", "head", 408, func(c *client) { c.get("/"); c.send("GET / HT") }},
		{"half a pipelined head", "head", 408, func(c *client) {
			c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\nGET / HT")
			c.wantStatus(200)
		}},
		{"silence", "idle", 0, func(c *client) { c.get("/") }},
		{"half a body", "body", 408, func(c *client) { c.ask("POST", "/body", "Content-Length: 5\r\n", "he") }},
		{"no body", "body", 408, func(c *client) { c.ask("POST", "/body", "Content-Length: 5\r\n", "") }},
		{"half a second body", "body", 408, func(c *client) {
			c.get("/")
			c.ask("POST", "/body", "Transfer-Encoding: chunked\r\n", "5\r\nhe")
		}},
		{"half a body after an expectation", "body", 408, func(c *client) {
			c.ask("POST", "/body", "Expect: 100-continue\r\nContent-Length: 5\r\n", "")
			c.in.ReadString('\n')
			c.in.ReadString('\n')
			c.send("he")
		}},
		{"half a streamed body", "body", 400, func(c *client) {
			c.ask("POST", "/stream", "Content-Length: 100000\r\n", noise(90_000))
		}},
	}
	for _, role := range []string{"serve", "streams", "reduced", "tls", "tls idle"} {
		for _, limit := range []string{"head", "idle", "body"} {
			if role == "tls idle" && limit == "idle" {
				continue // its owner has set another
			}
			t.Run(role+"/"+limit, func(t *testing.T) {
				t.Parallel()
				m := spawn(t, role, short(limit))
				clients := map[string]*client{}
				for _, test := range cases {
					if test.limit == limit && (test.status != 400 || role == "streams") {
						clients[test.name] = dialRole(t, m, role)
						test.begin(clients[test.name])
					}
				}
				if limit == "head" {
					dial(t, m) // and no handshake either
				}
				for _, test := range cases {
					if c := clients[test.name]; c != nil && test.status != 0 {
						if a := c.answer("POST"); a.status != test.status {
							t.Errorf("%s: answer %d %q, want %d", test.name, a.status, a.body, test.status)
						}
					}
				}
				eventually(t, "all connections to be closed", func() bool { return m.row.Open.Load() == 0 })
				m.awaitBusy(0)
			})
		}
	}
}

// No timeout ends what it is not for: slow requests of which each part is in time, and a handler that takes long.
func TestNoTimeout(t *testing.T) {
	for _, role := range []string{"serve", "streams", "tls", "own idle"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			m := spawn(t, role, func(c *ipc.WorkerConfig) {
				c.HeadTimeout, c.IdleTimeout, c.BodyTimeout = 1500*time.Millisecond, 1500*time.Millisecond, 1500*time.Millisecond
			})
			c := dialRole(t, m, role)
			c.ask("GET", "/gate", "", "")
			began := time.Now()
			body := noise(5)
			slow := dialRole(t, m, role)
			slow.ask("POST", "/body", "Content-Length: 5\r\n", "")
			piece := time.NewTicker(700 * time.Millisecond)
			defer piece.Stop()
			for i := range body {
				<-piece.C
				slow.send(body[i : i+1])
			}
			want(t, "answer", slow.wantStatus(200).body, sizeAndSum(body))
			if took := time.Since(began); took < 3*time.Second {
				t.Fatalf("it was not slow: %v", took)
			}
			m.open()
			want(t, "answer", c.wantStatus(200).body, "opened")
			if role != "own idle" {
				want(t, "status", c.get("/").status, 200)
			}
		})
	}
}

// An owner's timeout counts where he has set one.
func TestOwnersIdleTimeout(t *testing.T) {
	t.Parallel()
	m := spawn(t, "own idle", short("head"))
	c := dial(t, m)
	began := time.Now() // earlier than the silence, of which a test on a busy machine may sleep through the beginning
	c.get("/")
	c.wantEOF()
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("closed after %v", took)
	}
	c = dial(t, m)
	c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\nGET / HT")
	c.wantStatus(200)
	c.wantStatus(408) // the head's is the cluster's still
}

func dialRole(t *testing.T, m *fakeMaster, role string) *client {
	t.Helper()
	if strings.HasPrefix(role, "tls") {
		return dialTLS(t, m)
	}
	return dial(t, m)
}

func dialTLS(t *testing.T, m *fakeMaster) *client {
	t.Helper()
	nc, err := tls.Dial("tcp", m.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if proto := nc.ConnectionState().NegotiatedProtocol; proto != "http/1.1" {
		t.Errorf("protocol %q was chosen", proto)
	}
	return talk(t, nc)
}

// Over TLS a worker does all that it does without.
func TestTLS(t *testing.T) {
	t.Parallel()
	m := spawn(t, "tls", func(c *ipc.WorkerConfig) { c.DrainIdle = time.Second })
	c, silent := dialTLS(t, m), dialTLS(t, m)
	silent.get("/")
	body := noise(300_000)
	for range 3 {
		c.ask("POST", "/body", "Content-Length: 300000\r\n", body)
		want(t, "answer", c.wantStatus(200).body, sizeAndSum(body))
	}
	want(t, "size", len(c.get("/large").body), 16<<20)
	c.ask("GET", "/panic", "", "")
	c.wantStatus(500)
	c.wantEOF()
	hijacked := dialTLS(t, m)
	hijacked.ask("GET", "/hijack", "", "")
	hijacked.in.ReadString('\n')
	m.wantAnswers(1, 5, 0, 0, 1)
	m.awaitBusy(0)
	hijacked.Close()
	m.drain()
	silent.wantEOF()
	m.wantLeave()
}
