package main

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/internal/traffic"
	"github.com/prefork/cluster/master/api"
)

// fronted runs a test with each dispatch that has a front.
func fronted(t *testing.T, test func(t *testing.T, dispatch string)) {
	for _, dispatch := range []string{"passed", "copied"} {
		t.Run(dispatch, func(t *testing.T) {
			t.Parallel()
			test(t, dispatch)
		})
	}
}

// served says which slots have answered requests.
func served(s api.Status) (slots []int) {
	for _, w := range s.Slots {
		if w.Requests > 0 && !slices.Contains(slots, w.Slot) {
			slots = append(slots, w.Slot)
		}
	}
	return slots
}

// Connections at the same time go to workers in turn, and what workers count is right: each connection of a client is accepted once
// with passed; with copied the front's own are counted.
func TestFrontSpreads(t *testing.T) {
	fronted(t, func(t *testing.T, dispatch string) {
		const clients, requests = 24, 240
		c := startCluster(t, "--workers", "3", "--threads", "8", "--dispatch", dispatch, "--quiet")
		report := traffic.Clients{Addr: c.Addr, Path: "/io?ms=20", Connections: clients, Requests: requests, KeepAlive: true}.Run(t.Context())
		if report.Losses() != 0 || report.ClassCounts["2xx"] != requests {
			t.Fatalf("%v", report)
		}
		accepted := 0.0
		for slot := range 3 {
			accepted += metric(t, c, fmt.Sprintf(`cluster_connections_accepted_total{slot="%d"}`, slot))
			n := metric(t, c, fmt.Sprintf(`cluster_requests_total{class="2xx",slot="%d"}`, slot))
			if n < requests/3/2 || n > requests/3*2 {
				t.Errorf("slot %d has answered %v requests of %d", slot, n, requests)
			}
		}
		if dispatch == "passed" && accepted != clients {
			t.Errorf("%v connections were accepted, want %d", accepted, clients)
		}
	})
}

// A front that is killed comes back. Workers do not notice, and neither do clients that come later.
func TestFrontIsKilled(t *testing.T) {
	fronted(t, func(t *testing.T, dispatch string) {
		c := startCluster(t, "--workers", "2", "--dispatch", dispatch, "--quiet")
		before := c.Status()
		for round := 1; round <= 3; round++ {
			victim := c.Status().Front.PID
			if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if _, err := http.Get(c.URL("/plaintext")); err != nil && !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset") {
				t.Errorf("round %d: %v", round, err) // the front that was killed may have had it in its hands
			}
			c.Await("another front serves", func(s api.Status) bool {
				return s.State == "ready" && s.Front.PID != victim && s.Front.Restarts == round
			})
			report := traffic.Clients{Addr: c.Addr, Path: "/pid", Connections: 4, Requests: 40}.Run(t.Context())
			if report.Losses() != 0 || report.ClassCounts["2xx"] != 40 {
				t.Errorf("round %d: %v", round, report)
			}
		}
		after := c.Status()
		if len(after.Deaths) > 0 {
			t.Errorf("deaths: %+v", after.Deaths)
		}
		for i, w := range after.Slots {
			if w.PID != before.Slots[i].PID {
				t.Errorf("worker %d was replaced by %d", before.Slots[i].PID, w.PID)
			}
		}
		if out := c.Must("status"); !strings.Contains(out, "front ("+dispatch+") is ready: pid") || !strings.Contains(out, "3 restarts") {
			t.Errorf("status says %s", out)
		}
	})
}

