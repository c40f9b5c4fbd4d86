package sockets

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
)

func bind(t *testing.T, text string) configs.Bind {
	t.Helper()
	b, err := configs.ParseBind(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// open opens a set for the length of the test.
func open(t *testing.T, dir string, binds ...string) *Set {
	t.Helper()
	return openWith(t, Options{Dir: dir, Holder: "the test"}, binds...)
}

func openWith(t *testing.T, o Options, binds ...string) *Set {
	t.Helper()
	s, err := try(t, o, binds...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		s.Unlock()
	})
	return s
}

func try(t *testing.T, o Options, binds ...string) (*Set, error) {
	t.Helper()
	var parsed []configs.Bind
	for _, text := range binds {
		parsed = append(parsed, bind(t, text))
	}
	return Open(parsed, o)
}

func option(t *testing.T, fd *ipc.FD, level, name int) int {
	t.Helper()
	n, err := unix.GetsockoptInt(fd.Int(), level, name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func flags(t *testing.T, fd *ipc.FD, command int) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd.Int()), command, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func port(t *testing.T, fd *ipc.FD) int {
	t.Helper()
	name, err := unix.Getsockname(fd.Int())
	if err != nil {
		t.Fatal(err)
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return name.Port
	case *unix.SockaddrInet6:
		return name.Port
	}
	t.Fatalf("%T", name)
	return 0
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "127.0.0.1:0", "127.0.0.1:0")
	for slot := range 3 {
		if err := s.OpenSlot(slot); err != nil {
			t.Fatal(err)
		}
	}
	binds := s.Binds()
	if binds[0].Address == binds[1].Address {
		t.Errorf("two binds to any port got the same: %v", binds)
	}
	for slot := range 3 {
		row := s.Slot(slot)
		if len(row) != 2 {
			t.Fatalf("slot %d has %d listeners", slot, len(row))
		}
		for i, fd := range row {
			if got := fmt.Sprintf("127.0.0.1:%d", port(t, fd)); got != binds[i].Address {
				t.Errorf("slot %d listens on %s, the first one chose %s", slot, got, binds[i].Address)
			}
			if option(t, fd, unix.SOL_SOCKET, unix.SO_REUSEPORT) != 1 || option(t, fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN) != 1 {
				t.Errorf("slot %d, bind %d is no listener with SO_REUSEPORT", slot, i)
			}
			if option(t, fd, unix.SOL_SOCKET, unix.SO_PROTOCOL) != unix.IPPROTO_TCP {
				t.Errorf("slot %d, bind %d is no TCP socket but a multipath one", slot, i)
			}
			if flags(t, fd, unix.F_GETFD)&unix.FD_CLOEXEC == 0 {
				t.Errorf("slot %d, bind %d would leak into every child", slot, i)
			}
		}
	}
	if s.Slot(3) != nil {
		t.Error("a slot that was not opened has listeners")
	}
	if locks, _ := filepath.Glob(filepath.Join(dir, "*.lock")); len(locks) != 2 {
		t.Errorf("locks %v, want one a bind", locks)
	}
	fds := s.Slot(0)
	s.Close()
	s.Unlock()
	if fds[0].Int() != -1 || fds[1].Int() != -1 {
		t.Error("a listener is open after Close")
	}
	if locks, _ := filepath.Glob(filepath.Join(dir, "*.lock")); len(locks) != 0 {
		t.Errorf("locks %v are left", locks)
	}
}

// With one listener for all slots there is no group of SO_REUSEPORT that another could join.
func TestOpenShared(t *testing.T) {
	s := openWith(t, Options{Dir: t.TempDir(), Shared: true}, "127.0.0.1:0", "tls://127.0.0.1:0?cert=a&key=b")
	if err := s.OpenSlot(2); err != nil {
		t.Fatal(err)
	}
	for i, b := range s.Binds() {
		fd := s.Slot(0)[i]
		if !s.Shared(i) || s.Slot(1)[i] != fd || s.Slot(2)[i] != fd {
			t.Errorf("%v: not one listener for all slots", b)
		}
		if got := fmt.Sprintf("127.0.0.1:%d", port(t, fd)); got != b.Address {
			t.Errorf("%v listens on %s", b, got)
		}
		if option(t, fd, unix.SOL_SOCKET, unix.SO_REUSEPORT) != 0 || flags(t, fd, unix.F_GETFL)&unix.O_NONBLOCK == 0 || polled(t, fd.Int()) {
			t.Errorf("%v: with SO_REUSEPORT, blocking, or in the poller", b)
		}
		if _, err := Open([]configs.Bind{b}, Options{Dir: t.TempDir()}); !errors.Is(err, ErrTaken) {
			t.Errorf("a second cluster on %v: %v", b, err)
		}
	}
	fd := s.Slot(0)[0]
	s.Close()
	if fd.Int() != -1 {
		t.Error("the shared listener is open after Close")
	}
	if own := open(t, t.TempDir(), "127.0.0.1:0"); own.Shared(0) {
		t.Error("a listener of its own is called shared")
	}
}

func TestFamilies(t *testing.T) {
	for _, test := range []struct {
		bind   string
		domain int
		only   int // IPV6_V6ONLY
	}{
		{"0.0.0.0:0", unix.AF_INET, 0},
		{":0", unix.AF_INET6, 0},
		{"[::]:0", unix.AF_INET6, 0},
		{"[::1]:0", unix.AF_INET6, 1},
	} {
		for _, shared := range []bool{false, true} {
			if test.domain == unix.AF_INET6 {
				l, err := net.Listen("tcp", "[::1]:0")
				if err != nil {
					t.Skipf("no IPv6: %v", err)
				}
				l.Close()
			}
			fd := openWith(t, Options{Dir: t.TempDir(), Shared: shared}, test.bind).Slot(0)[0]
			if got := option(t, fd, unix.SOL_SOCKET, unix.SO_DOMAIN); got != test.domain {
				t.Errorf("%s, shared %v: domain %d, want %d", test.bind, shared, got, test.domain)
			} else if got == unix.AF_INET6 && option(t, fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY) != test.only {
				t.Errorf("%s, shared %v: IPV6_V6ONLY is not %d", test.bind, shared, test.only)
			}
		}
	}
}

// Whatever becomes of a set, it leaves no descriptor behind.
func TestDescriptors(t *testing.T) {
	dir, taken := shortDir(t), open(t, t.TempDir(), "127.0.0.1:0").Binds()[0].String()
	open(t, t.TempDir(), "127.0.0.1:0") // the poller is there from here on
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	broken := configs.Bind{Scheme: "unix", Address: dir + "/a", Mode: "rw"} // found out when the file is there
	if _, err := Open([]configs.Bind{broken}, Options{Dir: t.TempDir()}); err == nil {
		t.Error("a socket of no mode was opened")
	}
	if after := count(); after != before {
		t.Errorf("a socket of no mode: %d descriptors more than before", after-before)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("a socket of no mode: %v is left", left)
	}
	for _, test := range []struct {
		binds []string
		fails bool
	}{
		{[]string{"127.0.0.1:0", "unix://" + dir + "/a", "unix://@" + dir}, false},
		{[]string{"127.0.0.1:0", "unix://" + dir + "/a", taken}, true},
		{[]string{"127.0.0.1:0", "unix://" + dir + "/a", "192.0.2.1:80"}, true},
		{[]string{"127.0.0.1:0", "unix://" + dir + "/a", "unix://" + dir + "/missing/b"}, true},
		{[]string{"127.0.0.1:0", "unix://" + dir + "/a?owner=nobody-has-this-name"}, true},
		{[]string{"127.0.0.1:0", "fd://web"}, true},
	} {
		for _, shared := range []bool{false, true} {
			s, err := try(t, Options{Dir: t.TempDir(), Backlog: 5, Shared: shared}, test.binds...)
			if (err != nil) != test.fails {
				t.Errorf("%v: %v", test.binds, err)
			}
			if err == nil {
				if err := s.OpenSlot(3); err != nil {
					t.Error(err)
				}
				s.Close()
				s.Close()
				s.Unlock()
			}
			if after := count(); after != before {
				t.Errorf("%v, shared %v: %d descriptors more than before", test.binds, shared, after-before)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("%v, shared %v: %v is left", test.binds, shared, left)
			}
		}
	}
}

// A listener stays non-blocking, and out of the poller of this process, also when it is handed to a child.
func TestListenersAreRaw(t *testing.T) {
	fd := open(t, t.TempDir(), "127.0.0.1:0").Slot(0)[0]
	check := func(when string) {
		t.Helper()
		if flags(t, fd, unix.F_GETFL)&unix.O_NONBLOCK == 0 {
			t.Errorf("%s: the listener blocks", when)
		}
		if polled(t, fd.Int()) {
			t.Errorf("%s: the listener is in the poller of this process", when)
		}
	}
	check("after it was opened")
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "exit 0"}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2, uintptr(fd.Int())}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	check("after a child was started with it")
}

