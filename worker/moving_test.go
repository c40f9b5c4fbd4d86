package worker

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/nethttp"
)

// team is workers with inboxes, in this process: worker i sits in the first seat of slot i.
type team struct {
	workers []*testWorker
	boxes   []*inbox.Box
	held    chan struct{} // requests for /hold wait for it
	holding chan string   // and say who runs them
}

func startTeam(t *testing.T, size int, change ...func(*setup)) *team {
	t.Helper()
	board, err := scoreboard.Create(size, 8)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(board.FD()) // it stays mapped
	m := &team{held: make(chan struct{}), holding: make(chan string, 100)}
	for range size {
		box, err := inbox.New()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(box.Close)
		m.boxes = append(m.boxes, box)
	}
	for i := range size {
		m.workers = append(m.workers, m.start(t, board, i, change...))
	}
	return m
}

func (m *team) start(t *testing.T, board *scoreboard.Board, i int, change ...func(*setup)) *testWorker {
	t.Helper()
	name := fmt.Sprint("worker ", i)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s%s", name, body)
	})
	mux.HandleFunc("/hold", func(w http.ResponseWriter, r *http.Request) {
		m.holding <- name
		<-m.held
		io.WriteString(w, name)
	})
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		nc, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			m.holding <- name
			<-m.held
			nc.Close()
		}
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, r.URL.Query().Get("name")) })
	s := &setup{config: testConfig(), server: &http.Server{Handler: mux}}
	s.config.Threads, s.config.Handoff = 1, true
	for _, f := range change {
		f(s)
	}
	s.listeners = []net.Listener{listenLocal(t)}
	w := &testWorker{member: newTestMember(s.config, s.listeners...), addr: s.listeners[0].Addr().String(), log: &logBook{}}
	w.member.Log = w.log.logger()
	w.info.Slot, w.info.Seat, w.board = i, 2*i, board
	w.Row = board.Row(w.info.Seat)
	h := &ipc.Handover{Inbox: dupFD(t, m.boxes[i].Read), Peers: map[int]*ipc.FD{}}
	for j, box := range m.boxes {
		if j != i {
			h.Peers[2*j] = dupFD(t, box.Send)
		}
	}
	for _, err := range []error{w.meetSiblings(h), w.makePool()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.engine = nethttp.New(&w.Worker, s.server)
	w.begin(t)
	return w
}

