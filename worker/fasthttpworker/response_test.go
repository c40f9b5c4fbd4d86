package fasthttpworker

import (
	"io"
	"strings"
	"testing"

	"github.com/prefork/cluster/ipc"
)

// A response stream is produced after the handler has returned: its thread is held until then.
func TestStreamHoldsItsThread(t *testing.T) {
	for _, pool := range []string{"lease", "queue", "lanes", "unbounded"} {
		t.Run(pool, func(t *testing.T) {
			t.Parallel()
			m := spawn(t, "serve", func(c *ipc.WorkerConfig) { c.Pool = pool })
			c := dial(t, m)
			c.ask("GET", "/produce", "", "")
			line, err := c.in.ReadString('t') // of the answer's head: it has begun
			if err != nil {
				t.Fatal(line, err)
			}
			m.awaitBusy(1)
			want(t, "observed durations", observed(&m.row.Duration), 0)
			m.open()
			rest, err := c.in.ReadString('0') // to the last chunk
			for !strings.HasSuffix(rest, "last\r\n0") && err == nil {
				var more string
				more, err = c.in.ReadString('0')
				rest += more
			}
			if err != nil {
				t.Fatal(rest, err)
			}
			m.awaitBusy(0)
			want(t, "observed durations", observed(&m.row.Duration), 1)
		})
	}
}

// Nor is it held for longer, whether the client takes the rest, asks for the end of the connection, or leaves.
func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	m := spawn(t, "serve")
	for _, header := range []string{"", "Connection: close\r\n"} {
		c := dial(t, m)
		c.ask("GET", "/large", header, "")
		a := c.wantStatus(200)
		want(t, "size", len(a.body), 16<<20)
		m.awaitBusy(0)
	}
	c := dial(t, m)
	c.ask("GET", "/endless", "", "")
	m.awaitBusy(1)
	c.Close()
	m.awaitBusy(0)
	m.wantAnswers(0, 3, 0, 0, 0)
	want(t, "observed durations", observed(&m.row.Duration), 3)
}

// The end of a response that a slow client has not taken yet is kept without the thread, and arrives.
func TestSlowReaderOfAStream(t *testing.T) {
	t.Parallel()
	m := spawn(t, "serve", func(c *ipc.WorkerConfig) { c.BufferResponse = 32 << 20 })
	c := dial(t, m)
	c.ask("GET", "/large", "Connection: close\r\n", "")
	m.wantAnswers(0, 1, 0, 0, 0)
	m.awaitBusy(0) // before a byte was read
	want(t, "size", len(c.wantStatus(200).body), 16<<20)
	c.wantEOF()
}

func TestStreamPanics(t *testing.T) {
	t.Parallel()
	m := spawn(t, "serve")
	c := dial(t, m)
	c.ask("GET", "/broken", "", "")
	if _, err := io.ReadAll(c.in); err != nil {
		t.Error(err)
	}
	m.awaitBusy(0)
	eventually(t, "the panic to be counted", func() bool { return m.row.Panics.Load() == 1 })
	eventually(t, "the log", func() bool { return strings.Contains(m.log.String(), "response stream panicked") })
	want(t, "status", dial(t, m).get("/").status, 200)
}

func TestFiles(t *testing.T) {
	t.Parallel()
	m := spawn(t, "serve")
	want(t, "body", dial(t, m).get("/file").body, strings.Repeat("file ", 100_000))
}

// A connection that the application takes over holds no thread, is counted as open, and is not closed by the worker.
func TestHijack(t *testing.T) {
	t.Parallel()
	m := spawn(t, "serve", func(c *ipc.WorkerConfig) { c.Threads = 1 })
	c := dial(t, m)
	c.ask("GET", "/hijack", "Connection: Upgrade\r\nUpgrade: echo\r\n", "")
	if line, err := c.in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 101 ") {
		t.Fatal(line, err)
	}
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = c.in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	m.awaitBusy(0)
	m.wantAnswers(1, 0, 0, 0, 0)
	want(t, "status", dial(t, m).get("/").status, 200)
	m.drain()
	c.send("hello\n")
	if line, err := c.in.ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatal(line, err)
	}
	want(t, "open connections", m.row.Open.Load() >= 1, true)
	c.Close()
	m.wantLeave()
}