// A front that is killed while it has nothing in its hands loses nothing: who comes meanwhile waits in the listener.
func TestWaitingForAFront(t *testing.T) {
	fronted(t, func(t *testing.T, dispatch string) {
		c := startCluster(t, "--workers", "2", "--dispatch", dispatch, "--quiet")
		victim := c.Status().Front.PID
		if err := syscall.Kill(victim, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		c.Await("it has stopped", func(api.Status) bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", victim))
			return err == nil && strings.Contains(string(stat), ") T ")
		})
		const clients = 20
		var report traffic.Report
		var done sync.WaitGroup
		done.Go(func() {
			report = traffic.Clients{Addr: c.Addr, Path: "/pid", Connections: clients, Requests: clients}.Run(t.Context())
		})
		c.Await("all clients wait", func(s api.Status) bool { return len(s.Backlogs) == 1 && s.Backlogs[0].Waiting == clients })
		if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		done.Wait()
		if report.Losses() != 0 || report.ClassCounts["2xx"] != clients {
			t.Errorf("%v", report)
		}
	})
}

// Killed workers cost what they had; nobody else's requests.
func TestKillBehindAFront(t *testing.T) {
	fronted(t, func(t *testing.T, dispatch string) {
		c := startCluster(t, "--workers", "3", "--dispatch", dispatch, "--quiet")
		var mu sync.Mutex
		lost := 0
		l := startLoad(c, 2, 6, 20*time.Millisecond, func(a traffic.Answer) {
			if a.Outcome.Lost() {
				mu.Lock()
				lost++
				mu.Unlock()
			}
		})
		for range 3 {
			before := l.fresh.Load() + l.kept.Load()
			s := c.Await("every worker is ready", func(s api.Status) bool { return s.State == "ready" })
			for l.fresh.Load()+l.kept.Load() < before+300 {
				time.Sleep(time.Millisecond) // until the load has reached every worker again
			}
			if err := syscall.Kill(s.Slots[0].PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			c.Await("the death is known", func(now api.Status) bool { return len(now.Deaths) > len(s.Deaths) })
		}
		report := l.stop()
		open := 0
		for _, d := range c.Status().Deaths {
			open += int(d.Open)
		}
		t.Logf("%d connections were open in killed workers; %v", open, report)
		if failed := report.Losses() + int(report.ClassCounts["5xx"]); failed > open {
			t.Errorf("%d requests failed, but only %d connections were open in killed workers: %v", failed, open, report)
		}
	})
}

// A stop ends all processes and removes the sockets, whoever is connected. A new slot is reached, too.
func TestFrontStops(t *testing.T) {
	fronted(t, func(t *testing.T, dispatch string) {
		c := startCluster(t, "--workers", "1", "--dispatch", dispatch, "--drain-idle", "200ms", "--quiet")
		c.Must("scale", "3")
		c.Await("every worker is ready", func(s api.Status) bool { return s.State == "ready" && len(s.Slots) == 3 })
		l := startLoad(c, 2, 4, 10*time.Millisecond, nil)
		c.Await("every slot has served", func(s api.Status) bool { return len(served(s)) == 3 })
		l.stop()
		idle := &http.Client{}
		defer idle.CloseIdleConnections()
		if res, err := idle.Get(c.URL("/plaintext")); err != nil {
			t.Error(err)
		} else {
			res.Body.Close()
		}
		c.Must("stop")
		if code := c.Wait(); code != 0 {
			t.Errorf("exit code %d\n%s", code, c.Log())
		}
		if left := c.Processes(); len(left) > 0 {
			t.Errorf("processes %v are left", left)
		}
		_ = filepath.WalkDir(c.Dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && (d.Type() == os.ModeSocket || strings.HasSuffix(path, ".front")) {
				t.Errorf("%s is left", path)
			}
			return nil
		})
	})
}

// When the master is killed the front leaves at once, and a new master takes over.
func TestMasterOfAFrontDies(t *testing.T) {
	fronted(t, func(t *testing.T, dispatch string) {
		c := startCluster(t, "--workers", "2", "--orphan-grace", "500ms", "--drain-idle", "200ms", "--dispatch", dispatch)
		c.KillMaster()
		next := startCluster(t, "--workers", "1", "--bind", "tcp://"+c.Addr, "--dispatch", dispatch)
		if _, err := http.Get(next.URL("/plaintext")); err != nil {
			t.Error(err)
		}
	})
}