// polled reports whether an epoll instance of this process watches a descriptor.
func polled(t *testing.T, fd int) bool {
	t.Helper()
	watched, pollers, err := watches(fd)
	if err != nil {
		t.Fatal(err)
	}
	if pollers == 0 {
		t.Fatal("this process has no poller")
	}
	return watched
}

// watches looks into all epoll instances of this process (proc_pid_fdinfo(5)).
func watches(fd int) (watched bool, pollers int, err error) {
	entries, err := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if link, _ := os.Readlink("/proc/self/fd/" + e.Name()); link != "anon_inode:[eventpoll]" {
			continue
		}
		pollers++
		info, _ := os.ReadFile("/proc/self/fdinfo/" + e.Name())
		for line := range strings.Lines(string(info)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "tfd:" && f[1] == fmt.Sprint(fd) {
				watched = true
			}
		}
	}
	return watched, pollers, err
}

func TestAddressTaken(t *testing.T) {
	for _, test := range []struct{ listen, bind string }{
		{"127.0.0.1:0", "127.0.0.1"},
		{"127.0.0.1:0", "0.0.0.0"},
		{"0.0.0.0:0", "127.0.0.1"},
		{"127.0.0.1:0", ""},
		{"[::]:0", "127.0.0.1"},
		{"[::1]:0", "::1"},
	} {
		l, err := net.Listen("tcp", test.listen)
		if err != nil {
			t.Logf("%s: %v", test.listen, err) // a machine without IPv6
			continue
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		b := bind(t, net.JoinHostPort(test.bind, port))
		dir := t.TempDir()
		_, err = Open([]configs.Bind{b}, Options{Dir: dir, Holder: "the test"})
		var taken *TakenError
		if !errors.As(err, &taken) || !errors.Is(err, ErrTaken) {
			t.Errorf("%v while %v is listened on: %v", b, l.Addr(), err)
			continue
		}
		if len(taken.Owners) != 1 || taken.Owners[0].PID != os.Getpid() || taken.Owners[0].Worker || taken.Orphans() {
			t.Errorf("%v: owners %+v, want this process %d", b, taken.Owners, os.Getpid())
		}
		if want := fmt.Sprintf("cannot bind %v: address already in use by pid %d %q", b, os.Getpid(), taken.Owners[0].Title); err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}

		// It can be tried again: nothing was kept.
		if locks, _ := filepath.Glob(filepath.Join(dir, "*.lock")); len(locks) != 0 {
			t.Errorf("locks %v are left", locks)
		}
		l.Close()
		s, err := Open([]configs.Bind{b}, Options{Dir: dir, Holder: "the test"})
		if err != nil {
			t.Errorf("when %v was free: %v", b, err)
			continue
		}
		s.Close()
		s.Unlock()
	}
}