func dupFD(t *testing.T, fd *ipc.FD) *ipc.FD {
	t.Helper()
	d, err := ipc.Duplicate(fd.Int())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fill makes a worker's only thread busy, until hold is closed.
func (m *team) fill(t *testing.T, worker int) *client {
	t.Helper()
	c := dial(t, m.workers[worker].addr)
	c.send("GET /hold HTTP/1.1\r\nHost: test\r\n\r\n")
	want(t, "who runs it", await(t, "the handler", m.holding), fmt.Sprint("worker ", worker))
	return c
}

func (m *team) moved(worker, reason int) int64 {
	return m.workers[worker].Row.Handoff.Moved[reason].Load()
}

func (m *team) stayed(worker, reason int) int64 {
	return m.workers[worker].Row.Handoff.Stayed[reason].Load()
}

// A request for which there is no thread goes to a worker that has one, on the connection that it came on, which stays there.
func TestPush(t *testing.T) {
	m := startTeam(t, 2)
	c := dial(t, m.workers[0].addr)
	want(t, "before", c.get("/").body, "worker 0")
	first := m.fill(t, 0)
	want(t, "while worker 0 is busy", c.get("/").body, "worker 1")
	eventually(t, "it to be counted", func() bool { return m.moved(0, scoreboard.MovedPushed) == 1 }) // after it was sent
	want(t, "received", m.workers[1].Row.Handoff.Received.Load(), int64(1))
	close(m.held)
	want(t, "the answer of the long request", first.answer("GET").body, "worker 0")
	want(t, "afterwards", c.get("/").body, "worker 1")
	want(t, "accepted by worker 1", m.workers[1].Row.Accepted.Load(), int64(0))
	eventually(t, "the books to agree", func() bool {
		return m.workers[0].Row.Open.Load() == 1 && m.workers[1].Row.Open.Load() == 1
	})
	for i, w := range m.workers {
		eventually(t, "no thread to be taken", func() bool { return w.board.Busy(2*i) == 0 })
	}
}

// The first request of a connection can be pushed, too; and one that nobody has a thread for waits, until a sibling says that it has.
func TestPushOnAHint(t *testing.T) {
	m := startTeam(t, 2)
	m.fill(t, 0)
	second := m.fill(t, 1)
	c := dial(t, m.workers[0].addr)
	c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	eventually(t, "the request to wait", func() bool { return m.workers[0].Row.Waiting.Load() == 1 })
	want(t, "no target", m.stayed(0, scoreboard.StayedNoTarget), int64(1))
	since := time.Now()
	m.held <- struct{}{} // ends one of the two
	switch c.answer("GET").body {
	case "worker 0": // its own thread was the one
	case "worker 1":
		eventually(t, "it to be counted", func() bool { return m.moved(0, scoreboard.MovedHinted) == 1 }) // after it was sent
	}
	if took := time.Since(since); took > 5*time.Second {
		t.Errorf("it has waited %v for a thread that was free", took)
	}
	close(m.held)
	second.answer("GET")
	eventually(t, "nobody to wait", func() bool { return m.workers[0].Row.Waiting.Load() == 0 })
	want(t, "oldest movable", m.workers[0].Row.Handoff.OldestMovable.Load(), int64(0))
}

// A pipelined request is in the process already: it waits there, and is served.
func TestWhatIsBufferedStays(t *testing.T) {
	m := startTeam(t, 2)
	c := dial(t, m.workers[0].addr)
	c.send("GET /hold HTTP/1.1\r\nHost: test\r\n\r\nGET /?next HTTP/1.1\r\nHost: test\r\n\r\n")
	await(t, "the handler", m.holding)
	m.fill(t, 1)
	d := dial(t, m.workers[0].addr)
	d.send("GET /hold HTTP/1.1\r\nHost: test\r\n\r\n")
	eventually(t, "another to wait", func() bool { return m.workers[0].Row.Waiting.Load() == 1 })
	m.held <- struct{}{}
	m.held <- struct{}{}
	close(m.held)
	want(t, "the first", c.answer("GET").status, 200)
	want(t, "the next", c.answer("GET").body, "worker 0")
	want(t, "the other", d.answer("GET").status, 200)
}

// A request with a body is passed on with it, and one that comes in pieces is served where it began.
func TestPushWithABody(t *testing.T) {
	m := startTeam(t, 2)
	c := dial(t, m.workers[0].addr)
	want(t, "before", c.get("/").status, 200)
	m.fill(t, 0)
	c.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n\r\nabc")
	eventually(t, "the push", func() bool { return m.workers[1].Row.Handoff.Received.Load() == 1 })
	c.send("def")
	want(t, "body", c.answer("POST").body, "worker 1abcdef")

	d := dial(t, m.workers[0].addr)
	d.send("GET / HTTP/1.1\r\n")
	eventually(t, "the beginning to be read", func() bool { return m.workers[0].reads(d) })
	d.send("Host: test\r\n\r\n")
	eventually(t, "it to wait here", func() bool { return m.stayed(0, scoreboard.StayedIncomplete) == 1 })
	close(m.held)
	want(t, "in pieces", d.answer("GET").body, "worker 0")
}

// reads says whether a byte of the client's request has been read.
func (w *testWorker) reads(c *client) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for x := range w.conns {
		if x.RemoteAddr().String() == c.LocalAddr().String() {
			return x.readable.Load() != 0
		}
	}
	return false
}

