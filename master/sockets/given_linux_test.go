package sockets

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
)

// found is what a program that was given sockets has made of them.
type found struct {
	Given  []string // the binds for those that were given
	Err    string   // of Given, or of the last Open
	First  string   // of the Open before, if there was one
	Binds  []string
	Limits []int
	Wrong  []string
}

// useGiven opens a set as the plan says: folder for locks, backlog, and the binds, by spaces; "all" are those of Given. Two
// lists of binds, with | between them, are tried one after the other.
func useGiven(plan string) (f found) {
	words := strings.Fields(plan)
	o := Options{Dir: words[0]}
	fmt.Sscan(words[1], &o.Backlog)
	given, err := Given()
	if err != nil {
		f.Err = err.Error()
		return f
	}
	for _, b := range given {
		f.Given = append(f.Given, b.String())
	}
	for i := range given {
		if own, err := unix.FcntlInt(uintptr(firstGiven+i), unix.F_GETFD, 0); err != nil || own&unix.FD_CLOEXEC == 0 {
			f.Wrong = append(f.Wrong, fmt.Sprintf("descriptor %d would leak into every child: flags %#x, %v", firstGiven+i, own, err))
		}
	}
	var s *Set
	for list := range strings.SplitSeq(strings.Join(words[2:], " "), "|") {
		f.First, f.Err = f.Err, ""
		var binds []configs.Bind
		for _, text := range strings.Fields(list) {
			if text == "all" {
				binds = given
				continue
			}
			b, err := configs.ParseBind(text)
			if err != nil {
				f.Err = err.Error()
			}
			binds = append(binds, b)
		}
		if s, err = Open(binds, o); err != nil {
			f.Err = err.Error()
		}
	}
	if f.Err == "" {
		f.inspect(s)
	}
	return f
}

