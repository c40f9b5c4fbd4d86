package worker

import (
	"bufio"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc"
)

// listenUnix is a unix listener as a worker inherits it, and the one of the master, which no worker may take away.
func listenUnix(t *testing.T) (inherited net.Listener, master *net.UnixListener) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cl") // those of t.TempDir have paths that are too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	master, err = net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(dir, "sock")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	return inheritUnix(t, master), master
}

func inheritUnix(t *testing.T, master *net.UnixListener) net.Listener {
	t.Helper()
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd *ipc.FD
	if controlErr := raw.Control(func(n uintptr) { fd, err = ipc.Duplicate(int(n)) }); controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
	l, err := listen(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// ask sends a request on a new connection of a unix socket.
func ask(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	nc, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return nc
}

// wantHello reads an answer, and whether it is to be the last one of the connection.
func wantHello(t *testing.T, nc net.Conn, last bool) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "hello" || res.Close != last {
		t.Errorf("answer %q, %v, Connection: close %v; want hello and %v", body, err, res.Close, last)
	}
}

// What waits in a unix socket when the cluster stops is accepted and answered, and the file is left to the master.
func TestFinalDrainOfAUnixSocket(t *testing.T) {
	l, master := listenUnix(t)
	const n = 50
	var clients []net.Conn
	for range n {
		clients = append(clients, ask(t, l))
	}
	w := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.listeners = []net.Listener{l} })
	w.order(order{final: true})
	await(t, "accepting to end", w.drained)
	for i, nc := range clients {
		res, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("client %d: %v", i, err)
		}
		nc.Close()
	}
	w.wantResult(t)
	want(t, "accepted", w.Row.Accepted.Load(), int64(n))
	want(t, "queued", queued(master), false)
	if there, err := os.Lstat(l.Addr().String()); err != nil || there.Mode().Type() != fs.ModeSocket {
		t.Errorf("the worker has removed the file: %v", err)
	}
}

// Workers share a unix socket: who leaves during a restart leaves what waits in it to the other.
func TestDrainLeavesAUnixSocketToOthers(t *testing.T) {
	first, master := listenUnix(t)
	leaving := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.listeners = []net.Listener{first} })
	kept := ask(t, master)
	wantHello(t, kept, false)
	leaving.drain(t, order{})
	waiting := ask(t, master)
	want(t, "queued", queued(master), true)
	w := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.listeners = []net.Listener{inheritUnix(t, master)} })
	wantHello(t, waiting, false)
	if _, err := io.WriteString(kept, "GET / HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	wantHello(t, kept, true) // once more, and told that it was the last time
	leaving.wantResult(t)
	want(t, "accepted by the one that leaves", leaving.Row.Accepted.Load(), 1)
	want(t, "accepted by the other", w.Row.Accepted.Load(), 1)
}

// Of a unix socket the kernel does not tell how a write progresses: a client that takes a piece in each write timeout is
// alive, however long the whole of it lasts.
func TestSlowUnixClientIsAlive(t *testing.T) {
	l, _ := listenUnix(t)
	peer := ask(t, l)
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := newTestMember(testConfig()).admit(nc, 0)
	defer c.Close()
	c.answer.Store(answerBegun)
	const pieces = 5
	done := make(chan written, 1)
	go func() {
		n, err := c.Write(make([]byte, pieces*writePiece))
		done <- written{int64(n), err}
	}()
	now := c.m.coarse.Load()
	eventually(t, "the write to begin", func() bool { return c.writeSince.Load() == now })
	for range pieces - 1 {
		now += int64(c.m.Limits().WriteTimeout) * 9 / 10
		c.m.coarse.Store(now)
		if _, err := io.CopyN(io.Discard, peer, writePiece); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the next piece", func() bool { return c.writeSince.Load() == now })
		c.look(now + int64(c.m.Limits().WriteTimeout))
	}
	if _, err := io.CopyN(io.Discard, peer, writePiece); err != nil {
		t.Fatal(err)
	}
	want(t, "write", await(t, "the write", done), written{n: pieces * writePiece})
}