// SO_REUSEPORT alone would let a second cluster in: the lock and the probe do not.
func TestSecondCluster(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir, "127.0.0.1:0").Binds()
	if _, err := Open(first, Options{Dir: dir, Holder: "another"}); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "another cluster serves it (the test)") {
		t.Errorf("with the same locks: %v", err)
	}
	if _, err := Open(first, Options{Dir: t.TempDir(), Holder: "another"}); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d ", os.Getpid())) {
		t.Errorf("with other locks: %v", err)
	}

	// A bind that fails takes those before it back.
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := bind(t, free.Addr().String())
	free.Close()
	if _, err := Open([]configs.Bind{b, first[0]}, Options{Dir: dir, Holder: "another"}); !errors.Is(err, ErrTaken) {
		t.Fatalf("%v", err)
	}
	s, err := Open([]configs.Bind{b}, Options{Dir: dir, Holder: "another"})
	if err != nil {
		t.Fatalf("the bind before the one that failed was kept: %v", err)
	}
	s.Close()
	s.Unlock()
}

func TestAddressesThatAreNone(t *testing.T) {
	for _, test := range []struct{ bind, want string }{
		{"192.0.2.1:80", "cannot assign requested address: no interface of this machine has the address"},
		{"[fe80::1%nosuch0]:80", "no such network interface"},
	} {
		_, err := Open([]configs.Bind{bind(t, test.bind)}, Options{Dir: t.TempDir(), Holder: "the test"})
		if err == nil || errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "cannot bind tcp://") {
			t.Errorf("%s: %v, want %s", test.bind, err, test.want)
		}
	}
}

func TestZone(t *testing.T) {
	l, err := net.Listen("tcp", "[::1%lo]:0")
	if err != nil {
		t.Skipf("no IPv6 on the loopback interface: %v", err)
	}
	b := bind(t, l.Addr().String())
	l.Close()
	b.Address = strings.Replace(b.Address, "[::1]", "[::1%lo]", 1)
	s, err := Open([]configs.Bind{b}, Options{Dir: t.TempDir(), Holder: "the test"})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Unlock()
}

