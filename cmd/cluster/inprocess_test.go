package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/prefork/cluster/internal/traffic"
	"github.com/prefork/cluster/master/api"
)

// onAllThreads makes so many requests, as many at a time as there are threads, each so long that
// all of them are needed.
func onAllThreads(t *testing.T, c *testCluster, threads, requests int) {
	t.Helper()
	report := traffic.Clients{Addr: c.Addr, Path: "/io?ms=250", Connections: threads, KeepAlive: true, Requests: int64(requests)}.Run(context.Background())
	if report.Losses() != 0 || report.ClassCounts["2xx"] != int64(requests) {
		t.Fatalf("%v", report)
	}
}

// answers are the requests that were answered 2xx, by slot, and in sum.
func answers(t *testing.T, c *testCluster, slots int) (by []float64, sum float64) {
	t.Helper()
	for slot := range slots {
		n := metric(t, c, fmt.Sprintf(`cluster_requests_total{class="2xx",slot="%d"}`, slot))
		by, sum = append(by, n), sum+n
	}
	return by, sum
}

// The one process is killed: another takes its place, and no counter goes back.
func TestKillInProcess(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--mode", "inprocess", "--workers", "3", "--threads", "2", "--max-workers", "5")
	onAllThreads(t, c, 6, 24)
	before, sum := answers(t, c, 3)
	if sum != 24 || before[0] == 0 || before[1] == 0 || before[2] == 0 {
		t.Errorf("answers by slot: %v, want 24 in all and some in each", before)
	}
	s := c.Status()
	if len(s.Slots) != 1 || s.Mode != "inprocess" || s.Workers != 3 || len(s.Shares) != 3 || s.Slots[0].Threads != 6 || s.Slots[0].Requests != 24 {
		t.Fatalf("%+v", s)
	}
	for slot, share := range s.Shares {
		if float64(share.Requests) != before[slot] || share.Threads != 2 {
			t.Errorf("%+v, want %v requests", share, before[slot])
		}
	}
	cpu := metric(t, c, `cluster_cpu_seconds_total{slot="0"}`)
	if err := syscall.Kill(s.Slots[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s = c.Await("another process serves", func(now api.Status) bool {
		return now.State == "ready" && len(now.Slots) == 1 && now.Slots[0].PID != s.Slots[0].PID && len(now.Deaths) == 1
	})
	if after, _ := answers(t, c, 3); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("answers by slot after the death: %v, before: %v", after, before)
	}
	onAllThreads(t, c, 6, 18)
	if after, sum := answers(t, c, 3); sum != 42 || after[2] <= before[2] {
		t.Errorf("answers by slot in the end: %v, want 42 in all", after)
	}
	for series, want := range map[string]float64{
		`cluster_workers_wanted`: 3, `cluster_workers_ready`: 3, `cluster_threads{slot="2"}`: 2,
		`cluster_worker_exits_total{reason="signal",slot="0"}`: 1, `cluster_worker_exits_total{reason="signal",slot="2"}`: 0,
		`cluster_connections_accepted_total{slot="0"}`: 12, `cluster_connections_accepted_total{slot="1"}`: 0, `cluster_cpu_seconds_total{slot="1"}`: 0,
		fmt.Sprintf(`cluster_worker_info{generation="1",pid="%d",slot="0"}`, s.Slots[0].PID): 1,
	} {
		if got := metric(t, c, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	if now := metric(t, c, `cluster_cpu_seconds_total{slot="0"}`); now < cpu || now == 0 {
		t.Errorf("CPU time was %v and is %v", cpu, now)
	}

	// More workers are more threads of the same process.
	c.Must("scale", "5")
	onAllThreads(t, c, 10, 30)
	after, sum := answers(t, c, 5)
	if sum != 72 || after[4] == 0 || c.Status().Slots[0].PID != s.Slots[0].PID {
		t.Errorf("answers by slot of five workers: %v", after)
	}
}

// A restart puts the new process into the seats of the other parity, under its own name.
func TestParityInProcess(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--mode", "inprocess", "--workers", "2", "--settle", "50ms", "--drain-idle", "0s")
	seat := c.Status().Slots[0].Seat
	for generation := 1; generation < 4; generation++ {
		s := c.Status()
		if len(s.Slots) != 1 || s.Slots[0].Seat != seat || s.Slots[0].Generation != generation {
			t.Fatalf("generation %d: %+v, want one process in seat %d", generation, s.Slots, seat)
		}
		parity := map[int]string{0: "all   even", 1: "all   odd"}[seat]
		if text := c.Must("status"); !strings.Contains(text, parity) || !strings.Contains(text, "2 workers × 3 threads in one process") {
			t.Errorf("no %q in\n%s", parity, text)
		}
		title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.Slots[0].PID))
		if want := fmt.Sprintf("cluster: worker process gen %d\x00", generation); err != nil || !bytes.HasPrefix(title, []byte(want)) {
			t.Errorf("title %q, want %q (%v)", title, want, err)
		}
		if out, want := c.Must("stacks"), fmt.Sprintf("=== all workers (pid %d, generation %d)\n", s.Slots[0].PID, generation); !strings.Contains(out, want) {
			t.Errorf("the stacks have no %q", want)
		}
		if out := c.Must("restart", "--wait=drained"); !strings.Contains(out, "all 2 workers replaced") {
			t.Errorf("the restart says\n%s", out)
		}
		seat = 1 - seat
	}
}

// Other threads are a rolling restart here, which the reload says.
func TestThreadsInProcess(t *testing.T) {
	t.Parallel()
	file := filepath.Join(shortDir(t), "cluster.yaml")
	settings := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings("mode: inprocess\nsettle: 50ms\nworkers: 2\nthreads: 2\n")
	c := startCluster(t, "--config", file)
	pid := c.Status().Slots[0].PID
	settings("mode: inprocess\nsettle: 50ms\nworkers: 3\nthreads: 2\n")
	c.Signal(syscall.SIGHUP)
	s := c.Await("three workers", func(s api.Status) bool { return s.Workers == 3 })
	if s.Generation != 1 || s.Slots[0].PID != pid || s.Slots[0].Threads != 6 {
		t.Errorf("more workers: %+v", s.Slots)
	}
	settings("mode: inprocess\nsettle: 50ms\nworkers: 3\nthreads: 5\n")
	c.Signal(syscall.SIGHUP)
	s = c.Await("another process", func(s api.Status) bool {
		return s.Generation == 2 && s.State == "ready" && len(s.Slots) == 1 && s.Slots[0].PID != pid
	})
	if s.Threads != 5 || s.Slots[0].Threads != 15 || fmt.Sprint(s.Reload.Restart) != "[threads]" {
		t.Errorf("%d threads, %d in all, %+v", s.Threads, s.Slots[0].Threads, s.Reload)
	}
	settings("mode: inprocess\nsettle: 50ms\nworkers: 3\nthreads: 2\n")
	if out := c.Must("reload"); !strings.Contains(out, "threads") || !strings.Contains(out, "generation 3") {
		t.Errorf("the reload says\n%s", out)
	}
	onAllThreads(t, c, 6, 12)
	c.Await("the third generation", func(s api.Status) bool {
		return s.Generation == 3 && s.State == "ready" && len(s.Slots) == 1 && s.Slots[0].Threads == 6
	})
}
