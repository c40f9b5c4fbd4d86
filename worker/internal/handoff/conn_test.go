//go:build linux

package handoff

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
	"github.com/prefork/cluster/worker/internal/kernel"
)

// received is a connection that was passed on, and its client.
func received(t testing.TB) (*Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := pass(t, nc)
	t.Cleanup(func() { c.Close() })
	return c, client.(*net.TCPConn)
}

// pass makes a connection of a duplicate of another's descriptor.
func pass(t testing.TB, nc net.Conn) *Conn {
	t.Helper()
	var own *ipc.FD
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { own, _ = ipc.Duplicate(int(fd)) })
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewConn(own, "tcp", nc.LocalAddr(), nc.RemoteAddr())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConn(t *testing.T) {
	c, client := received(t)
	if c.LocalAddr().String() != client.RemoteAddr().String() || c.RemoteAddr().String() != client.LocalAddr().String() {
		t.Errorf("addresses %v and %v", c.LocalAddr(), c.RemoteAddr())
	}
	client.Write([]byte("hello"))
	b := make([]byte, 10)
	if n, err := c.Read(b); string(b[:n]) != "hello" || err != nil {
		t.Errorf("read %q, %v", b[:n], err)
	}
	large := bytes.Repeat([]byte("x"), 8<<20)
	go c.Write(large)
	if got, err := io.ReadAll(io.LimitReader(client, int64(len(large)))); err != nil || !bytes.Equal(got, large) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	client.CloseWrite()
	if n, err := c.Read(b); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	if n, err := client.Read(b); n != 0 || err != io.EOF {
		t.Errorf("the client, at the end: %d, %v", n, err)
	}
}

// Its errors are those of a connection of package net: net/http decides by them what to answer.
func TestConnErrors(t *testing.T) {
	c, client := received(t)
	c.SetReadDeadline(time.Now().Add(-time.Second))
	_, err := c.Read(make([]byte, 1))
	var ne net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("deadline: %v", err)
	}
	c.SetReadDeadline(time.Time{})
	client.SetLinger(0)
	client.Close()
	_, err = c.Read(make([]byte, 1))
	var op *net.OpError
	if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &op) || op.Op != "read" {
		t.Errorf("reset: %v", err)
	}
	c.Close()
	if _, err = c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// The client learns of the end also while the worker that has passed the connection on is stopped, with the descriptor open.
func TestConnCloseReachesTheClient(t *testing.T) {
	c, client := received(t)
	kept := pass(t, c)
	defer kept.Leave()
	c.Close()
	client.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d, %v; want the end", n, err)
	}
}

func TestConnLeaveEndsNothing(t *testing.T) {
	c, client := received(t)
	kept := pass(t, c)
	defer kept.Close()
	c.Leave()
	kept.Write([]byte("on"))
	b := make([]byte, 2)
	if _, err := io.ReadFull(client, b); string(b) != "on" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// A file is copied by the kernel, whole or in part, while the client is slow to take it.
func TestConnReadFrom(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name  string
		wrap  func(*os.File) io.Reader
		bytes int64
	}{
		{"all", func(f *os.File) io.Reader { return f }, int64(len(text))},
		{"a part", func(f *os.File) io.Reader { return io.LimitReader(f, 3<<20) }, 3 << 20},
		{"more than there is", func(f *os.File) io.Reader { return io.LimitReader(f, 1<<40) }, int64(len(text))},
		{"no file", func(f *os.File) io.Reader { return io.MultiReader(f) }, int64(len(text))},
	} {
		t.Run(x.name, func(t *testing.T) {
			c, client := received(t)
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			type result struct {
				n   int64
				err error
			}
			done := make(chan result, 1)
			go func() {
				n, err := c.ReadFrom(x.wrap(f))
				c.CloseWrite()
				done <- result{n, err}
			}()
			got, err := io.ReadAll(client)
			if r := <-done; r.n != x.bytes || r.err != nil || err != nil || !bytes.Equal(got, text[:x.bytes]) {
				t.Errorf("copied %d, %v; %d bytes arrived, %v", r.n, r.err, len(got), err)
			}
		})
	}
}

// passOn does what both processes do for one handoff, but for being woken: reserve, look, send and close; receive, claim and make a
// connection of it.
func (g *group) passOn(t testing.TB, c *Conn) *Conn {
	to, ok := g.Reserve()
	if !ok {
		t.Fatal("no thread is free")
	}
	var sent error
	err := c.raw.Control(func(fd uintptr) {
		if _, sent = kernel.Peek(int(fd), g.head); sent == nil {
			sent = g.Send(to.Seat, &inbox.Packet{Thread: to.Thread, Reservation: to.Reservation}, int(fd))
		}
	})
	if err = errors.Join(err, sent, c.Leave()); err != nil {
		t.Fatal(err)
	}
	p, fd, err := inbox.Receive(g.boxes[1].Read.Int(), false)
	if err != nil {
		t.Fatal(err)
	}
	cell := g.board.Cell(1, p.Thread)
	if !cell.Claim(p.Reservation) {
		t.Fatal("the reservation has ended")
	}
	cell.Give()
	g.row(1).Heartbeat.Store(g.clock.Now())
	if c, err = NewConn(fd, "tcp", c.local, c.remote); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestHundredThousandHandoffsLeakNothing(t *testing.T) {
	descriptors := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	g := newGroup(t, 1)
	c, client := received(t)
	client.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	before, goroutines := descriptors(), runtime.NumGoroutine()
	for range 100_000 {
		c = g.passOn(t, c)
	}
	if after := descriptors(); after != before {
		t.Errorf("%d descriptors, before %d", after, before)
	}
	if after := runtime.NumGoroutine(); after > goroutines {
		t.Errorf("%d goroutines, before %d", after, goroutines)
	}
	for i := range 2 {
		if !g.board.Cell(1, i).Free() {
			t.Errorf("thread %d is not free", i)
		}
	}
	b := make([]byte, 100)
	if n, err := c.Read(b); string(b[:n]) != "GET / HTTP/1.1\r\n\r\n" || err != nil {
		t.Errorf("%q, %v; want what was sent before it all", b[:n], err)
	}
	c.Close()
}

func BenchmarkPass(b *testing.B) {
	g := newGroup(b, 1)
	c, client := received(b)
	client.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	for b.Loop() {
		c = g.passOn(b, c)
	}
	c.Close()
}

// BenchmarkGetpid is the measure of a machine: a system call that does nothing.
func BenchmarkGetpid(b *testing.B) {
	for b.Loop() {
		unix.Getppid()
	}
}
