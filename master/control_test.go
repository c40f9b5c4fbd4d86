package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/control"
	"github.com/prefork/cluster/master/plan"
)

// master is one whose loop runs in the world.
func (w *world) master() *Master { return &Master{loop: w.loop, done: make(chan struct{})} }

// When the loop has ended nothing waits for it.
func TestControlAfterTheEnd(t *testing.T) {
	t.Parallel()
	m := &Master{loop: &loop{events: make(chan event)}, done: make(chan struct{})}
	close(m.done)
	ctx := t.Context()
	_, stacks := m.Stacks(ctx)
	_, profile := m.Profile(ctx, 0, "heap", 0)
	_, scale := m.Scale(ctx, 1, 0)
	_, level := m.SetLogLevel(ctx, slog.LevelInfo)
	_, reload := m.Reload(ctx)
	_, restart := m.Restart(ctx)
	for i, err := range []error{stacks, profile, scale, level, reload, restart, m.SetThreads(ctx, 1), stopped(m.Stop(ctx, false)), m.ReopenLogs(ctx)} {
		if !errors.Is(err, control.ErrEnded) {
			t.Errorf("%d: %v", i, err)
		}
	}
	m.done = make(chan struct{})
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := m.Stacks(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("when nobody waits: %v", err)
	}
}

// Threads that were set by hand stay until the configuration says something new of them.
func TestSetThreads(t *testing.T) {
	inWorld(t, func(c *configs.Config) { c.MaxThreads = 8 }, nil, func(w *world) {
		w.pass(100 * time.Millisecond)
		m := w.master()
		check := func(what string, want int) {
			t.Helper()
			w.pass(time.Millisecond)
			for _, k := range w.snapshot().Workers {
				if got := w.fake.limits[k.PID].Threads; got != want || w.snapshot().Threads != want || k.Threads != want {
					t.Errorf("%s: worker %d has %d threads, the snapshot says %d and %d, want %d", what, k.Slot, got, w.snapshot().Threads, k.Threads, want)
				}
			}
		}
		if err := m.SetThreads(context.Background(), 5); err != nil {
			t.Fatal(err)
		}
		check("by hand", 5)
		w.reload(changed(w, func(c *configs.Config) { c.Threads, c.Surge = 3, 2 }))
		check("after a reload of something else", 5)
		w.restart()
		w.pass(20 * time.Second)
		check("after a restart", 5)
		w.reload(changed(w, func(c *configs.Config) { c.Threads = 4 }))
		check("after a reload of threads", 4)
		w.reload(changed(w, func(c *configs.Config) { c.Threads = 3 }))
		check("and back", 3)
		for n, want := range map[int]string{9: "cannot have 9 threads a worker: 1 to 8 are possible (--max-threads at start sets the limit)", 0: "cannot have 0 threads"} {
			if err := m.SetThreads(context.Background(), n); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%d threads: %v, want %s", n, err, want)
			}
		}
		check("after the refusals", 3)
	})
	inWorld(t, func(c *configs.Config) { c.Mode = "inprocess" }, nil, func(w *world) {
		w.pass(100 * time.Millisecond)
		if err := w.master().SetThreads(context.Background(), 5); err == nil || !strings.HasPrefix(err.Error(), "threads cannot be changed in process") {
			t.Errorf("in process: %v", err)
		}
	})
}

// The log level lasts until the configuration is read anew, though that says nothing new.
func TestSetLogLevel(t *testing.T) {
	inWorld(t, nil, nil, func(w *world) {
		w.pass(100 * time.Millisecond)
		m := w.master()
		for _, step := range []struct{ level, before slog.Level }{{slog.LevelError, slog.LevelInfo}, {slog.LevelDebug, slog.LevelError}} {
			if before, err := m.SetLogLevel(context.Background(), step.level); err != nil || before != step.before || w.loop.level.Level() != step.level {
				t.Errorf("%v: it was %v, %v, and is %v", step.level, before, err, w.loop.level.Level())
			}
		}
		if r := w.reload(changed(w, func(*configs.Config) {})); r.Outcome != api.ReloadUnchanged || w.loop.level.Level() != slog.LevelInfo {
			t.Errorf("after a reload, %s: %v", r.Outcome, w.loop.level.Level())
		}
	})
}

