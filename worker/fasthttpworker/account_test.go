package fasthttpworker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
)

// Every answer is counted once, whoever gave it.
func TestAnswersAreCounted(t *testing.T) {
	t.Parallel()
	m := spawn(t, "serve")
	c := dial(t, m)
	for _, code := range []int{200, 204, 301, 404, 503} {
		want(t, "status", c.get(fmt.Sprintf("/status?code=%d", code)).status, code)
	}
	want(t, "status", c.get("/late").status, 408)
	m.open() // the handler behind it
	m.wantAnswers(0, 2, 1, 2, 1)
	want(t, "observed durations", observed(&m.row.Duration), 6)
	want(t, "observed waits", observed(&m.row.Wait), 6)

	bad := dial(t, m)
	bad.send("this is not HTTP\r\n\r\n")
	bad.wantStatus(400)
	bad.wantEOF()
	long := dial(t, m)
	long.ask("GET", "/", "Long: "+strings.Repeat("x", headRoom)+"\r\n", "")
	long.wantStatus(431)
	long.wantEOF()
	m.wantAnswers(0, 2, 1, 4, 1)
	for _, quiet := range []string{"error when serving", "WARN"} {
		if strings.Contains(m.log.String(), quiet) {
			t.Errorf("the worker logs what is the clients' doing:\n%s", m.log)
		}
	}
}

// The head limit of the cluster counts.
func TestMaxHead(t *testing.T) {
	t.Parallel()
	m := spawn(t, "serve", func(c *ipc.WorkerConfig) { c.MaxHead = 1000 })
	c := dial(t, m)
	c.ask("GET", "/", "Long: "+strings.Repeat("x", 900)+"\r\n", "")
	c.wantStatus(200)
	c.ask("GET", "/", "Long: "+strings.Repeat("x", 1000)+"\r\n", "")
	c.wantStatus(431)
	c.wantEOF()
	m.wantAnswers(0, 1, 0, 1, 0)
}

func TestOwnersHooks(t *testing.T) {
	t.Parallel()
	m := spawn(t, "own hooks")
	bad := dial(t, m)
	bad.send("this is not HTTP\r\n\r\n")
	want(t, "body", bad.wantStatus(418).body, "own words")
	denied := dial(t, m)
	denied.ask("POST", "/body", "Expect: 100-continue\r\nDeny: yes\r\nContent-Length: 5\r\n", "")
	denied.wantStatus(417)
	denied.wantEOF()
	m.wantAnswers(0, 0, 0, 2, 0)
}

// Pipelined requests are answered in order and counted one by one, also where the last one's head is not complete.
func TestPipelining(t *testing.T) {
	t.Parallel()
	m := spawn(t, "serve")
	c := dial(t, m)
	one := "GET /status?code=%d HTTP/1.1\r\nHost: test\r\n\r\n"
	c.send(fmt.Sprintf(one+one+one, 200, 404, 500) + "POST /body HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabcGET /sta")
	for _, status := range []int{200, 404, 500, 200} {
		c.wantStatus(status)
	}
	m.wantAnswers(0, 2, 0, 1, 1)
	c.send("tus?code=201 HTTP/1.1\r\nHost: test\r\n\r\n")
	c.wantStatus(201)
	m.wantAnswers(0, 3, 0, 1, 1)
	want(t, "observed waits", observed(&m.row.Wait), 5)
	want(t, "accepted", m.row.Accepted.Load(), 1)
}

func TestPanics(t *testing.T) {
	for _, pool := range []string{"lease", "queue", "lanes", "unbounded"} {
		t.Run(pool, func(t *testing.T) {
			t.Parallel()
			m := spawn(t, "serve", func(c *ipc.WorkerConfig) { c.Pool = pool })
			c := dial(t, m)
			c.ask("GET", "/panic", "", "")
			a := c.wantStatus(500)
			want(t, "body", a.body, "500 internal server error\n")
			want(t, "close", a.close, true)
			c.wantEOF()
			c = dial(t, m)
			want(t, "status", c.get("/latepanic").status, 500)
			m.open()
			c.wantEOF()
			m.wantAnswers(0, 0, 0, 0, 2)
			want(t, "panics", m.row.Panics.Load(), 2)
			m.awaitBusy(0)
			eventually(t, "the log", func() bool { return strings.Contains(m.log.String(), "after the timeout") })
			for _, part := range []string{"handler panicked", "it broke", "method=GET path=/panic", "roles_test.go"} {
				if !strings.Contains(m.log.String(), part) {
					t.Errorf("the log does not say %q:\n%s", part, m.log)
				}
			}
			c = dial(t, m)
			c.ask("GET", "/goexit", "", "")
			c.wantEOF()
			m.awaitBusy(0)
			want(t, "status", dial(t, m).get("/").status, 200)
			want(t, "panics", m.row.Panics.Load(), 2)
		})
	}
}

