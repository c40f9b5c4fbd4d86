package master

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

// ran are the hooks that were run so far.
func (w *world) ran() []string {
	w.fake.mu.Lock()
	defer w.fake.mu.Unlock()
	return slices.Clone(w.fake.hooks)
}

// A hook is told what has happened, each time, by its variables.
func TestHooks(t *testing.T) {
	change := func(c *configs.Config) {
		c.Workers, c.Name, c.OnReady, c.OnCrash, c.OnRestart = 2, "blog", "./ready", "./crash", "./restart"
	}
	inWorld(t, change, map[int]behaviour{3: {exitAfter: time.Millisecond}}, func(w *world) {
		w.pass(20 * time.Second)
		own := "CLUSTER_NAME=blog CLUSTER_CONTROL="
		want := []string{"on-ready: ./ready CLUSTER_EVENT=ready " + own + " CLUSTER_GENERATION=1 CLUSTER_SKIPPED=0"}
		check := func(what string, more ...string) {
			t.Helper()
			want = append(want, more...)
			if got := w.ran(); !slices.Equal(got, want) {
				t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		check("after the start")
		w.fake.mu.Lock()
		pid := w.fake.pidOf(plan.SeatID{Slot: 1, Spawn: 2})
		w.fake.mu.Unlock()
		w.loop.events <- exitEvent{pid: pid, status: plan.ExitStatus{Code: 2}}
		w.pass(20 * time.Second)
		check("after a crash", "on-crash: ./crash CLUSTER_EVENT=crash "+own+" CLUSTER_SLOT=1 CLUSTER_GENERATION=1 CLUSTER_REASON=crash CLUSTER_DETAIL=exit code 2 CLUSTER_SKIPPED=0")
		w.restart()
		w.pass(20 * time.Second)
		check("after a restart", "on-restart: ./restart CLUSTER_EVENT=restart "+own+" CLUSTER_GENERATION=2 CLUSTER_OUTCOME=done CLUSTER_SKIPPED=0",
			"on-ready: ./ready CLUSTER_EVENT=ready "+own+" CLUSTER_GENERATION=2 CLUSTER_SKIPPED=0")
		w.restart()
		w.pass(20 * time.Second)
		got := w.ran()
		last := got[len(got)-1]
		if !strings.HasPrefix(got[len(want)], "on-crash: ./crash CLUSTER_EVENT=crash "+own+" CLUSTER_SLOT=0 CLUSTER_GENERATION=3 CLUSTER_REASON=boot_exit CLUSTER_DETAIL=") ||
			!strings.HasPrefix(last, "on-restart: ./restart CLUSTER_EVENT=restart "+own+" CLUSTER_GENERATION=3 CLUSTER_OUTCOME=aborted CLUSTER_REASON=boot_exit CLUSTER_DETAIL=generation 3: ") {
			t.Errorf("after a restart that failed:\n%s", strings.Join(got[len(want):], "\n"))
		}
		w.restart()
		w.pass(time.Millisecond)
		w.loop.events <- signalEvent{syscall.SIGTERM}
		w.pass(time.Second)
		got = w.ran()
		if !strings.Contains(got[len(got)-1], "CLUSTER_GENERATION=4 CLUSTER_OUTCOME=cancelled") {
			t.Errorf("after a stop:\n%s", got[len(got)-1])
		}
	})
}

// The end of the cluster waits for a hook, but not for long, and one that hangs hinders nothing before.
func TestHookHangs(t *testing.T) {
	change := func(c *configs.Config) { c.OnReady, c.HookTimeout = "./hangs", time.Hour }
	inWorld(t, change, nil, func(w *world) {
		w.fake.mu.Lock()
		w.fake.hookTime = 24 * time.Hour
		w.fake.mu.Unlock()
		w.pass(20 * time.Second)
		begun := time.Now()
		w.loop.events <- signalEvent{syscall.SIGTERM}
		if code := <-w.code; code != plan.ExitClean {
			t.Errorf("exit code %d", code)
		}
		w.code <- 0 // for the end of the test
		if took := time.Since(begun); took < time.Second || took > 1200*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if !strings.Contains(w.log.String(), "hook takes too long") {
			t.Errorf("log %s", w.log)
		}
	})
}

// During the delay of a stop workers accept, answer each request as the last one of its connection, and are replaced if they die.
func TestDrainDelay(t *testing.T) {
	for _, dispatch := range []string{"reuseport", "handoff", "passed"} {
		t.Run(dispatch, func(t *testing.T) {
			change := func(c *configs.Config) { c.DrainDelay, c.Dispatch = 10*time.Second, dispatch }
			inWorld(t, change, nil, func(w *world) {
				w.pass(20 * time.Second)
				reply := make(chan api.Stopping, 1)
				w.loop.events <- stopRequest{reply: reply}
				if s := <-reply; s.DrainDelay != 10 || s.DrainTimeout != 30 {
					t.Errorf("it waits for %+v", s)
				}
				w.fake.mu.Lock()
				pid := w.fake.pidOf(plan.SeatID{Slot: 1, Spawn: 2})
				w.fake.mu.Unlock()
				w.loop.events <- exitEvent{pid: pid, status: plan.ExitStatus{Code: 2}}
				w.pass(9 * time.Second)
				snap := w.loop.snapshot.Load()
				w.fake.mu.Lock()
				for pid := range w.fake.seats {
					if !w.fake.limits[pid].Leaving {
						t.Errorf("worker %d was not told to close connections", pid)
					}
				}
				if w.fake.closed || len(w.fake.seats) != 3 || !snap.Stopping || !snap.Ready || len(w.code) != 0 {
					t.Errorf("listeners closed %v, %d workers, stopping %v, ready %v", w.fake.closed, len(w.fake.seats), snap.Stopping, snap.Ready)
				}
				w.fake.mu.Unlock()
				w.pass(2 * time.Second)
				if len(w.code) == 0 || !w.fake.closed {
					t.Errorf("it has not ended; listeners closed: %v", w.fake.closed)
				}
			})
		})
	}
}

// A second signal ends the delay, too.
func TestDrainDelayAtOnce(t *testing.T) {
	inWorld(t, func(c *configs.Config) { c.DrainDelay = time.Hour }, nil, func(w *world) {
		w.pass(20 * time.Second)
		w.loop.events <- signalEvent{syscall.SIGTERM}
		w.pass(sameWish + time.Millisecond)
		w.loop.events <- signalEvent{syscall.SIGTERM}
		w.pass(100 * time.Millisecond)
		if len(w.code) == 0 {
			t.Error("it goes on")
			return
		}
		code := <-w.code
		if w.code <- code; code != plan.ExitForced {
			t.Errorf("exit code %d", code)
		}
	})
}
