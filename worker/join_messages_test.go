package worker

import (
	"fmt"
	"net/http"
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

// The life of a worker: hello, ready, draining, bye.
func TestWorkerLife(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "serve")
	m.wantReady()
	want(t, "pid in its row", m.row.PID.Load(), int64(m.pid))
	want(t, "generation", m.row.Generation.Load(), 7)
	want(t, "state", m.row.State.Load(), scoreboard.StateReady)
	if m.row.Heartbeat.Load() == 0 {
		t.Error("ready before the first heartbeat")
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", m.pid))
	want(t, "its name in ps", string(comm), "cluster-w1\n")
	want(t, "error", err, nil)

	c := dial(t, m.addr)
	want(t, "body", c.get("/self").body, fmt.Sprintf("%d {Slot:1 Seat:3 Generation:7 Alone:false}", m.pid))
	want(t, "answers", m.row.Requests[1].Load(), 1)
	m.send(ipc.Message{Type: ipc.Drain, Text: "restart"}, nil)
	m.wantMessage(ipc.Message{Type: ipc.Draining}, "restart")
	want(t, "state", m.row.State.Load(), scoreboard.StateDraining)
	want(t, "Connection: close", c.get("/").close, true)
	c.wantEOF()
	m.wantMessage(ipc.Message{Type: ipc.Bye})
	m.wantExit(0)
	want(t, "answers", m.row.Requests[1].Load(), 2) // they outlive the process
	want(t, "open", m.row.Open.Load(), 0)
}

// Connections that wait are left to others, unless the order is final.
func TestWorkerDrainsFinally(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "serve")
	m.wantReady()
	m.signal(syscall.SIGSTOP) // so that it accepts nothing
	clients := queueRequests(t, m.kept, 20)
	m.send(ipc.Message{Type: ipc.Drain, Final: true, Text: "stop"}, nil)
	m.signal(syscall.SIGCONT)
	wantAllAnsweredInTheEnd(t, clients)
	m.wantLeave("stop")
	want(t, "accepted", m.row.Accepted.Load(), 20)
}

func wantAllAnsweredInTheEnd(t *testing.T, clients []*client) {
	t.Helper()
	for _, c := range clients {
		want(t, "body", c.answer("GET").body, "hello")
		c.Close()
	}
}

func TestWorkerAdoptsAndReleases(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "serve")
	m.wantReady()
	descriptors := m.descriptors()
	for range 20 {
		adopted := listenLocal(t)
		fd := rawListener(t, adopted)
		m.send(ipc.Message{Type: ipc.Adopt, Slot: 2, Bind: 0}, fd)
		fd.Close()
		c := dial(t, adopted.Addr().String())
		want(t, "body", c.get("/").body, "hello")
		c.Close()
		m.send(ipc.Message{Type: ipc.Release, Slot: 2}, nil)
		eventually(t, "the release", func() bool { return m.descriptors() == descriptors })
		adopted.Close()
	}
	m.send(ipc.Message{Type: ipc.Release, Slot: 1}, nil) // its own is not for release
	m.send(ipc.Message{Type: ipc.Adopt, Slot: 2}, nil)
	m.wantMessage(ipc.Message{Type: ipc.Error}, "adopt without a descriptor")
	fd := rawListener(t, m.kept)
	defer fd.Close()
	for _, bind := range []int{-1, 1} {
		m.send(ipc.Message{Type: ipc.Adopt, Slot: 2, Bind: bind}, fd)
		m.wantMessage(ipc.Message{Type: ipc.Error}, fmt.Sprintf("adopt: bind %d of 1", bind))
	}
	file, err := os.Open(os.DevNull)
	m.must(err)
	defer file.Close()
	m.must(m.control.Send(ipc.Message{Type: ipc.Adopt, Slot: 2}, int(file.Fd())))
	m.wantMessage(ipc.Message{Type: ipc.Error}, "adopt: the inherited descriptor is no listener")
	c := dial(t, m.addr)
	want(t, "body", c.get("/").body, "hello")
	c.Close()
	m.send(ipc.Message{Type: ipc.Drain}, nil)
	m.wantLeave("")
}

// descriptors is how many the worker has open.
func (m *fakeMaster) descriptors() int {
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", m.pid))
	m.must(err)
	return len(names)
}

