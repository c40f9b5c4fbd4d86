package fasthttpworker

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc"
)

// pause is how long a handler takes, or lets others wait, where the log must say so.
const pause = 50 * time.Millisecond

func logging(c *ipc.WorkerConfig) { c.LogRequests = "json" }

// logLine is a line of the access log.
type logLine struct {
	Method, Path     string
	Status           int
	Bytes            int64
	Duration         float64 `json:"duration_seconds"`
	Wait             float64 `json:"wait_seconds"`
	GC               float64 `json:"gc_seconds"`
	Slot, Generation int
	Remote           string
}

// told is what of a line can be told beforehand.
type told struct {
	method, path string
	status       int
	bytes        int64
}

func (l logLine) told() told { return told{l.Method, l.Path, l.Status, l.Bytes} }

// logged is the access log so far.
func (m *fakeMaster) logged() (all []logLine) {
	m.t.Helper()
	text, err := os.ReadFile(m.accessLog)
	m.must(err)
	for line := range strings.Lines(string(text)) {
		var l logLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			m.t.Fatalf("line %q: %v", line, err)
		}
		if l.Slot != 1 || l.Generation != 7 || !strings.HasPrefix(l.Remote, "127.0.0.1:") || l.Duration < 0 || l.Wait < 0 {
			m.t.Errorf("line %q", line)
		}
		all = append(all, l)
	}
	return all
}

// wantLogged waits for as many lines and compares them.
func (m *fakeMaster) wantLogged(wanted ...told) []logLine {
	m.t.Helper()
	eventually(m.t, "the access log", func() bool { return len(m.logged()) >= len(wanted) })
	lines := m.logged()
	for i, l := range lines {
		if i >= len(wanted) {
			m.t.Errorf("one line too many: %+v", l)
		} else {
			want(m.t, "line", l.told(), wanted[i])
		}
	}
	return lines
}

