package sockets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
)

// needProgram finds a program that CI has and others may not.
func needProgram(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	text := fmt.Sprintf("%s is not installed; on Debian: apt-get install %s", name, debian)
	if os.Getenv("CLUSTER_TEST_NO_SKIP") != "" {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}

// connect makes n connections that wait in a listener.
func connect(t *testing.T, network, address string, n int) {
	t.Helper()
	for range n {
		c, err := net.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
}

// waitForQueue waits until n connections do: the last handshake may still be on its way through the kernel.
func waitForQueue(t *testing.T, fd *ipc.FD, n int) {
	t.Helper()
	waiting, _, err := Queue(fd)
	for deadline := time.Now().Add(10 * time.Second); waiting != n && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		waiting, _, err = Queue(fd)
	}
	if err != nil || waiting != n {
		t.Errorf("%d wait, %v, want %d", waiting, err, n)
	}
}

func TestQueue(t *testing.T) {
	dir := shortDir(t)
	s := open(t, dir, "127.0.0.1:0", "unix://"+dir+"/a b", "unix://@"+dir)
	for i, b := range s.Binds() {
		fd := s.Slot(0)[i]
		waiting, limit, err := Queue(fd)
		if err != nil || waiting != 0 || limit != somaxconn(t) {
			t.Fatalf("%v, a new listener: %d of %d, %v, want none of %d", b, waiting, limit, err, somaxconn(t))
		}
		network := map[bool]string{true: "unix", false: "tcp"}[b.Scheme == "unix"]
		connect(t, network, b.Address, 3)
		waitForQueue(t, fd, 3)
		accepted, _, err := unix.Accept(fd.Int())
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(accepted)
		if waiting, _, err = Queue(fd); err != nil || waiting != 2 {
			t.Errorf("%v, one accepted: %d wait, %v, want 2", b, waiting, err)
		}
	}
	fds := s.Slot(0)
	s.Close()
	for i, fd := range fds {
		if _, _, err := Queue(fd); err == nil {
			t.Errorf("bind %d: a closed listener has a queue", i)
		}
	}
}

// What this package says of a queue is what ss says: the numbers of the kernel, and those that --backlog asked for.
func TestBacklogAsSSShowsIt(t *testing.T) {
	ss := needProgram(t, "ss", "iproute2")
	dir := shortDir(t)
	for _, shared := range []bool{false, true} {
		s := openWith(t, Options{Dir: t.TempDir(), Backlog: 7, Shared: shared}, "127.0.0.1:0", "unix://"+dir+"/sock")
		if s.Note() != "" {
			t.Errorf("a backlog that is granted: %q", s.Note())
		}
		for i, b := range s.Binds() {
			option, network, from := "-Hltn", "tcp", 1
			if b.Scheme == "unix" {
				option, network, from = "-Hxl", "unix", 2
			}
			connect(t, network, b.Address, 2)
			waitForQueue(t, s.Slot(0)[i], 2)
			out, err := exec.Command(ss, option).Output()
			if err != nil {
				t.Fatal(err)
			}
			shown := ""
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, " "+b.Address+" ") {
					shown = strings.Join(strings.Fields(line)[from:from+2], " ")
				}
			}
			waiting, limit, err := Queue(s.Slot(0)[i])
			if got := fmt.Sprint(waiting, " ", limit); err != nil || got != "2 7" || shown != got {
				t.Errorf("%v, shared %v: %s, %v; ss shows %q, want 2 7:\n%s", b, shared, got, err, shown, out)
			}
		}
		s.Close()
		s.Unlock()
	}
}

func somaxconn(t *testing.T) (n int) {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err == nil {
		_, err = fmt.Sscan(string(text), &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The kernel cuts what is asked for above net.core.somaxconn, and says nothing: the set does.
func TestBacklogThatIsCut(t *testing.T) {
	most := somaxconn(t)
	dir := shortDir(t)
	s := openWith(t, Options{Dir: dir, Backlog: most + 1}, "127.0.0.1:0", "unix://"+dir+"/sock")
	for i, b := range s.Binds() {
		if _, limit, err := Queue(s.Slot(0)[i]); err != nil || limit != most {
			t.Errorf("%v: %d may wait, %v, want %d", b, limit, err, most)
		}
	}
	want := fmt.Sprintf("--backlog %d is more than net.core.somaxconn, and the kernel lets only %d connections wait: raise it with `sysctl net.core.somaxconn=%d`", most+1, most, most+1)
	if s.Note() != want {
		t.Errorf("note %q, want %q", s.Note(), want)
	}
}

func TestParseQueue(t *testing.T) {
	order := binary.NativeEndian
	attribute := func(kind uint16, words ...uint32) []byte {
		a := order.AppendUint16(nil, uint16(4+4*len(words)))
		a = order.AppendUint16(a, kind)
		for _, w := range words {
			a = order.AppendUint32(a, w)
		}
		return a
	}
	answer := func(attributes ...[]byte) []byte {
		a := make([]byte, 32)
		order.PutUint16(a[4:], sockDiagByFamily)
		for _, more := range attributes {
			a = append(a, more...)
		}
		return a
	}
	whole := answer(attribute(0, 1), attribute(queueAttribute, 3, 128))
	if waiting, limit, err := parseQueue(whole); waiting != 3 || limit != 128 || err != nil {
		t.Errorf("%d of %d, %v, want 3 of 128", waiting, limit, err)
	}
	for n := range whole {
		if _, _, err := parseQueue(whole[:n]); err == nil {
			t.Errorf("the first %d bytes of an answer are one", n)
		}
	}
	broken := answer(attribute(0), attribute(queueAttribute, 3, 128))
	order.PutUint16(broken[32:], 0)
	if _, _, err := parseQueue(broken); !errors.Is(err, errNoQueue) {
		t.Errorf("an attribute without length: %v", err)
	}
	refused := make([]byte, 36)
	order.PutUint16(refused[4:], unix.NLMSG_ERROR)
	order.PutUint32(refused[16:], ^uint32(unix.ENOENT)+1)
	if _, _, err := parseQueue(refused); !errors.Is(err, unix.ENOENT) {
		t.Errorf("an answer that refuses: %v", err)
	}
}