// What the worker does not understand is answered, and the channel goes on.
func TestWorkerAnswersWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "serve")
	m.wantReady()
	m.send(ipc.Message{Type: "a type of the future", Slot: 3}, nil)
	m.wantMessage(ipc.Message{Type: ipc.Error}, "unknown message type a type of the future")
	for packet, parts := range map[string][]string{
		"{}":                           {"malformed control packet", "no type"},
		"this is no JSON":              {"malformed control packet", "this is no JSON"},
		`{"type":"drain","final":"?"}`: {"malformed control packet", "final"},
		strings.Repeat("x", 40_000):    {"malformed control packet", "longer than 32768 bytes"},
	} {
		if err := unix.Sendto(m.raw.Int(), []byte(packet), 0, nil); err != nil {
			t.Fatal(err)
		}
		m.wantMessage(ipc.Message{Type: ipc.Error}, parts...)
	}
	m.send(ipc.Message{Type: ipc.Error, Text: "no such thing"}, nil) // not answered: that would not end
	m.send(ipc.Message{Type: ipc.ReopenLogs}, nil)
	m.awaitLine("")
	c := dial(t, m.addr)
	want(t, "body", c.get("/").body, "hello")
	c.Close()
	m.send(ipc.Message{Type: ipc.Drain}, nil)
	m.wantLeave("")
	if !strings.Contains(m.log.String(), "no such thing") {
		t.Errorf("the worker said %q", m.log)
	}
}

func TestWorkerSendsItsStacks(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "serve")
	m.wantReady()
	m.hang()
	for id := range uint64(3) {
		m.send(ipc.Message{Type: ipc.Stacks, ID: id + 1<<63}, nil)
		fd := m.wantMessage(ipc.Message{Type: ipc.Stacks, ID: id + 1<<63})
		if fd == nil {
			t.Fatal("no descriptor came with it")
		}
		text, err := ipc.ReadMemfd(fd, 1<<24)
		m.must(err)
		for _, part := range []string{"goroutine ", "roleHandler.func", "worker.(*member).sendStacks"} {
			if !strings.Contains(string(text), part) {
				t.Errorf("%d bytes of stacks do not have %s", len(text), part)
			}
		}
	}
}

// Profiles are taken beside everything else: the worker obeys meanwhile.
func TestWorkerSendsProfiles(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "serve")
	m.wantReady()
	m.send(ipc.Message{Type: ipc.Profile, ID: 7, Text: "cpu", Length: 300 * time.Millisecond}, nil)
	m.send(ipc.Message{Type: ipc.Stacks, ID: 8}, nil)
	m.wantMessage(ipc.Message{Type: ipc.Stacks, ID: 8}).Close()
	m.send(ipc.Message{Type: ipc.Profile, ID: 9, Text: "block"}, nil)
	if fd := m.wantMessage(ipc.Message{Type: ipc.Profile, ID: 9, Text: `there is no profile of kind "block"`}); fd != nil {
		t.Error("a descriptor came with the refusal")
	}
	fd := m.wantMessage(ipc.Message{Type: ipc.Profile, ID: 7})
	if fd == nil {
		t.Fatal("no descriptor came with the profile")
	}
	data, err := ipc.ReadMemfd(fd, 1<<24)
	m.must(err)
	if len(data) < 2 || data[0] != 0x1f || data[1] != 0x8b { // gzip, RFC 1952
		t.Errorf("the profile begins with % x", data[:min(4, len(data))])
	}
}

func TestWorkerDrainTimeout(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "serve", func(h *ipc.Handover) { h.Config.DrainTimeout = 100 * time.Millisecond })
	m.wantReady()
	m.hang()
	m.send(ipc.Message{Type: ipc.Drain}, nil)
	m.wantMessage(ipc.Message{Type: ipc.Draining})
	m.wantMessage(ipc.Message{Type: ipc.Bye, Left: 1})
	m.wantExit(1)
	want(t, "the last words", strings.TrimSpace(m.log.String()), "worker: 1 connections were still open when the drain timeout of 100ms ended")
}

// A worker with a protocol of its own is a worker like any other.
func TestWorkerWithSockets(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "sockets")
	m.wantReady()
	c := dial(t, m.addr)
	c.wantEcho("hello")
	m.send(ipc.Message{Type: ipc.Drain, Text: "restart"}, nil)
	m.wantMessage(ipc.Message{Type: ipc.Draining}, "restart")
	c.wantEcho("still here")
	c.Close()
	m.wantMessage(ipc.Message{Type: ipc.Bye})
	m.wantExit(0)
	want(t, "accepted", m.row.Accepted.Load(), 1)
	want(t, "requests", m.row.Total(), 0)
}

// A worker whose listener is shut down under it leaves, and says why.
func TestWorkerWithoutListener(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "serve")
	m.wantReady()
	c := dial(t, m.addr)
	want(t, "status", c.get("/").status, http.StatusOK)
	fd := rawListener(t, m.kept)
	defer fd.Close()
	m.must(unix.Shutdown(fd.Int(), unix.SHUT_RDWR))
	m.wantMessage(ipc.Message{Type: ipc.Draining}, "bind 0 of slot 1 is no longer served", "invalid argument")
	want(t, "Connection: close", c.get("/").close, true)
	m.wantMessage(ipc.Message{Type: ipc.Bye})
	m.wantExit(1)
}
