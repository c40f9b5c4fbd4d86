package fasthttpworker

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/internal/traffic"
	"github.com/prefork/cluster/ipc"
)

// Workers that take turns on a listener lose nothing, and their counters say what the clients have seen.
func TestDrainUnderLoad(t *testing.T) {
	t.Parallel()
	l := listen(t)
	patient := func(c *ipc.WorkerConfig) { c.DrainIdle = 5 * time.Second }
	next := spawnOn(t, l, "serve", patient)
	next.want(ipc.Ready)
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	var kept, fresh traffic.Report
	var answers atomic.Int64
	count := func(traffic.Answer) { answers.Add(1) }
	clients.Go(func() {
		kept = traffic.Clients{
			Addr: next.addr, Connections: 8, KeepAlive: true, OnAnswer: count,
			Think: func(int) time.Duration { return rand.N(3 * time.Millisecond) },
		}.Run(ctx)
	})
	clients.Go(func() { fresh = traffic.Clients{Addr: next.addr, Connections: 4, OnAnswer: count}.Run(ctx) })
	workers := []*fakeMaster{next}
	for round := range 4 {
		enough := answers.Load() + 500
		eventually(t, "the load to reach the worker", func() bool { return answers.Load() > enough })
		old := next
		next = spawnOn(t, l, "serve", patient)
		next.want(ipc.Ready)
		workers = append(workers, next)
		old.drain()
		old.wantLeave()
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	cancel()
	clients.Wait()
	kept.Merge(fresh)
	if kept.Losses() != 0 || kept.ClassCounts["2xx"] != kept.Requests {
		t.Errorf("requests were lost: %v", kept)
	}
	var counted, accepted int64
	for _, m := range workers {
		counted += m.row.Requests[1].Load()
		accepted += m.row.Accepted.Load()
	}
	want(t, "counted answers", counted, kept.ClassCounts["2xx"])
	want(t, "accepted connections", accepted, kept.Opened)
}

// A draining worker finishes what runs, tells clients to go, and leaves when the silent ones are gone.
func TestDrain(t *testing.T) {
	t.Parallel()
	m := spawn(t, "hooks", func(c *ipc.WorkerConfig) { c.DrainIdle = time.Second })
	silent, running, talking := dial(t, m), dial(t, m), dial(t, m)
	silent.get("/")
	talking.get("/")
	running.ask("GET", "/gate", "", "")
	m.awaitBusy(1)
	m.drain()
	want(t, "close", talking.get("/").close, true)
	talking.wantEOF()
	m.open()
	want(t, "close", running.wantStatus(200).close, true)
	running.wantEOF()
	silent.wantEOF()
	m.wantLeave()
	if strings.Contains(m.log.String(), "level=WARN") {
		t.Errorf("a drain is nothing to warn of:\n%s", m.log)
	}
	for _, said := range []string{"boot 1", "drain 7", "exit"} {
		if !strings.Contains(m.log.String(), said+"\n") {
			t.Errorf("the hooks did not say %q:\n%s", said, m.log)
		}
	}
}

// Closing one source does not disturb the connections of another, nor its own.
func TestRelease(t *testing.T) {
	t.Parallel()
	m := spawn(t, "serve")
	adopted := listen(t)
	fd := duplicate(t, adopted)
	defer fd.Close()
	m.must(m.control.Send(ipc.Message{Type: ipc.Adopt, Slot: 0, Bind: 0}, fd.Int()))
	own := dial(t, m)
	own.get("/")
	other := dial(t, &fakeMaster{addr: adopted.Addr().String()})
	other.get("/")
	other.ask("GET", "/gate", "", "")
	m.awaitBusy(1)
	m.must(m.control.Send(ipc.Message{Type: ipc.Release, Slot: 0}, -1))
	m.must(m.control.Send(ipc.Message{Type: ipc.Drain + "?"}, -1)) // it answers when it has come to this
	m.want(ipc.Error)
	m.open()
	want(t, "body", other.wantStatus(200).body, "opened")
	for range 3 {
		want(t, "status", other.get("/").status, 200)
		want(t, "status", own.get("/").status, 200)
	}
	want(t, "status", dial(t, m).get("/").status, 200)
}

func TestMaxRequestsPerConnection(t *testing.T) {
	t.Parallel()
	m := spawn(t, "serve", func(c *ipc.WorkerConfig) { c.MaxRequests = 3 })
	c := dial(t, m)
	for i := range 3 {
		want(t, "close", c.get("/").close, i == 2)
	}
	c.wantEOF()
}

// Started by hand it serves alone, until SIGTERM.
func TestAlone(t *testing.T) {
	t.Parallel()
	probe := listen(t)
	addr := probe.Addr().String()
	probe.Close()
	process := exec.Command(os.Args[0], "--bind", "tcp://"+addr)
	process.Env = append(ipc.Scrub(os.Environ()), envRole+"=serve", "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	log := &logBook{}
	process.Stderr = log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill() })
	eventually(t, "it to listen", func() bool { return strings.Contains(log.String(), "serving alone on http://"+addr) })
	report := traffic.Clients{Addr: addr, Connections: 2, KeepAlive: true, Requests: 50}.Run(context.Background())
	if report.Losses() != 0 || report.ClassCounts["2xx"] != 50 {
		t.Error(report)
	}
	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := process.Wait(); err != nil {
		t.Errorf("%v; it said:\n%s", err, log)
	}
}