// A worker takes one profile at a time; one that is silent, dies or refuses is reported, and none holds the loop up.
func TestProfile(t *testing.T) {
	inWorld(t, nil, nil, func(w *world) {
		w.pass(2 * time.Second)
		m := w.master()
		pids := map[int]int{}
		for _, k := range w.snapshot().Workers {
			pids[k.Slot] = k.PID
		}
		type result struct {
			text string
			err  error
		}
		ask := func(slot int, kind string, length time.Duration) <-chan result {
			got := make(chan result, 1)
			go func() {
				data, err := m.Profile(context.Background(), slot, kind, length)
				got <- result{string(data), err}
			}()
			w.pass(0)
			return got
		}
		want := func(got <-chan result, text, problem string) {
			t.Helper()
			r := <-got
			if r.text != text || (r.err != nil) != (problem != "") || r.err != nil && !strings.Contains(r.err.Error(), problem) {
				t.Errorf("%q, %v; want %q, %q", r.text, r.err, text, problem)
			}
		}
		cpu, other := ask(1, "cpu", 10*time.Second), ask(2, "heap", 0)
		want(ask(1, "heap", 0), "", "a profile of worker 1 is being taken already, for at most 13s")
		want(other, fmt.Sprintf("heap of %d", pids[2]), "")
		want(cpu, fmt.Sprintf("cpu of %d", pids[1]), "")
		want(ask(1, "heap", 0), fmt.Sprintf("heap of %d", pids[1]), "")
		want(ask(1, "bad", 0), "", "worker 1: there is no such profile")
		want(ask(7, "heap", 0), "", "no worker runs in slot 7")

		// It takes the question and never answers.
		begun := time.Now()
		want(ask(1, "mute", time.Second), "", "worker 1 has not answered")
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %v to give it up", took)
		}

		// It stops while it takes one, and when it cannot even be asked.
		begun = time.Now()
		silent := ask(0, "cpu", time.Minute)
		w.fake.exit(pids[0], 5*time.Second, plan.ExitStatus{Code: 1})
		want(silent, "", "the process has ended")
		if took := time.Since(begun); took > 6*time.Second {
			t.Errorf("it took %v to notice the death", took)
		}
		w.stopWorker(pids[2])
		want(ask(2, "heap", 0), "", "worker 2 cannot be asked for a profile: the control channel is full")
		if n := len(w.loop.profiles); n != 0 {
			t.Errorf("%d profiles are under way", n)
		}
	})
}

// How each slot stands, towards the generation that the restart makes or goes back to.
func TestRestartSlots(t *testing.T) {
	t.Parallel()
	s := &Snapshot{Wanted: 5, Workers: []WorkerView{
		{Slot: 0, Generation: 2, State: plan.Ready, Settled: true},
		{Slot: 0, Generation: 1, State: plan.Draining},
		{Slot: 1, Generation: 1, State: plan.Ready, Settled: true},
		{Slot: 1, Generation: 2, State: plan.Ready},
		{Slot: 2, Generation: 1, State: plan.Ready, Settled: true},
		{Slot: 2, Generation: 2, State: plan.Starting},
		{Slot: 3, Generation: 1, State: plan.Ready, Settled: true},
		{Slot: 9, Generation: 2, State: plan.Ready, Settled: true},
		{Slot: 4, Generation: 2, State: plan.Waiting},
	}}
	for _, test := range []struct {
		ro   plan.Rollout
		want []string
	}{
		{plan.Rollout{Generation: 2, From: 1, Outcome: plan.Running}, []string{"replaced", "settling", "starting", "old", "old"}},
		{plan.Rollout{Generation: 2, From: 1, Outcome: plan.Returning}, []string{"old", "replaced", "replaced", "replaced", "old"}},
	} {
		if got := s.slots(&test.ro); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.ro.Outcome, got, test.want)
		}
	}
	s.InProcess = true
	if got := s.slots(&plan.Rollout{Generation: 2}); !slices.Equal(got, []string{"replaced"}) {
		t.Errorf("in process: %q", got)
	}
}

// A token file that is not good refuses a reload; a good one is read anew, though its path is the same.
func TestReloadReadsTheToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inWorld(t, func(c *configs.Config) { c.MetricsTokenFile = path }, nil, func(w *world) {
		w.pass(100 * time.Millisecond)
		var got control.Access
		w.loop.allow = func(a control.Access) { got = a }
		same := changed(w, func(*configs.Config) {})
		write("one\n")
		if r := w.reload(same); r.Outcome != api.ReloadUnchanged || got != (control.Access{Page: true, Token: "one"}) {
			t.Errorf("%+v, %+v", r, got)
		}
		write("")
		if r := w.reload(same); r.Outcome != api.ReloadRefused || !strings.Contains(strings.Join(r.Errors, ""), "is empty") || got.Token != "one" {
			t.Errorf("%+v, %+v", r, got)
		}
		write("two")
		if r := w.reload(changed(w, func(c *configs.Config) { c.Page = false })); r.Outcome != api.ReloadDone || got != (control.Access{Token: "two"}) {
			t.Errorf("%+v, %+v", r, got)
		}
	})
}

func stopped(_ api.Stopping, err error) error { return err }