func TestTakenErrorSaysWho(t *testing.T) {
	b := configs.Bind{Scheme: "tcp", Address: "127.0.0.1:80"}
	for _, test := range []struct {
		owners  []Owner
		orphans bool
		want    string
	}{
		{nil, false, "cannot bind tcp://127.0.0.1:80: address already in use (by a process that this user may not see; try `ss -ltnp` as root)"},
		{[]Owner{{PID: 7, Title: "nginx: master"}}, false, `cannot bind tcp://127.0.0.1:80: address already in use by pid 7 "nginx: master"`},
		{
			[]Owner{{PID: 8, Title: "cluster: worker 0 gen 1", Worker: true}, {PID: 9, Title: "sh app", Worker: true}},
			true, `cannot bind tcp://127.0.0.1:80: address already in use by pid 8 "cluster: worker 0 gen 1", pid 9 "sh app"`,
		},
		{
			[]Owner{{PID: 6, Title: "cluster start"}, {PID: 8, Title: "cluster: worker 0 gen 1", Worker: true}},
			false, `cannot bind tcp://127.0.0.1:80: address already in use by pid 6 "cluster start", pid 8 "cluster: worker 0 gen 1"`,
		},
	} {
		err := &TakenError{Bind: b, Owners: test.owners}
		if err.Error() != test.want || err.Orphans() != test.orphans {
			t.Errorf("%v, orphans %v; want %s, %v", err, err.Orphans(), test.want, test.orphans)
		}
	}
}

// An orphan is known by its title or, when a script has become the program, by the name of its process.
func TestDescribe(t *testing.T) {
	for _, test := range []struct {
		argv   []string
		worker bool
	}{
		{[]string{"cluster: worker 3 gen 2", "-c", "echo; read x"}, true},
		{[]string{"app", "-c", "printf cluster-w3 >/proc/$$/comm; echo; read x"}, true},
		{[]string{"app", "-c", "echo; read x"}, false},
	} {
		var in, out [2]int
		if err := errors.Join(unix.Pipe2(in[:], unix.O_CLOEXEC), unix.Pipe2(out[:], unix.O_CLOEXEC)); err != nil {
			t.Fatal(err)
		}
		pid, err := syscall.ForkExec("/bin/sh", test.argv, &syscall.ProcAttr{Files: []uintptr{uintptr(in[0]), uintptr(out[1]), 2}})
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(out[1])
		if n, err := unix.Read(out[0], make([]byte, 1)); n != 1 {
			t.Fatalf("%q says nothing: %v", test.argv, err)
		}
		o, alive := describe(pid)
		if !alive || o.PID != pid || o.Worker != test.worker || !strings.HasPrefix(o.Title, test.argv[0]) || len(o.Title) > 80 {
			t.Errorf("%q: %+v", test.argv, o)
		}
		unix.Close(in[1])
		_, _ = syscall.Wait4(pid, nil, 0, nil)
		unix.Close(in[0])
		unix.Close(out[0])
		if o, alive := describe(pid); alive {
			t.Errorf("%q has left, and is described as %+v", test.argv, o)
		}
	}
}

func TestListening(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1 0 100 0 0 10 0
   1: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 102 1 0 100 0 0 10 0
   2: 0200007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 103 1 0 100 0 0 10 0
   3: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 104 1 0 100 0 0 10 0
   4: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 105 1 0 100 0 0 10 0
   5: 00000000000000000000000000000000:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 106 1 0 100 0 0 10 0
   6: garbage
`
	for _, test := range []struct {
		address string
		want    string
	}{
		{"127.0.0.1:8080", "101"},
		{"127.0.0.2:8080", "103"},
		{"127.0.0.1:8081", "102"},
		{"127.0.0.1:8082", "106"},
		{"[::1]:8080", "105"},
		{":8080", "101 103 105"},
		{"0.0.0.0:8080", "101 103 105"},
		{"127.0.0.1:8083", ""},
	} {
		address, err := net.ResolveTCPAddr("tcp", test.address)
		if err != nil {
			t.Fatal(err)
		}
		inodes := map[string]bool{}
		listening([]byte(table), address, inodes)
		want := map[string]bool{}
		for _, n := range strings.Fields(test.want) {
			want["socket:["+n+"]"] = true
		}
		if fmt.Sprint(inodes) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", test.address, inodes, want)
		}
	}
}
