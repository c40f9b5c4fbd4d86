package worker

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc"
)

// The death of the master is the end of the channel: the worker goes on for a while, then accepts what is queued, and leaves.
func TestOrphanLeavesAfterItsGrace(t *testing.T) {
	t.Parallel()
	const grace = 400 * time.Millisecond
	m := spawnWorker(t, "serve", func(h *ipc.Handover) { h.Config.OrphanGrace = grace })
	m.wantReady()
	died := time.Now()
	m.die()
	m.awaitLine("") // the worker says something about it
	c := dial(t, m.addr)
	a := c.get("/")
	c.Close()
	want(t, "body", a.body, "hello")
	if time.Since(died) < grace/2 {
		want(t, "Connection: close within the grace", a.close, false)
	}
	m.wantExitCode(0)
	if took := time.Since(died); took < grace {
		t.Errorf("left after %v, before its grace of %v", took, grace)
	}
	if !strings.Contains(m.log.String(), "the master is gone") {
		t.Errorf("the worker said %q", m.log)
	}
}

// Nobody else has the listeners of an orphan: what waits in them is served.
func TestOrphanServesTheQueue(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "serve", func(h *ipc.Handover) { h.Config.OrphanGrace = time.Nanosecond })
	m.wantReady()
	m.signal(syscall.SIGSTOP)
	clients := queueRequests(t, m.kept, 20)
	m.die()
	m.signal(syscall.SIGCONT)
	wantAllAnsweredInTheEnd(t, clients)
	m.wantExitCode(0)
}

// A master that dies while the worker boots does not take with it what the worker has begun to accept.
func TestOrphanBeforeReady(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "boot waits", func(h *ipc.Handover) { h.Config.OrphanGrace = 200 * time.Millisecond })
	m.wantHello()
	clients := queueRequests(t, m.kept, 5)
	m.die()
	m.stdin.Close() // boot is over
	wantAllAnsweredInTheEnd(t, clients)
	m.wantExitCode(0)
}

// wantExitCode waits for the exit of a worker with which there is no channel any more.
func (m *fakeMaster) wantExitCode(code int) {
	m.t.Helper()
	if status := await(m.t, "the worker's exit", m.exited); !status.Exited() || status.ExitStatus() != code {
		m.t.Errorf("the worker ended with status %#x, want exit code %d", status, code)
	}
}

// SIGTERM is the worker's own wish to drain. SIGINT, which a terminal sends to all, is the master's business.
func TestWorkerSignals(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "serve")
	m.wantReady()
	m.signal(syscall.SIGINT) // is delivered before SIGTERM, which has the higher number
	m.signal(syscall.SIGTERM)
	m.wantLeave("terminated")
}

func TestWorkerSecondTermIsImpatient(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "serve")
	m.wantReady()
	m.hang()
	m.signal(syscall.SIGTERM)
	m.wantMessage(ipc.Message{Type: ipc.Draining}, "terminated")
	m.signal(syscall.SIGTERM)
	m.wantExit(8)
	if !strings.Contains(m.log.String(), "second signal: leaving now") {
		t.Errorf("the worker said %q", m.log)
	}
}

// A log pipe that nobody reads any more must not kill the worker, neither by its own log nor by the application's.
func TestWorkerSurvivesItsLogPipe(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "serve")
	m.wantReady()
	m.output.Close()
	c := dial(t, m.addr)
	if a := c.get("/print"); !strings.Contains(a.body, "broken pipe") {
		t.Errorf("printing into the dead pipe: %q", a.body)
	}
	m.send(ipc.Message{Type: "nonsense"}, nil) // which it logs
	m.wantMessage(ipc.Message{Type: ipc.Error}, "nonsense")
	want(t, "body", c.get("/").body, "hello")
	c.Close()
	m.send(ipc.Message{Type: ipc.Drain}, nil)
	m.wantLeave("")
}

// What the library has to say goes to the logger that it was given.
func TestWorkerLogger(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "own logger")
	m.wantReady()
	m.send(ipc.Message{Type: "nonsense"}, nil)
	m.wantMessage(ipc.Message{Type: ipc.Error}, "nonsense")
	m.awaitLine(`{"time":"`)
	if !strings.Contains(m.log.String(), `"level":"WARN","msg":"control message refused","err":"unknown message type nonsense"`) {
		t.Errorf("the worker said %q", m.log)
	}
}
