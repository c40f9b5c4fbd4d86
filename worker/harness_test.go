package worker

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/engine"
	"github.com/prefork/cluster/worker/internal/kernel"
	"github.com/prefork/cluster/worker/internal/nethttp"
)

// setup is what a test may change before its worker starts.
type setup struct {
	config    ipc.WorkerConfig
	server    *http.Server
	options   []Option
	listeners []net.Listener // one on 127.0.0.1 unless set
	accessLog string         // file name; empty: none
	logFormat string         // text or json
}

// testWorker is a member of a cluster of one, in this process: what join makes, without what a process has only once.
type testWorker struct {
	*member
	addr   string
	log    *logBook
	result <-chan error
}

// testConfig has timeouts that no test meets by accident.
func testConfig() ipc.WorkerConfig {
	return ipc.WorkerConfig{
		Limits: ipc.Limits{
			Threads: 3, QueueDepth: 64, QueueTimeout: time.Minute,
			HeadTimeout: time.Minute, IdleTimeout: time.Minute, WriteTimeout: time.Minute,
			DrainTimeout: time.Minute, DrainIdle: time.Minute, OrphanGrace: time.Minute,
		},
	}
}

// headBuffer is the room that net/http offers a read between two requests; the engine tells the worker so.
const headBuffer = 4 << 10

// newTestMember is a member that does nothing yet, not even pulse.
func newTestMember(config ipc.WorkerConfig, listeners ...net.Listener) *member {
	m := &member{
		Worker:  engine.Worker{Config: config, Log: new(logBook).logger(), Clock: scoreboard.NewClock(), HeadBuffer: headBuffer},
		board:   scoreboard.Private(config.Threads),
		binds:   listeners,
		sources: map[sourceKey]*source{},
		conns:   map[*conn]struct{}{},
		drained: make(chan struct{}),
		orders:  make(chan order, 1),
		empty:   make(chan struct{}, 1),
		failed:  make(chan error, 1),
	}
	if config.InProcess() { // with room for twice as many workers, in the odd seats
		board, err := scoreboard.Create(2*config.Workers, config.Threads+1)
		if err != nil {
			panic(err)
		}
		unix.Close(board.FD()) // it stays mapped
		m.board, m.info.Seat = board, 1
	}
	m.room, m.descriptors = sync.NewCond(&m.mu), kernel.DescriptorLimit()
	m.Row = m.board.Row(m.info.Seat)
	m.coarse.Store(m.Clock.Now())
	if err := m.makePool(); err != nil {
		panic(err)
	}
	return m
}

// startWorker serves h. The test may drain it; else that is done at the end.
func startWorker(t *testing.T, h http.Handler, change ...func(*setup)) *testWorker {
	t.Helper()
	s := &setup{config: testConfig(), server: &http.Server{Handler: h}}
	for _, f := range change {
		f(s)
	}
	if s.listeners == nil {
		s.listeners = []net.Listener{listenLocal(t)}
	}
	w := &testWorker{member: newTestMember(s.config, s.listeners...), addr: s.listeners[0].Addr().String(), log: &logBook{}}
	w.options = collect(s.options)
	w.member.Log = w.log.logger()
	if s.accessLog != "" {
		w.info.Slot, w.info.Generation = 5, 9
		logRequestsTo(t, w.member, s.accessLog, s.logFormat)
	}
	w.engine = nethttp.New(&w.Worker, s.server)
	w.begin(t)
	return w
}

// begin runs the member and waits until it is ready.
func (w *testWorker) begin(t *testing.T) {
	t.Helper()
	result := make(chan error, 2)
	go func() {
		err := w.run()
		result <- err // for wantResult
		result <- err // for the end of the test
	}()
	w.result = result
	t.Cleanup(func() {
		w.order(order{why: "the test is over"})
		await(t, "accepting to end", w.drained)
		eventually(t, "the worker to leave", func() bool {
			w.age(time.Hour)
			return len(result) > 0
		})
	})
	eventually(t, "ready", func() bool { return w.Row.State.Load() == scoreboard.StateReady })
}

// drain orders it and returns once nothing is accepted any more.
func (w *testWorker) drain(t *testing.T, o order) {
	t.Helper()
	w.order(o)
	await(t, "accepting to end", w.drained)
}

// age makes the drain, and the silence of each connection, begin so much earlier, and looks.
func (m *member) age(d time.Duration) {
	m.drainSince.Add(-int64(d))
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.conns {
		if since := c.idleSince.Load(); since != 0 {
			c.idleSince.CompareAndSwap(since, since-int64(d))
		}
		c.look(m.Clock.Now())
	}
}

// wantResult waits for the end of the worker; no parts: a clean one.
func (w *testWorker) wantResult(t *testing.T, parts ...string) {
	t.Helper()
	err := await(t, "the worker to leave", w.result)
	if len(parts) > 0 {
		wantError(t, err, parts...)
	} else if err != nil {
		t.Errorf("the worker ended with %q", err)
	}
}

// wantAnswers compares the counted answers, by class from 1xx on, once they are complete.
func (w *testWorker) wantAnswers(t *testing.T, wanted [scoreboard.Classes]int64) {
	t.Helper()
	var sum int64
	for _, n := range wanted {
		sum += n
	}
	eventually(t, "all answers to be counted", func() bool { return w.Row.Total() >= sum })
	want(t, "answers by class", w.answers(), wanted)
}

func (w *testWorker) answers() (counts [scoreboard.Classes]int64) {
	for i := range counts {
		counts[i] = w.Row.Requests[i].Load()
	}
	return counts
}

func listenLocal(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// client is one connection, and says what goes over it.
type client struct {
	*net.TCPConn
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

func dial(t *testing.T, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return &client{TCPConn: nc.(*net.TCPConn), t: t, in: bufio.NewReader(nc)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) ask(method, path string) answer {
	c.t.Helper()
	c.send(method + " " + path + " HTTP/1.1\r\nHost: test\r\n\r\n")
	return c.answer(method)
}

func (c *client) get(path string) answer {
	c.t.Helper()
	return c.ask(http.MethodGet, path)
}

// answer reads the next one, interim ones too.
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

// wantEOF checks that the worker has closed the connection, without another byte.
func (c *client) wantEOF() {
	c.t.Helper()
	if b, err := c.in.ReadByte(); err != io.EOF {
		c.t.Errorf("read %q, %v; want the connection to be closed", b, err)
	}
}

// gate is a handler that waits for the test.
type gate struct {
	entered chan string // path of each request that has a thread
	leave   chan struct{}
}

func newGate() *gate { return &gate{entered: make(chan string, 100), leave: make(chan struct{})} }

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.entered <- r.URL.Path
	<-g.leave
	io.WriteString(w, r.URL.Path)
}

// hello is a handler that does not.
func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }

// peeked is how many bytes lie in a socket, or -1 if neither bytes nor the end of the stream has arrived.
func peeked(t *testing.T, nc *net.TCPConn) (n int) {
	t.Helper()
	raw, err := nc.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		var err error
		if n, _, err = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT); err != nil {
			n = -1
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
