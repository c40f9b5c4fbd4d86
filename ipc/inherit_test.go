//go:build linux

package ipc

import (
	"encoding/json"
	"io"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// report is what the child prints.
type report struct {
	OK         bool
	Err        string
	Again      bool // Inherit a second time
	Seat, Slot int
	Generation int
	Protocol   Protocol
	Config     WorkerConfig
	Control    described
	Scoreboard described
	Binds      []described
	Open       []described // all from descriptor 3 on
	Variables  []string    // those left of LISTEN_ and CLUSTER_
}

// described is a descriptor of the child.
type described struct {
	FD          int
	CloseOnExec bool
	NonBlocking bool
	Listening   bool
	Dev, Ino    uint64
}

func (d described) isFileOf(other described) bool { return d.Dev == other.Dev && d.Ino == other.Ino }

func describe(fd int) described {
	d := described{FD: fd}
	flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	d.CloseOnExec = flags&unix.FD_CLOEXEC != 0
	flags, _ = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	d.NonBlocking = flags&unix.O_NONBLOCK != 0
	accepts, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	d.Listening = accepts == 1
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil {
		d.Dev, d.Ino = uint64(st.Dev), st.Ino
	}
	return d
}

// beChild is main of the test binary when it is a worker.
func beChild() {
	var r report
	h, ok, err := Inherit()
	r.OK = ok
	if err != nil {
		r.Err = err.Error()
	}
	if h != nil {
		r.Seat, r.Slot, r.Generation, r.Protocol, r.Config = h.Seat, h.Slot(), h.Generation, h.Protocol, h.Config
		r.Control, r.Scoreboard = describe(h.Control.Int()), describe(h.Scoreboard.Int())
		for _, b := range h.Binds {
			r.Binds = append(r.Binds, describe(b.Int()))
		}
		for fd := firstFD; fd < 256; fd++ {
			if isOpen(fd) {
				r.Open = append(r.Open, describe(fd))
			}
		}
		if c, err := OpenChannel(h.Control); err != nil {
			r.Err = err.Error()
		} else if err := c.Send(Message{Type: Hello, ProtocolMin: 1, ProtocolMax: 1}, -1); err != nil {
			r.Err = err.Error()
		}
	}
	_, r.Again, _ = Inherit()
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "LISTEN_") || strings.HasPrefix(v, "CLUSTER_") && !strings.HasPrefix(v, "CLUSTER_TEST_") {
			r.Variables = append(r.Variables, v)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		panic(err)
	}
}