// A draining worker closes nothing: idle connections go on elsewhere at once, busy ones after their answer.
func TestDrainMovesConnections(t *testing.T) {
	m := startTeam(t, 2, func(s *setup) { s.config.Threads = 4 })
	var idle []*client
	for range 40 {
		c := dial(t, m.workers[0].addr)
		want(t, "before", c.get("/").body, "worker 0")
		idle = append(idle, c)
	}
	silent := dial(t, m.workers[0].addr)
	busy := dial(t, m.workers[0].addr)
	busy.send("GET /hold HTTP/1.1\r\nHost: test\r\n\r\n")
	await(t, "the handler", m.holding)
	m.workers[0].drain(t, order{})
	eventually(t, "the idle connections to leave", func() bool { return m.workers[0].Row.Open.Load() == 1 })
	close(m.held)
	a := busy.answer("GET")
	want(t, "the running request", a.body, "worker 0")
	want(t, "the connection is to be closed", a.close, false)
	for _, c := range append(idle, silent, busy) {
		want(t, "afterwards", c.get("/").body, "worker 1")
	}
	m.workers[0].wantResult(t)
	eventually(t, "it to be counted", func() bool { return m.moved(0, scoreboard.MovedDrained) == 42 }) // after it was sent
}

// A connection that was passed on can do what others can.
func TestReceivedConnection(t *testing.T) {
	m := startTeam(t, 2)
	c := dial(t, m.workers[0].addr)
	local, remote := c.RemoteAddr().String(), c.LocalAddr().String()
	m.fill(t, 0)
	name := filepath.Join(t.TempDir(), "file")
	text := strings.Repeat("0123456789", 300_000)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := c.get("/file?name=" + name).body; got != text {
		t.Errorf("a file of %d bytes arrives with %d", len(text), len(got))
	}
	m.workers[1].mu.Lock()
	for x := range m.workers[1].conns {
		want(t, "local address", x.LocalAddr().String(), local)
		want(t, "remote address", x.RemoteAddr().String(), remote)
	}
	m.workers[1].mu.Unlock()
	c.CloseWrite()
	eventually(t, "the end", func() bool { return m.workers[1].Row.Open.Load() == 0 })
	close(m.held)
}

// What arrives while a handler runs is not taken by the watch for the client's disappearance.
func TestWatchTakesNothing(t *testing.T) {
	m := startTeam(t, 2)
	c := m.fill(t, 0)
	c.send("GET /?next HTTP/1.1\r\nHost: test\r\n\r\n") // arrives while the handler runs
	close(m.held)
	want(t, "the first", c.answer("GET").body, "worker 0")
	want(t, "the next", c.answer("GET").status, 200)
	want(t, "buffered", m.stayed(0, scoreboard.StayedBuffered), int64(0))
}

// Half a request behind a whole one: net/http takes its first line out of the buffer and offers the empty buffer for the rest.
func TestHalfPipelinedRequestStays(t *testing.T) {
	const next = "GET /?next HTTP/1.1\r\nHost: test\r\n\r\n"
	for cut := range len(next) {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			m := startTeam(t, 2)
			c := dial(t, m.workers[0].addr)
			c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n" + next[:cut])
			want(t, "the first", c.answer("GET").body, "worker 0")
			m.fill(t, 0)
			c.send(next[cut:])
			if cut == 0 {
				want(t, "a whole one", c.answer("GET").body, "worker 1")
				close(m.held)
				return
			}
			eventually(t, "it to wait here", func() bool {
				return m.stayed(0, scoreboard.StayedIncomplete)+m.stayed(0, scoreboard.StayedBuffered) == 1
			})
			close(m.held)
			want(t, "the next", c.answer("GET").body, "worker 0")
		})
	}
}

// A connection that the application has taken over stays when the worker drains, and is counted.
func TestHijackedStays(t *testing.T) {
	m := startTeam(t, 2)
	c := dial(t, m.workers[0].addr)
	c.send("GET /hijack HTTP/1.1\r\nHost: test\r\n\r\n")
	await(t, "the handler", m.holding)
	m.workers[0].drain(t, order{})
	eventually(t, "it to be counted", func() bool { return m.stayed(0, scoreboard.StayedHijacked) == 1 })
	close(m.held) // it ends the connection
	m.workers[0].wantResult(t)
}