// inspect looks at the listeners, and answers a connection that waits in each.
func (f *found) inspect(s *Set) {
	wrong := func(format string, args ...any) { f.Wrong = append(f.Wrong, fmt.Sprintf(format, args...)) }
	if err := s.OpenSlot(1); err != nil {
		wrong("slot 1: %v", err)
	}
	for i, b := range s.Binds() {
		f.Binds = append(f.Binds, b.String())
		fd := s.Slot(1)[i]
		if !s.Shared(i) || s.Slot(0)[i] != fd {
			wrong("%v is not shared by the slots", b)
		}
		status, _ := unix.FcntlInt(uintptr(fd.Int()), unix.F_GETFL, 0)
		own, _ := unix.FcntlInt(uintptr(fd.Int()), unix.F_GETFD, 0)
		watched, _, err := watches(fd.Int())
		if status&unix.O_NONBLOCK == 0 || own&unix.FD_CLOEXEC == 0 || watched || err != nil {
			wrong("%v: flags %#x, %#x, in the poller %v, %v", b, status, own, watched, err)
		}
		_, limit, err := Queue(fd)
		if err != nil {
			wrong("%v: %v", b, err)
		}
		f.Limits = append(f.Limits, limit)
		nc, _, err := unix.Accept(fd.Int())
		if err == nil {
			_, err = unix.Write(nc, []byte("hello"))
			unix.Close(nc)
		}
		if err != nil {
			wrong("%v: %v", b, err)
		}
	}
	s.Close()
	for i := range 8 {
		if _, err := unix.GetsockoptInt(firstGiven+i, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil {
			wrong("descriptor %d is an open socket after Close", firstGiven+i)
		}
	}
	s.Unlock()
}

// activate starts the test binary with sockets, as systemd does. The shell gives it its own process id.
func activate(t *testing.T, plan, names, pid string, sockets ...int) found {
	t.Helper()
	var out [2]int
	if err := unix.Pipe2(out[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	read := os.NewFile(uintptr(out[0]), "child")
	defer read.Close()
	files := []uintptr{0, uintptr(out[1]), 2}
	for _, fd := range sockets {
		files = append(files, uintptr(fd))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "LISTEN_PID=" + pid + ` exec "$0"`, self}, &syscall.ProcAttr{
		Files: files,
		Env:   append(ipc.Scrub(os.Environ()), envGiven+"="+plan, "GORACE=atexit_sleep_ms=0", fmt.Sprint("LISTEN_FDS=", len(sockets)), "LISTEN_FDNAMES="+names),
	})
	unix.Close(out[1])
	if err != nil {
		t.Fatal(err)
	}
	var f found
	decodeErr := json.NewDecoder(read).Decode(&f)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(child, &status, 0, nil); err != nil || status.ExitStatus() != 0 || decodeErr != nil {
		t.Fatalf("child: status %v, %v, %v", status, err, decodeErr)
	}
	return f
}

// offered are the sockets that the tests give away: a TCP and a unix listener, each with a connection that waits, and what
// cannot be served.
type offered struct {
	tcp, unix, datagram, connection, pipe int
	tcpBind, unixBind                     string
	clients                               [2]net.Conn
}

func offer(t *testing.T) (o offered) {
	t.Helper()
	path := filepath.Join(shortDir(t), "sock")
	var files []*ipc.FD
	for i, make := range []func() (int, unix.Sockaddr, error){
		func() (int, unix.Sockaddr, error) {
			n, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			return n, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}, err
		},
		func() (int, unix.Sockaddr, error) {
			n, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			return n, &unix.SockaddrUnix{Name: path}, err
		},
	} {
		n, address, err := make()
		if err == nil {
			err = errors.Join(unix.Bind(n, address), unix.Listen(n, 16))
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, ipc.Own(n))
		network := []string{"tcp", "unix"}[i]
		where := path
		if network == "tcp" {
			where = fmt.Sprintf("127.0.0.1:%d", port(t, files[0]))
			o.tcpBind = "tcp://" + where
		}
		if o.clients[i], err = net.Dial(network, where); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	datagrams, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	for _, n := range append(append(pair[:], datagrams[:]...), pipe[:]...) {
		files = append(files, ipc.Own(n))
	}
	t.Cleanup(func() {
		for _, fd := range files {
			fd.Close()
		}
		o.clients[0].Close()
		o.clients[1].Close()
	})
	o.tcp, o.unix, o.unixBind = files[0].Int(), files[1].Int(), "unix://"+path
	o.connection, o.datagram, o.pipe = pair[0], datagrams[0], pipe[0]
	return o
}

func TestGivenSockets(t *testing.T) {
	o := offer(t)
	taken := open(t, t.TempDir(), "127.0.0.1:0").Binds()[0].String()
	both := []string{o.tcpBind, o.unixBind}
	for _, test := range []struct {
		name         string
		names, binds string
		sockets      []int
		given        []string
		want         []string // binds
		err          string
	}{
		{
			name: "by name and number", names: "web:admin", binds: "fd://web fd://4", sockets: []int{o.tcp, o.unix},
			given: []string{"fd://web", "fd://admin"}, want: both,
		},
		{
			name: "in another order", names: "web:admin", binds: "fd://admin?proxy=on fd://3", sockets: []int{o.tcp, o.unix},
			given: []string{"fd://web", "fd://admin"}, want: []string{o.unixBind + "?proxy=on", o.tcpBind},
		},
		{
			name: "all", names: "web:admin", binds: "all", sockets: []int{o.tcp, o.unix},
			given: []string{"fd://web", "fd://admin"}, want: both,
		},
		{
			name: "all of one unit, which have one name", names: "app.socket:app.socket", binds: "all", sockets: []int{o.tcp, o.unix},
			given: []string{"fd://3", "fd://4"}, want: both,
		},
		{
			name: "the first one of a name", names: "app:app", binds: "fd://app fd://4", sockets: []int{o.tcp, o.unix},
			given: []string{"fd://3", "fd://4"}, want: both,
		},
		{
			name: "without names", binds: "all", sockets: []int{o.tcp, o.unix},
			given: []string{"fd://3", "fd://4"}, want: both,
		},
		{
			name: "with names that are none", names: "4:a?b", binds: "all", sockets: []int{o.tcp, o.unix},
			given: []string{"fd://3", "fd://4"}, want: both,
		},
		{
			name: "tried again", names: "web:admin", binds: "all " + taken + "|all", sockets: []int{o.tcp, o.unix},
			given: []string{"fd://web", "fd://admin"}, want: both,
		},
		{
			name: "one that no bind serves", names: "web:admin", binds: "fd://web", sockets: []int{o.tcp, o.unix},
			given: []string{"fd://web", "fd://admin"},
			err:   `no --bind serves, and its clients would wait for ever: descriptor 4, named "admin"; give --bind fd://admin too`,
		},
		{
			name: "none of them", names: "web", binds: "127.0.0.1:0", sockets: []int{o.tcp},
			given: []string{"fd://web"}, err: `descriptor 3, named "web"; give --bind fd://web too, or none at all`,
		},
		{
			name: "one twice", names: "web", binds: "fd://web fd://3", sockets: []int{o.tcp},
			given: []string{"fd://web"}, err: "cannot bind fd://3: another bind has the same socket, descriptor 3",
		},
		{
			name: "a name that none has", names: "web:admin", binds: "fd://wep", sockets: []int{o.tcp, o.unix},
			given: []string{"fd://web", "fd://admin"}, err: "cannot bind fd://wep: no such socket was handed over at start, only fd://web, fd://admin",
		},
		{
			name: "a number that none has", names: "web", binds: "fd://4", sockets: []int{o.tcp},
			given: []string{"fd://web"}, err: "cannot bind fd://4: no such socket was handed over at start, only fd://web",
		},
		{name: "nothing", binds: "fd://web", err: "cannot bind fd://web: no socket was handed over at start"},
		{
			name: "datagrams", names: "log", binds: "all", sockets: []int{o.datagram},
			given: []string{"fd://log"}, err: "cannot bind fd://log: descriptor 3: it is no stream socket",
		},
		{
			name: "a connection", names: "connection", binds: "all", sockets: []int{o.connection},
			given: []string{"fd://connection"}, err: "descriptor 3: it does not listen: it is a connection",
		},
		{
			name: "a pipe", names: "fifo", binds: "all", sockets: []int{o.pipe},
			given: []string{"fd://fifo"}, err: "descriptor 3: it is no socket",
		},
		{name: "too few names", names: "web", binds: "all", sockets: []int{o.tcp, o.unix}, err: `LISTEN_FDNAMES="web" has 1 names for 2 descriptors`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.want != nil { // one connection for each program that answers it
				again := offer(t)
				test.want = slices.Clone(test.want)
				for i, n := range test.sockets {
					test.sockets[i] = map[int]int{o.tcp: again.tcp, o.unix: again.unix}[n]
				}
				for i, b := range test.want {
					test.want[i] = strings.NewReplacer(o.tcpBind, again.tcpBind, o.unixBind, again.unixBind).Replace(b)
				}
				defer func() {
					for i, c := range again.clients {
						if said, err := io.ReadAll(c); string(said) != "hello" {
							t.Errorf("client %d was told %q, %v", i, said, err)
						}
					}
				}()
			}
			f := activate(t, t.TempDir()+" 0 "+test.binds, test.names, "$$", test.sockets...)
			if !reflect.DeepEqual(f.Given, test.given) || f.Wrong != nil {
				t.Errorf("given %q, want %q; wrong: %q", f.Given, test.given, f.Wrong)
			}
			if test.err != "" {
				if !strings.Contains(f.Err, test.err) {
					t.Errorf("error %q, want %q", f.Err, test.err)
				}
				return
			}
			if f.Err != "" || !reflect.DeepEqual(f.Binds, test.want) || !reflect.DeepEqual(f.Limits, []int{16, 16}) {
				t.Errorf("binds %q with queues %v, %q, want %q with 16", f.Binds, f.Limits, f.Err, test.want)
			}
			if strings.Contains(test.binds, "|") && !strings.Contains(f.First, "address already in use") {
				t.Errorf("the first try: %q", f.First)
			}
		})
	}
}

func TestGivenBacklog(t *testing.T) {
	o := offer(t)
	f := activate(t, t.TempDir()+" 5 all", "web:admin", "$$", o.tcp, o.unix)
	if f.Err != "" || f.Wrong != nil || !reflect.DeepEqual(f.Limits, []int{5, 5}) {
		t.Errorf("%+v, want queues of 5", f)
	}
}

// What was given to another process, a parent that has passed its variables on, is none of this one's business.
func TestGivenToAnother(t *testing.T) {
	o := offer(t)
	f := activate(t, t.TempDir()+" 0 fd://web", "web", "1", o.tcp)
	if f.Given != nil || !strings.Contains(f.Err, "no socket was handed over at start") {
		t.Errorf("%+v", f)
	}
}

func TestReceiveRefuses(t *testing.T) {
	for _, test := range []struct{ fds, want string }{
		{"", `LISTEN_FDS="" is no number`},
		{"many", `LISTEN_FDS="many" is no number`},
		{"-1", `LISTEN_FDS="-1" is no number`},
	} {
		received, err := receive(func(name string) string { return map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": test.fds}[name] }, 7)
		if received != nil || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, %v, want %s", test.fds, received, err, test.want)
		}
	}
	received, err := receive(func(name string) string { return map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "0"}[name] }, 7)
	if received != nil || err != nil {
		t.Errorf("no descriptors: %v, %v", received, err)
	}
	closed := slices.Repeat([]int{-1}, 60) // the first ones may be the child's own by then
	if f := activate(t, t.TempDir()+" 0 all", "", "$$", closed...); !strings.Contains(f.Err, " is not open") {
		t.Errorf("descriptors that are not open: %+v", f)
	}
}

// The original: systemd's own program for trying socket activation out.
func TestSystemdSocketActivate(t *testing.T) {
	program := needProgram(t, "systemd-socket-activate", "systemd")
	path := filepath.Join(shortDir(t), "sock")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-l", path, "--fdname=web", "-E", envGiven+"="+t.TempDir()+" 0 all", "-E", "GORACE=atexit_sleep_ms=0", self)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(said)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Listening on ") {
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() { _, _ = io.Copy(io.Discard, said) }()
	var f found
	if err := json.NewDecoder(out).Decode(&f); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); string(answer) != "hello" {
		t.Errorf("the client was told %q, %v", answer, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if f.Err != "" || f.Wrong != nil || !reflect.DeepEqual(f.Given, []string{"fd://web"}) || !reflect.DeepEqual(f.Binds, []string{"unix://" + path}) {
		t.Errorf("%+v, want %s", f, path)
	}
}
