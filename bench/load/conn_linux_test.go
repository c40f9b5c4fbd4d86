package load

import (
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair is two connected sockets. What act does to the other end is there when it returns.
func pair(t *testing.T, act func(fd int) error) (fd int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := act(fds[1]); err != nil {
		t.Error(err)
	}
	t.Cleanup(func() {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
	})
	return fds[0]
}

func silent(int) error      { return nil }
func shutDown(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) }
func shutBoth(fd int) error { return unix.Shutdown(fd, unix.SHUT_RDWR) }
func speaking(fd int) error { _, err := unix.Write(fd, []byte("x")); return err }

// What came on an idle connection since the last epoll_wait is seen before a request is sent on it, and what epoll tells
// of a connection that is gone does not touch the one in its place.
func TestIdle(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		act  func(fd int) error
		want counts
	}{
		{silent, counts{}},
		{shutDown, counts{"closed_idle": 1}},
		{speaking, counts{"garbled": 1}},
	} {
		l := &loop{phase: counting, tally: newTally(Plan{}), input: make([]byte, 1)}
		c := &conn{fd: pair(t, test.act), turn: 2}
		l.ready(c, &unix.EpollEvent{Events: unix.EPOLLIN, Pad: 1})
		if got := l.tally.result().Outcomes; len(got) > 0 || c.fd < 0 {
			t.Errorf("an event of an earlier connection: %v", got)
		}
		over := l.look(c)
		if got := l.tally.result().Outcomes; over != (len(test.want) > 0) || !maps.Equal(got, test.want) {
			t.Errorf("over %v, %v, want %v", over, got, test.want)
		}
		l.phase = warming
		if l.look(c); !maps.Equal(l.tally.result().Outcomes, test.want) {
			t.Errorf("counted while warming: %v", l.tally.result().Outcomes)
		}
	}
}

// A connection that can no longer be written to was closed idle if it had served a request; the request then goes out on a
// new one, which in this test is refused.
func TestWriteFails(t *testing.T) {
	t.Parallel()
	for asked, want := range map[int]counts{1: {"reset": 1}, 2: {"closed_idle": 1, "refused": 1}} {
		l := &loop{
			phase: counting, tally: newTally(Plan{}), free: newQueue(1), open: 1, schedule: newSchedule(Plan{Rate: 1}),
			peer: peer{unix.AF_UNIX, &unix.SockaddrUnix{Name: filepath.Join(t.TempDir(), "none")}},
		}
		fd, err := unix.Dup(pair(t, shutBoth)) // the loop closes it
		if err != nil {
			t.Fatal(err)
		}
		c := &conn{fd: fd, state: asking, up: true, asked: asked, request: request{counted: true}, first: []byte("GET")}
		if l.write(c) || c.fd >= 0 || l.free.n != 1 || l.open != 0 {
			t.Errorf("request %d: descriptor %d, %d free, %d open", asked, c.fd, l.free.n, l.open)
		}
		if got := l.tally.result().Outcomes; !maps.Equal(got, want) {
			t.Errorf("request %d: %v, want %v", asked, got, want)
		}
	}
}

// crowded is a listener whose backlog is full until accept is called.
func crowded(t *testing.T, network string) (addr string, accept func()) {
	t.Helper()
	domain, to := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	if network == "unix" {
		domain, to = unix.AF_UNIX, &unix.SockaddrUnix{Name: filepath.Join(t.TempDir(), "s")}
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	if err := errors.Join(unix.Bind(fd, to), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	listener, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	addr = listener.Addr().String()
	for {
		conn, err := net.DialTimeout(network, addr, 200*time.Millisecond)
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	return addr, func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				(&server{}).serve(conn, true, fine)
			}()
		}
	}
}

// A connection that has to wait for room in the backlog is waited for: it is no refusal, and its wait is in the latency.
func TestBacklog(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			addr, accept := crowded(t, network)
			p := Plan{Path: "/", Connections: 2, Requests: 4, Timeout: 100 * time.Millisecond}
			if r := mustRun(t, addr, p); !maps.Equal(r.Outcomes, counts{"timeout": 4}) || r.Opened != 0 {
				t.Errorf("nobody accepts: %v, %d opened: %s", r.Outcomes, r.Opened, r.First)
			}
			const held = 50 * time.Millisecond
			p.Timeout = 20 * time.Second
			r, err := RunObserved(t.Context(), addr, p, Observer{Begin: func() { time.AfterFunc(held, accept) }})
			if err != nil || !maps.Equal(r.Outcomes, counts{"ok": 4}) || r.Opened != 2 || r.Latency.Max < held-10*time.Millisecond {
				t.Errorf("%v, %d opened, %s at most, %v: %s", r.Outcomes, r.Opened, r.Latency.Max, err, r.First)
			}
		})
	}
}