// One line for each request of a connection, with what the client got.
func TestAccessLog(t *testing.T) {
	for _, role := range []string{"serve", "streams", "tls"} {
		for _, pool := range []string{"lease", "queue", "lanes"} {
			t.Run(role+" "+pool, func(t *testing.T) {
				t.Parallel()
				m := spawn(t, role, logging, func(c *ipc.WorkerConfig) { c.Pool = pool })
				c := dial(t, m)
				if role == "tls" {
					c = dialTLS(t, m)
				}
				var wanted []told
				for _, line := range []told{
					{"GET", "/limited", 200, 1000},
					{"HEAD", "/limited", 200, 0},
					{"GET", "/closed", 200, 5},
					{"GET", "/status", 200, 0},
					{"GET", "/status/204", 204, 0},
					{"DELETE", "/ignore", 200, 12},
					{"HEAD", "/ignore", 200, 0},
					{"GET", "/file", 200, 500_000},
				} {
					path, code, _ := strings.Cut(line.path[1:], "/")
					line.path = "/" + path
					c.ask(line.method, "/"+path+"?secret&code="+cmp.Or(code, "200"), "", "")
					want(t, "status", c.answer(line.method).status, line.status)
					wanted = append(wanted, line)
				}
				c.ask("GET", "/produce", "", "")
				m.open()
				want(t, "body", c.wantStatus(200).body, "firstlast")
				c.ask("POST", "/ignore", "Expect: 100-continue\r\nContent-Length: 3\r\n", "")
				want(t, "status", c.answer("POST").status, http.StatusContinue)
				c.send("abc")
				c.wantStatus(200)
				one := "GET /closed HTTP/1.1\r\nHost: test\r\n\r\n"
				c.send(one + one + one + "GET /ignore HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
				for range 4 {
					c.wantStatus(200)
				}
				c.wantEOF()
				wanted = append(wanted, told{"GET", "/produce", 200, 9}, told{"POST", "/ignore", 200, 12},
					told{"GET", "/closed", 200, 5}, told{"GET", "/closed", 200, 5}, told{"GET", "/closed", 200, 5}, told{"GET", "/ignore", 200, 12})
				m.wantLogged(wanted...)
				want(t, "counted answers", m.row.Total(), int64(len(wanted)))
				for what, times := range map[string]int{"closed\"": 4, "closed with <nil>": 4} {
					eventually(t, what, func() bool { return strings.Count(m.log.String(), what) >= times })
					want(t, what, strings.Count(m.log.String(), what), times)
				}
			})
		}
	}
}

func TestAccessLogDurations(t *testing.T) {
	t.Parallel()
	m := spawn(t, "serve", logging, func(c *ipc.WorkerConfig) { c.Threads = 1 })
	c := dial(t, m)
	c.get("/slow")
	c.ask("GET", "/gate", "", "")
	m.awaitBusy(1)
	waiting := dial(t, m)
	waiting.ask("GET", "/ignore", "", "")
	eventually(t, "the other one to wait", func() bool { return m.row.Waiting.Load() == 1 })
	<-time.After(pause)
	m.open()
	c.wantStatus(200)
	waiting.wantStatus(200)
	eventually(t, "the access log", func() bool { return len(m.logged()) == 3 })
	for _, l := range m.logged() {
		switch l.Path {
		case "/slow":
			if l.Duration < pause.Seconds() || l.Wait >= pause.Seconds() {
				t.Errorf("a handler that takes %v: %+v", pause, l)
			}
		case "/ignore":
			if l.Wait < pause.Seconds() || l.Duration >= l.Wait {
				t.Errorf("a request that waits for %v: %+v", pause, l)
			}
		}
	}
	eventually(t, "a request with a collection", func() bool { // the clock moves some time after one
		c.get("/gc")
		lines := m.logged()
		return lines[len(lines)-1].GC > 0
	})
}

// What no handler has answered, or none could.
func TestAccessLogOfFailures(t *testing.T) {
	for _, x := range []struct {
		name, role, text string
		status           int
		want             told
	}{
		{"a panic", "serve", "GET /panic HTTP/1.1\r\nHost: test\r\n\r\n", 500, told{"GET", "/panic", 500, 26}},
		{"a panic, of HEAD", "serve", "HEAD /panic HTTP/1.1\r\nHost: test\r\n\r\n", 500, told{"HEAD", "/panic", 500, 0}},
		{"a timeout", "serve", "GET /late HTTP/1.1\r\nHost: test\r\n\r\n", 408, told{"GET", "/late", 408, 8}},
		{"no HTTP", "serve", "this is not HTTP\r\n\r\n", 400, told{"", "", 400, 26}},
		{"a head that is too large", "serve", "GET / HTTP/1.1\r\nLong: " + strings.Repeat("x", headRoom) + "\r\n\r\n", 431, told{"", "", 431, 22}},
		{"a body that is too large", "serve", "POST /body HTTP/1.1\r\nHost: test\r\nContent-Length: 2000\r\n\r\n", 413, told{"", "", 413, 20}},
		{"a body that is too large, as a stream", "streams", "POST /stream HTTP/1.1\r\nHost: test\r\nContent-Length: 2000\r\n\r\n" + strings.Repeat("x", 2000), 413, told{"POST", "/stream", 413, 20}},
		{"a body that is not asked for", "serve", "POST /body HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n", 413, told{"POST", "/body", 413, 0}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			m := spawn(t, x.role, logging, func(c *ipc.WorkerConfig) { c.MaxBody = 1000 })
			c := dial(t, m)
			c.send(x.text)
			method, _, _ := strings.Cut(x.text, " ")
			want(t, "status", c.answer(method).status, x.status)
			if x.status == http.StatusRequestTimeout {
				m.open()
			}
			c.Close()
			eventually(t, "the connection to be closed", func() bool { return m.row.Open.Load() == 0 })
			m.wantLogged(x.want)
			want(t, "counted answers", m.row.Total(), 1)
		})
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		m := spawn(t, "serve", logging, func(c *ipc.WorkerConfig) { c.Threads, c.QueueTimeout = 1, pause })
		running := dial(t, m)
		running.ask("GET", "/gate", "", "")
		m.awaitBusy(1)
		a := dial(t, m).get("/ignore")
		lines := m.wantLogged(told{"GET", "/ignore", 503, int64(len(a.body))})
		if l := lines[0]; l.Wait < pause.Seconds() || l.Duration != 0 {
			t.Errorf("refused after %v: %+v", pause, l)
		}
		m.open()
		running.wantStatus(200)
	})
	t.Run("the client leaves", func(t *testing.T) {
		t.Parallel()
		m := spawn(t, "serve", logging)
		c := dial(t, m)
		c.ask("GET", "/endless", "", "")
		if _, err := c.in.ReadString('t'); err != nil {
			t.Fatal(err)
		}
		c.Close()
		eventually(t, "the line", func() bool { return len(m.logged()) == 1 })
		if l := m.logged()[0]; l.Path != "/endless" || l.Status != 200 || l.Bytes == 0 || l.Duration <= 0 {
			t.Errorf("%+v", l)
		}
	})
	t.Run("taken over", func(t *testing.T) {
		t.Parallel()
		m := spawn(t, "serve", logging)
		c := dial(t, m)
		c.ask("GET", "/hijack", "", "")
		m.wantLogged(told{"GET", "/hijack", 101, 0})
		c.Close()
		m.drain()
		m.wantLeave()
		want(t, "lines", len(m.logged()), 1)
	})
}

