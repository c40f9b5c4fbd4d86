package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// bound is a socket with an address of this machine that no one else can take. It refuses until it listens.
func bound(t *testing.T) (fd int, addr string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}

func TestRefused(t *testing.T) {
	_, addr := bound(t)
	for _, keepAlive := range []bool{true, false} {
		report := Clients{Addr: addr, KeepAlive: keepAlive, Connections: 2, Requests: 6, OnAnswer: func(a Answer) {
			if a.Conn != 0 || a.Request != 0 || !a.First || !errors.Is(a.Err, unix.ECONNREFUSED) {
				t.Errorf("%+v", a)
			}
		}}.Run(context.Background())
		want(t, report, 0, map[Outcome]int64{Refused: 6})
		if len(report.ClassCounts) != 0 {
			t.Errorf("classes %v", report.ClassCounts)
		}
	}
}

// The kernel answers no more connects once the backlog, here of one connection, is full.
func TestConnectTimeout(t *testing.T) {
	fd, addr := bound(t)
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	full, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	queued := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for queued[0].Revents == 0 { // until it is in the backlog, which is a moment after Dial
		if _, err := unix.Poll(queued, -1); err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
	}
	report := Clients{Addr: addr, Requests: 2, Timeout: 20 * time.Millisecond}.Run(context.Background())
	want(t, report, 0, map[Outcome]int64{Timeout: 2})
}

// The server closes the connection with the third answer and does not announce it. Corked, the answer and the end of
// the stream travel in one segment: whoever has read the answer will see the end.
func TestClosedIdle(t *testing.T) {
	addr := serve(t, func(p *peer) {
		for range 2 {
			if p.request() == nil {
				return
			}
			p.say(answer(200, "x"))
		}
		if p.request() == nil {
			return
		}
		cork(t, p)
		p.say(answer(200, "x"))
	})
	var order []string
	report := Clients{Addr: addr, KeepAlive: true, Requests: 7, OnAnswer: func(a Answer) {
		order = append(order, fmt.Sprintf("%d.%d %s", a.Conn, a.Request, a.Outcome))
	}}.Run(context.Background())
	want(t, report, 3, map[Outcome]int64{OK: 7, ClosedIdle: 2})
	got := strings.Join(order, ", ")
	if want := "1.1 ok, 1.2 ok, 1.3 ok, 1.4 closed_idle, " +
		"2.1 ok, 2.2 ok, 2.3 ok, 2.4 closed_idle, 3.1 ok"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(report.LossList) != 0 {
		t.Errorf("losses listed: %v", report)
	}
}

// An idle connection found closed hides nothing that happens to the request on the next one.
func TestClosedIdleThenReset(t *testing.T) {
	var seen atomic.Int32
	addr := serve(t, func(p *peer) {
		p.request()
		if seen.Add(1) == 2 {
			p.reset()
			return
		}
		cork(t, p)
		p.say(answer(200, "x"))
	})
	report := Clients{Addr: addr, KeepAlive: true, Requests: 2}.Run(context.Background())
	want(t, report, 2, map[Outcome]int64{OK: 1, ClosedIdle: 1, Reset: 1})
}

// What an idle connection can do to the client, each waited for until it has arrived.
func TestLook(t *testing.T) {
	tests := []struct {
		name string
		does func(*peer)
		want Outcome
		err  string
	}{
		{"closed", func(p *peer) { _ = p.CloseWrite() }, ClosedIdle, "closed by the server"},
		{"reset", func(p *peer) { p.reset() }, ClosedIdle, "reset by peer"},
		{"speaks", func(p *peer) { p.say(answer(408, "")) }, Garbled, `"HTTP/1.1 408`},
		{"speaks and closes", func(p *peer) {
			cork(t, p)
			p.say(answer(408, ""))
			_ = p.CloseWrite()
		}, Garbled, `"HTTP/1.1 408`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			read := make(chan struct{})
			addr := serve(t, func(p *peer) {
				p.request()
				p.say(answer(200, "x"))
				<-read
				test.does(p)
				p.request() // until the client closes
			})
			conn, err := (&Clients{Addr: addr}).connect(time.Now().Add(defaultTimeout))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.close()
			text := []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if a := conn.ask(text, time.Now(), defaultTimeout); a.Outcome != OK {
				t.Fatalf("first: %+v", a)
			}
			if outcome, err := conn.look(); outcome != OK || err != nil {
				t.Fatalf("idle: %s, %v", outcome, err)
			}
			close(read)
			arrived(t, conn)
			a := conn.ask(text, time.Now(), defaultTimeout)
			if a.Outcome != test.want || a.Err == nil || !strings.Contains(a.Err.Error(), test.err) {
				t.Errorf("%+v, want %s with %q", a, test.want, test.err)
			}
			if a.Conn != conn.number || a.Request != 2 || a.First {
				t.Errorf("%+v", a)
			}
			if conn.keep(a) != nil {
				t.Error("the connection was kept")
			}
		})
	}
}

// arrived waits until there is something to read on the connection, be it its end or an error.
func arrived(t *testing.T, c *connection) {
	t.Helper()
	raw, err := c.socket.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Read(func(fd uintptr) bool {
		polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, _ := unix.Poll(polled, 0)
		return n > 0
	})
	if err != nil {
		t.Fatal(err)
	}
}

// cork holds what is written until the connection, or this half of it, is closed.
func cork(t *testing.T, p *peer) {
	raw, err := p.SyscallConn()
	if err != nil {
		t.Error(err)
		return
	}
	err = raw.Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1); err != nil {
			t.Errorf("cork: %v", err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}