// spawn runs the test binary as the master runs a worker: with raw descriptors, which stay as they are.
func spawn(t *testing.T, files []uintptr, env []string) report {
	t.Helper()
	var out [2]int
	if err := unix.Pipe2(out[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	// The race detector would wait for a second at the child's exit.
	env = append(env, envChild+"=1", "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"worker"}, &syscall.ProcAttr{
		Env:   append(Scrub(os.Environ()), env...),
		Files: append([]uintptr{0, uintptr(out[1]), 2}, files...),
	})
	unix.Close(out[1])
	read := os.NewFile(uintptr(out[0]), "child")
	defer read.Close()
	if err != nil {
		t.Fatal(err)
	}
	printed, readErr := io.ReadAll(read)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 || readErr != nil {
		t.Fatalf("child: status %v, %v, %v; it printed %q", status, err, readErr, printed)
	}
	var r report
	if err := json.Unmarshal(printed, &r); err != nil {
		t.Fatalf("child printed %q: %v", printed, err)
	}
	return r
}

// listen makes a non-blocking listener as a raw descriptor.
func listen(t *testing.T) *FD {
	t.Helper()
	n, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := Own(n)
	if err := unix.Bind(n, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(n, 16); err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestHandoverRoundTrip(t *testing.T) {
	check := watchFDs(t)
	control, theirs, err := NewChannelPair()
	if err != nil {
		t.Fatal(err)
	}
	board, err := NewMemfd("scoreboard", nil)
	if err != nil {
		t.Fatal(err)
	}
	h := Handover{
		Seat: 7, Generation: 42, Protocol: Protocol{1, 3}, Config: testConfig,
		Control: theirs, Scoreboard: board, Binds: []*FD{listen(t), listen(t), listen(t)},
	}
	files, env, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("LISTEN_PID", "1") // of a socket activation that was meant for this process: scrubbed
	t.Setenv("CLUSTER_CONTROL", "kept")
	r := spawn(t, files, env)

	if !r.OK || r.Err != "" {
		t.Fatalf("child: %v, %s", r.OK, r.Err)
	}
	if r.Seat != 7 || r.Slot != 3 || r.Generation != 42 || r.Protocol != h.Protocol || !reflect.DeepEqual(r.Config, testConfig) {
		t.Errorf("child inherited %+v", r)
	}
	if r.Again {
		t.Error("the child could inherit a second time")
	}
	if want := []string{"CLUSTER_CONTROL=kept"}; !reflect.DeepEqual(r.Variables, want) {
		t.Errorf("the child's children would see %q, want %q", r.Variables, want)
	}
	got := append([]described{r.Control, r.Scoreboard}, r.Binds...)
	if len(got) != len(files) {
		t.Fatalf("the child has %d descriptors of %d", len(got), len(files))
	}
	for i, d := range got {
		mine := describe(int(files[i]))
		if d.FD != firstFD+i || !d.CloseOnExec || !d.isFileOf(mine) {
			t.Errorf("descriptor %d is %+v in the child; want it at %d, close-on-exec, and to be %+v", i, d, firstFD+i, mine)
		}
		for _, other := range r.Open {
			if other.isFileOf(mine) && other.FD != d.FD {
				t.Errorf("descriptor %d is in the child a second time: %+v", i, other)
			}
		}
	}
	for i, d := range r.Binds {
		mine := describe(h.Binds[i].Int())
		if !d.Listening || !d.NonBlocking || !mine.NonBlocking {
			t.Errorf("bind %d: child %+v, here %+v: not a non-blocking listener in both", i, d, mine)
		}
	}
	theirs.Close()
	receive(t, control, Message{Type: Hello, ProtocolMin: 1, ProtocolMax: 1})
	receiveEOF(t, control)

	control.Close()
	board.Close()
	for _, b := range h.Binds {
		b.Close()
	}
	check()
}

// A newer master may hand over more than this build knows.
func TestHandoverUnknownDescriptor(t *testing.T) {
	control, theirs, err := NewChannelPair()
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	defer theirs.Close()
	var memfds [2]*FD
	for i := range memfds {
		if memfds[i], err = NewMemfd("test", nil); err != nil {
			t.Fatal(err)
		}
		defer memfds[i].Close()
	}
	board, unknown := memfds[0], memfds[1]
	h := Handover{Control: theirs, Scoreboard: board}
	files, env, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range env {
		v = strings.Replace(v, envFDs+"=2", envFDs+"=3", 1)
		env[i] = strings.Replace(v, nameControl+":", nameControl+":novelty:", 1)
	}
	files = []uintptr{files[0], uintptr(unknown.Int()), files[1]}
	r := spawn(t, files, append(env, "CLUSTER_OF_THE_FUTURE=1"))
	if !r.OK || r.Err != "" {
		t.Fatalf("child: %v, %s", r.OK, r.Err)
	}
	if r.Control.FD != firstFD || r.Scoreboard.FD != firstFD+2 || !r.Scoreboard.isFileOf(describe(board.Int())) {
		t.Errorf("the child took %+v and %+v", r.Control, r.Scoreboard)
	}
	for _, d := range r.Open {
		if d.isFileOf(describe(unknown.Int())) {
			t.Errorf("the descriptor that nobody takes is open: %+v", d)
		}
	}
}
