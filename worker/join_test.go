package worker

import (
	"bufio"
	"io"
	"net"
	"os"
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
	t        *testing.T
	pid      int
	control  *ipc.Channel
	raw      *ipc.FD // the same end of the channel, for what Channel does not send
	board    *scoreboard.Board
	row      *scoreboard.Row
	kept     net.Listener // the master's own descriptor of the bind
	addr     string
	stdin    *os.File // the end that the worker does not have
	output   *os.File // likewise, of its standard output and error
	log      *logBook
	messages chan message
	exited   chan syscall.WaitStatus
}

type message struct {
	ipc.Message
	fd *ipc.FD
}

// spawnWorker starts the test binary in a role, in seat 3 as generation 7 unless that is changed.
func spawnWorker(t *testing.T, role string, change ...func(*ipc.Handover)) *fakeMaster {
	t.Helper()
	m := &fakeMaster{
		t: t, kept: listenLocal(t), log: &logBook{},
		messages: make(chan message, 100), exited: make(chan syscall.WaitStatus, 1),
	}
	m.addr = m.kept.Addr().String()
	board, err := scoreboard.Create(4, 8)
	m.must(err)
	m.board = board
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	m.must(err)
	m.raw, err = ipc.Duplicate(pair[0])
	m.must(err)
	m.control, err = ipc.OpenChannel(ipc.Own(pair[0]))
	m.must(err)
	h := &ipc.Handover{
		Seat: 3, Generation: 7, Protocol: ipc.Spoken, Config: testConfig(),
		Control: ipc.Own(pair[1]), Scoreboard: ipc.Own(board.FD()), Binds: []*ipc.FD{rawListener(t, m.kept)},
	}
	h.Config.DrainIdle = 50 * time.Millisecond
	for _, f := range change {
		f(h)
	}
	m.row = board.Row(min(h.Seat, 7))
	files, env, err := h.Encode()
	m.must(err)
	m.start([]string{"test worker"}, append(env, envRole+"="+role), files)
	h.Control.Close()
	for _, fd := range h.Binds {
		fd.Close()
	}
	go m.receive()
	t.Cleanup(func() { m.die() })
	return m
}

func (m *fakeMaster) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// start runs the test binary as the master runs a worker: with raw descriptors, which stay as they are.
func (m *fakeMaster) start(args, env []string, files []uintptr) {
	m.t.Helper()
	in, stdin, err := os.Pipe()
	m.must(err)
	output, out, err := os.Pipe()
	m.must(err)
	defer in.Close()
	defer out.Close()
	m.stdin, m.output = stdin, output
	// The race detector would wait for a second at the child's exit.
	env = append(env, "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	m.pid, err = syscall.ForkExec("/proc/self/exe", args, &syscall.ProcAttr{
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
		m.exited <- status // for wantExit
	}()
	m.t.Cleanup(func() {
		stdin.Close()
		select {
		case <-gone:
		default:
			m.signal(syscall.SIGKILL)
		}
		await(m.t, "the worker's exit", gone)
		await(m.t, "the rest of its output", read)
		output.Close()
		if m.t.Failed() {
			m.t.Logf("the worker said:\n%s", m.log)
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
		m.messages <- message{msg, fd}
	}
}

// die closes the master's ends of the control channel.
func (m *fakeMaster) die() {
	m.raw.Close()
	m.control.Close()
}

func (m *fakeMaster) send(msg ipc.Message, fd *ipc.FD) {
	m.t.Helper()
	n := -1
	if fd != nil {
		n = fd.Int()
	}
	m.must(m.control.Send(msg, n))
}

// wantMessage takes the next one, which must be it, but for the Text: that must say all the parts.
func (m *fakeMaster) wantMessage(wanted ipc.Message, parts ...string) *ipc.FD {
	m.t.Helper()
	got := await(m.t, "message "+string(wanted.Type), m.messages)
	for _, part := range parts {
		if !strings.Contains(got.Text, part) {
			m.t.Errorf("message %s says %q, not %q", got.Type, got.Text, part)
		}
	}
	wanted.Text = got.Text
	if got.Message != wanted {
		m.t.Fatalf("message %+v, want %+v", got.Message, wanted)
	}
	return got.fd
}

func (m *fakeMaster) wantHello() {
	m.t.Helper()
	m.wantMessage(ipc.Message{Type: ipc.Hello, ProtocolMin: 1, ProtocolMax: 1})
}

// wantReady takes hello and ready.
func (m *fakeMaster) wantReady() {
	m.t.Helper()
	m.wantHello()
	m.wantMessage(ipc.Message{Type: ipc.Ready})
}

// wantLeave takes draining and bye, the end of the channel and the exit.
func (m *fakeMaster) wantLeave(why string) {
	m.t.Helper()
	m.wantMessage(ipc.Message{Type: ipc.Draining}, why)
	m.wantMessage(ipc.Message{Type: ipc.Bye})
	m.wantExit(0)
}

func (m *fakeMaster) wantExit(code int) {
	m.t.Helper()
	if msg := await(m.t, "the end of the channel", m.messages); msg.Type != "" {
		m.t.Errorf("message %+v before the end", msg)
	}
	status := await(m.t, "the worker's exit", m.exited)
	if !status.Exited() || status.ExitStatus() != code {
		m.t.Errorf("the worker ended with status %#x, want exit code %d", status, code)
	}
}

// hang occupies a thread of the worker with a request that has no end.
func (m *fakeMaster) hang() {
	m.t.Helper()
	c := dial(m.t, m.addr)
	c.send("GET /hang HTTP/1.1\r\nHost: test\r\n\r\n")
	want(m.t, "first line of the answer", c.line(), "HTTP/1.1 200 OK\r\n")
}

func (m *fakeMaster) signal(s syscall.Signal) {
	m.t.Helper()
	m.must(syscall.Kill(m.pid, s))
}

// awaitLine waits for a line in the worker's output that begins like this, and returns the rest of it.
func (m *fakeMaster) awaitLine(prefix string) (rest string) {
	m.t.Helper()
	eventually(m.t, "the worker to say "+prefix, func() (found bool) {
		lines := bufio.NewScanner(strings.NewReader(m.log.String()))
		for lines.Scan() && !found {
			rest, found = strings.CutPrefix(lines.Text(), prefix)
		}
		return found
	})
	return rest
}

// rawListener is a second descriptor of a listener, to be inherited.
func rawListener(t *testing.T, l net.Listener) (fd *ipc.FD) {
	t.Helper()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err == nil {
		raw.Control(func(n uintptr) { fd, err = ipc.Duplicate(int(n)) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}