// Handlers that the drain timeout leaves behind have a line that says how far they came.
func TestAccessLogOfDrainTimeout(t *testing.T) {
	t.Parallel()
	m := spawn(t, "serve", logging, func(c *ipc.WorkerConfig) { c.DrainTimeout = pause })
	c := dial(t, m)
	c.ask("GET", "/gate", "", "")
	m.awaitBusy(1)
	m.drain()
	m.want(ipc.Bye)
	m.wantExit(1)
	lines := m.wantLogged(told{"GET", "/gate", 0, 0})
	if lines[0].Duration <= 0 {
		t.Errorf("%+v: it has run", lines[0])
	}
}

// What a client sends never reaches the log as it is.
func TestAccessLogEscapes(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			m := spawn(t, "serve", func(c *ipc.WorkerConfig) { c.LogRequests = format })
			c := dial(t, m)
			paths := []string{"/%0a%0dforged", "/%1b[31m", `/"quoted"`, "/%ff%fe", "/%e2%80%ae", "/\xff\x80", "/" + strings.Repeat("%0a", 2000)}
			for _, path := range paths {
				c.get(path)
			}
			for _, bad := range []string{"G\x1bT / HTTP/1.1\r\nHost: test\r\n\r\n", "G\"T\x00 / HTTP/1.1\r\nHost: test\r\n\r\n", "GET /\x1b[0m HTTP/1.1\r\nHost: test\r\n\r\n"} {
				other := dial(t, m)
				other.send(bad)
				other.answer("GET")
				other.Close()
			}
			c.Close()
			eventually(t, "the connections to be closed", func() bool { return m.row.Open.Load() == 0 })
			m.drain()
			m.wantLeave()
			text, err := os.ReadFile(m.accessLog)
			m.must(err)
			want(t, "lines", strings.Count(string(text), "\n"), len(paths)+3)
			for line := range strings.Lines(string(text)) {
				for i := range len(line) - 1 {
					if line[i] < ' ' || line[i] == 0x7f {
						t.Errorf("%q has byte %#x as it is", line, line[i])
					}
				}
				if strings.ToValidUTF8(line, "") != line || strings.Contains(line, "\u202e") || len(line) > 4096 {
					t.Errorf("%d bytes: %q", len(line), line)
				}
				if format == "json" && !json.Valid([]byte(line)) {
					t.Errorf("not JSON: %q", line)
				}
			}
			want(t, "the counted answers", fmt.Sprint(m.row.Total()), fmt.Sprint(len(paths)+3))
		})
	}
}