// No more handlers run than there are threads; who finds too many waiting is refused.
func TestThreads(t *testing.T) {
	for _, pool := range []string{"lease", "queue", "lanes"} {
		t.Run(pool, func(t *testing.T) {
			t.Parallel()
			m := spawn(t, "serve", func(c *ipc.WorkerConfig) { c.Pool, c.Threads, c.QueueDepth = pool, 2, 1 })
			var waiting []*client
			for range 2 {
				c := dial(t, m)
				c.ask("GET", "/gate", "", "")
				waiting = append(waiting, c)
			}
			m.awaitBusy(2)
			third := dial(t, m)
			third.ask("GET", "/gate", "", "")
			eventually(t, "the third to wait", func() bool { return m.row.Waiting.Load() == 1 })
			fourth := dial(t, m)
			a := fourth.get("/gate")
			want(t, "status", a.status, 503)
			want(t, "Retry-After", a.header.Get("Retry-After"), "1")
			want(t, "body", a.body, "503 service unavailable: too many requests wait for a thread\n")
			want(t, "close", a.close, false)
			want(t, "refused", m.row.Refused.Load(), 1)
			want(t, "held threads", m.busy(), 2)
			for range 3 {
				m.open()
			}
			for _, c := range append(waiting, third) {
				want(t, "body", c.wantStatus(200).body, "opened")
			}
			want(t, "status", fourth.get("/").status, 200)
			m.wantAnswers(0, 4, 0, 0, 1)
			m.awaitBusy(0)
		})
	}
}

// With the threads of all workers in one process, each is counted in the row of its worker; what no thread does, in the first.
func TestThreadsCountForTheirWorker(t *testing.T) {
	for _, pool := range []string{"lease", "queue", "lanes"} {
		t.Run(pool, func(t *testing.T) {
			t.Parallel()
			m := spawn(t, "serve", func(c *ipc.WorkerConfig) { c.Pool, c.Workers, c.Threads, c.QueueDepth = pool, 2, 2, 0 })
			hold := func(busy int) *client {
				c := dial(t, m)
				c.ask("GET", "/gate", "", "")
				eventually(t, "the thread", func() bool { return m.board.Busy(1)+m.board.Busy(3) == busy })
				return c
			}
			held := []*client{hold(1), hold(2), hold(3)}
			second := m.board.Row(3)
			c := dial(t, m)
			want(t, "status", c.get("/").status, 200)
			m.mustCount(second, 0, 1, 0, 0, 0)
			dial(t, m).get("/panic")
			m.mustCount(second, 0, 1, 0, 0, 1)
			want(t, "panics", second.Panics.Load(), 1)
			hijacker := dial(t, m)
			hijacker.ask("GET", "/hijack", "", "")
			m.mustCount(second, 1, 1, 0, 0, 1)
			eventually(t, "the thread to be free", func() bool { return m.board.Busy(3) == 1 })
			held = append(held, hold(4))
			want(t, "status", c.get("/").status, 503)
			c.send("this is not HTTP\r\n\r\n")
			c.wantStatus(400)
			m.wantAnswers(0, 0, 0, 1, 1)
			m.mustCount(second, 1, 1, 0, 0, 1)
			want(t, "refused", m.row.Refused.Load(), 1)
			want(t, "accepted elsewhere", second.Accepted.Load(), 0)
			for range held {
				m.open()
			}
			for _, c := range held {
				c.wantStatus(200)
			}
			m.wantAnswers(0, 2, 0, 1, 1)
			m.mustCount(second, 1, 3, 0, 0, 1)
			want(t, "observed durations of the second", observed(&second.Duration), 5)
			want(t, "observed waits of the first", observed(&m.row.Wait), 2)
		})
	}
}

// mustCount waits until a row has counted so many answers, by class from 1xx on.
func (m *fakeMaster) mustCount(row *scoreboard.Row, wanted ...int64) {
	m.t.Helper()
	eventually(m.t, fmt.Sprintf("%d answers by class", wanted), func() bool {
		for i, n := range wanted {
			if row.Requests[i].Load() != n {
				return false
			}
		}
		return true
	})
}

// What a handler logs by way of fasthttp is in the worker's log.
func TestHandlersLog(t *testing.T) {
	t.Parallel()
	m := spawn(t, "serve")
	dial(t, m).get("/log")
	eventually(t, "the log", func() bool { return strings.Contains(m.log.String(), "the handler says 42") })
}

func TestRefusedServers(t *testing.T) {
	for role, why := range map[string]string{"per ip": "MaxConnsPerIP", "no answer": "no Handler"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			m := spawnOn(t, listen(t), role)
			if text := m.want(ipc.Error); !strings.Contains(text, why) {
				t.Errorf("the worker gives up with %q", text)
			}
			m.wantExit(1)
		})
	}
}
