package fasthttpworker

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
)

// fakeMaster is what a worker process sees of a master.
type fakeMaster struct {
	t         *testing.T
	pid       int
	control   *ipc.Channel
	board     *scoreboard.Board
	row       *scoreboard.Row
	addr      string
	stdin     *os.File // the end that the worker does not have
	log       *logBook
	messages  chan ipc.Message
	accessLog string // file name, if it has one
	exited    chan syscall.WaitStatus
}

// testConfig has timeouts that no test meets by accident.
func testConfig() ipc.WorkerConfig {
	return ipc.WorkerConfig{
		Limits: ipc.Limits{
			Threads: 3, QueueDepth: 64, QueueTimeout: time.Minute, BodyTimeout: time.Minute,
			HeadTimeout: time.Minute, IdleTimeout: time.Minute, WriteTimeout: time.Minute,
			DrainTimeout: time.Minute, DrainIdle: 50 * time.Millisecond, OrphanGrace: time.Minute,
			BufferBody: 64 << 10, BufferResponse: 64 << 10,
		},
	}
}

func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// spawn starts the test binary in a role, as a worker of slot 1 and generation 7, and waits until it is ready.
func spawn(t *testing.T, role string, change ...func(*ipc.WorkerConfig)) *fakeMaster {
	t.Helper()
	m := spawnOn(t, listen(t), role, change...)
	m.want(ipc.Ready)
	return m
}

func spawnOn(t *testing.T, l *net.TCPListener, role string, change ...func(*ipc.WorkerConfig)) *fakeMaster {
	t.Helper()
	m := &fakeMaster{t: t, addr: l.Addr().String(), log: &logBook{}, messages: make(chan ipc.Message, 100), exited: make(chan syscall.WaitStatus, 1)}
	board, err := scoreboard.Create(2, 8)
	m.must(err)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	m.must(err)
	m.control, err = ipc.OpenChannel(ipc.Own(pair[0]))
	m.must(err)
	h := &ipc.Handover{
		Seat: 3, Generation: 7, Protocol: ipc.Spoken, Config: testConfig(),
		Control: ipc.Own(pair[1]), Scoreboard: ipc.Own(board.FD()), Binds: []*ipc.FD{duplicate(t, l)},
	}
	for _, f := range change {
		f(&h.Config)
	}
	if h.Config.InProcess() {
		h.Seat = 1
	}
	if h.Config.LogRequests != "" {
		m.accessLog = filepath.Join(t.TempDir(), "access")
		log, err := unix.Open(m.accessLog, unix.O_CREAT|unix.O_APPEND|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
		m.must(err)
		h.Requests = ipc.Own(log)
		defer h.Requests.Close()
	}
	m.board, m.row = board, board.Row(h.Seat)
	files, env, err := h.Encode()
	m.must(err)
	m.start(append(env, envRole+"="+role), files)
	h.Control.Close()
	h.Binds[0].Close()
	go m.receive()
	t.Cleanup(func() { m.control.Close() })
	m.want(ipc.Hello)
	return m
}

func duplicate(t *testing.T, l *net.TCPListener) (fd *ipc.FD) {
	t.Helper()
	raw, err := l.SyscallConn()
	if err == nil {
		raw.Control(func(n uintptr) { fd, err = ipc.Duplicate(int(n)) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func (m *fakeMaster) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *fakeMaster) start(env []string, files []uintptr) {
	m.t.Helper()
	in, stdin, err := os.Pipe()
	m.must(err)
	output, out, err := os.Pipe()
	m.must(err)
	defer in.Close()
	defer out.Close()
	m.stdin = stdin
	// The race detector would wait for a second at the child's exit.
	env = append(env, "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	m.pid, err = syscall.ForkExec("/proc/self/exe", []string{"test worker"}, &syscall.ProcAttr{
		Env:   append(ipc.Scrub(os.Environ()), env...),
		Files: append([]uintptr{in.Fd(), out.Fd(), out.Fd()}, files...),
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	m.must(err)
	read, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(m.log, output)
	}()
	go func() {
		var status syscall.WaitStatus
		for {
			if _, err := syscall.Wait4(m.pid, &status, 0, nil); err != syscall.EINTR {
				break
			}
		}
		close(gone)
		<-read
		m.exited <- status
	}()
	m.t.Cleanup(func() {
		stdin.Close()
		select {
		case <-gone:
		default:
			_ = syscall.Kill(m.pid, syscall.SIGKILL)
		}
		await(m.t, "the worker's exit", gone)
		await(m.t, "the rest of its output", read)
		output.Close()
		if m.t.Failed() || strings.Contains(m.log.String(), "DATA RACE") {
			m.t.Errorf("the worker said:\n%s", m.log)
		}
	})
}

func (m *fakeMaster) receive() {
	defer close(m.messages)
	for {
		msg, fd, err := m.control.Receive()
		if err != nil {
			return
		}
		if fd != nil {
			fd.Close()
		}
		m.messages <- msg
	}
}

// want takes the next message, which must be of that type, and returns its text.
func (m *fakeMaster) want(kind ipc.Type) string {
	m.t.Helper()
	msg := await(m.t, "message "+string(kind), m.messages)
	if msg.Type != kind {
		m.t.Fatalf("message %+v, want %s", msg, kind)
	}
	return msg.Text
}

// drain asks for it and returns once nothing is accepted any more.
func (m *fakeMaster) drain() {
	m.t.Helper()
	m.must(m.control.Send(ipc.Message{Type: ipc.Drain, Text: "test"}, -1))
	m.want(ipc.Draining)
}

// wantLeave waits for the end of a drained worker, which leaves no connection behind.
func (m *fakeMaster) wantLeave() {
	m.t.Helper()
	m.want(ipc.Bye)
	m.wantExit(0)
	want(m.t, "open connections", m.row.Open.Load(), 0)
}

func (m *fakeMaster) wantExit(code int) {
	m.t.Helper()
	status := await(m.t, "the worker's exit", m.exited)
	if !status.Exited() || status.ExitStatus() != code {
		m.t.Errorf("the worker ended with status %#x, want exit code %d", status, code)
	}
}

// open lets a handler go on that waits at the gate.
func (m *fakeMaster) open() {
	m.t.Helper()
	_, err := m.stdin.Write([]byte{1})
	m.must(err)
}

// busy is how many threads are held.
func (m *fakeMaster) busy() int { return m.board.Busy(3) }

func (m *fakeMaster) awaitBusy(n int) {
	m.t.Helper()
	eventually(m.t, fmt.Sprintf("%d threads to be held", n), func() bool { return m.busy() == n })
}

// observed is how many requests a histogram has.
func observed(h *scoreboard.Histogram) int64 {
	var counts scoreboard.Counts
	h.AddTo(&counts)
	return counts.Count()
}

// wantAnswers compares the counted answers, by class from 1xx on, once there are as many.
func (m *fakeMaster) wantAnswers(wanted ...int64) {
	m.t.Helper()
	var sum int64
	for _, n := range wanted {
		sum += n
	}
	eventually(m.t, "all answers to be counted", func() bool { return m.row.Total() >= sum })
	for i, n := range wanted {
		if got := m.row.Requests[i].Load(); got != n {
			m.t.Errorf("answers of class %dxx: %d, want %d", i+1, got, n)
		}
	}
}
