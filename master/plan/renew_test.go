package plan

import (
	"strings"
	"testing"
	"time"
)

func (w *world) renew(slot int, why Reason) {
	w.Helper()
	if err := w.s.Renew(slot, why, "a test wants it", w.now); err != nil {
		w.Fatalf("%v: %v", w.since(), err)
	}
	w.settle()
}

// outcomes are those of all renewals, in order.
func (w *world) outcomes() string {
	var all []string
	for _, r := range w.s.Renewals {
		text := string(r.Outcome)
		if r.Drained {
			text += "!"
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

// New before old, one after the other in the order in which they were asked for, and neither the generation nor a restart is touched.
func TestRenew(t *testing.T) {
	h := obedient
	h.ack, h.leaves = 300*time.Millisecond, 5*time.Second
	w := newWorldWith(t, workers(3, 2), func(w *world) { w.habit = func(int, int) habit { return h } })
	w.run(healthyAfter)
	w.acts = nil
	w.renew(2, RecycleAge)
	w.renew(0, RequestStuck)
	steps := []struct {
		after                time.Duration // from the step before
		then, does, outcomes string
	}{
		{0, "1R 1R 1R+1s", "spawn 1 in 2", "running pending"},
		{100 * time.Millisecond, "1R 1R 1R+1r", "", "running pending"},
		{999 * time.Millisecond, "1R 1R 1R+1r", "", "running pending"},
		{time.Millisecond, "1R 1R 1R+1d", "drain 1: recycle_age", "done pending"},
		{299 * time.Millisecond, "1R 1R 1R+1d", "", "done pending"},
		{time.Millisecond, "1R+1s 1R 1D+1R", "spawn 1 in 0", "done running"},
		{1100 * time.Millisecond, "1R+1d 1R 1D+1R", "drain 1: request_stuck", "done done"},
		{4 * time.Second, "1D+1R 1R 1R", "exit 1 in 2", "done! done"},
		{time.Second, "1R 1R 1R", "exit 1 in 0", "done! done!"},
		{5 * time.Minute, "1R 1R 1R", "", "done! done!"},
	}
	for i, step := range steps {
		w.run(step.after)
		w.is(step.then)
		w.hasDone(step.does)
		if got := w.outcomes(); got != step.outcomes {
			t.Errorf("step %d: %s, want %s", i, got, step.outcomes)
		}
	}
	if w.leftFor(RecycleAge) != 1 || w.leftFor(RequestStuck) != 1 || w.s.Rollout() != nil || w.s.Target != 1 {
		t.Errorf("%+v", w.s)
	}
}

// The drain of a worker whose threads are stuck ends as every drain does.
func TestRenewOfAStuckWorker(t *testing.T) {
	w := booted(t, workers(2, 1))
	w.in(1, 1).leaves = never
	w.renew(1, RequestStuck)
	w.run(w.s.Config.Settle + time.Second)
	w.is("1R 1D+1R")
	w.run(w.s.Config.DrainTimeout + 4*time.Second)
	w.is("1R 1R")
	if w.leftFor(DrainTimeout) != 1 || w.leftFor(RequestStuck) != 0 || w.outcomes() != "done!" {
		t.Errorf("%s, %v", w.outcomes(), w.s.Slots[1].Left)
	}
	if d := last(w.s.Slots[1].Deaths); !strings.Contains(d.Detail, "(request_stuck)") {
		t.Errorf("%+v", d)
	}
}

// A newcomer that fails harms nobody: the old worker serves, the next try waits for the backoff, the fourth for the next cause.
func TestRenewFails(t *testing.T) {
	for name, prepare := range map[string]func(w *world, bad *bool){
		"it exits": func(w *world, bad *bool) {
			w.habit = func(int, int) habit {
				h := obedient
				if *bad {
					h.boot, h.dies = never, 50*time.Millisecond
				}
				return h
			}
		},
		"it cannot be started": func(w *world, bad *bool) { w.cannotSpawn = func(int) bool { return *bad } },
	} {
		t.Run(name, func(t *testing.T) {
			w := booted(t, workers(2, 1))
			bad := true
			prepare(w, &bad)
			w.renew(0, RecycleMemory)
			w.renew(1, RecycleAge)
			w.run(10 * time.Second)
			w.is("1R 1R")
			if got := w.outcomes(); got != "aborted aborted" {
				t.Fatal(got)
			}
			if r := w.s.Renewals[0]; r.Failures != 3 || r.Failure == "" || r.Drained || w.s.Failed[1] || w.s.Slots[0].Left[BootExit] != 3 {
				t.Errorf("%+v", r)
			}
			bad = false
			w.run(time.Minute)
			if w.acts = nil; w.s.Slots[0].Left[BootExit] != 3 {
				t.Errorf("it was tried again without a cause: %v", w.s.Slots[0].Left)
			}
			w.renew(0, RecycleMemory)
			w.run(5 * time.Second)
			w.is("1R 1R")
			if got := w.outcomes(); got != "aborted! aborted done!" {
				t.Error(got)
			}
		})
	}
}

// What else may happen to a renewal.
func TestRenewalEnds(t *testing.T) {
	tests := []struct {
		name     string
		do       func(w *world)
		outcomes string // at once, when all is settled
		settled  string
		then     string
	}{
		{"the old one dies while the newcomer starts", func(w *world) {
			w.renew(0, RecycleAge)
			w.exit(w.at(SeatID{0, 0, 1}), ExitStatus{Code: 1})
		}, "cancelled!", "cancelled!", "1R 1R"},
		{"the old one dies before", func(w *world) {
			w.renew(0, RecycleAge)
			w.renew(1, RecycleAge)
			w.exit(w.at(SeatID{1, 0, 2}), ExitStatus{Code: 1})
		}, "running cancelled!", "done! cancelled!", "1R 1R"},
		{"its slot is removed", func(w *world) {
			w.renew(1, RecycleAge)
			w.scale(1)
		}, "cancelled", "cancelled!", "1R -"},
		{"a restart is under way", func(w *world) {
			w.restart()
			w.renew(1, RecycleAge)
		}, "pending", "superseded!", "2R 2R"},
		{"a restart begins while the newcomer starts", func(w *world) {
			w.renew(1, RecycleAge)
			w.renew(0, RecycleAge)
			w.restart()
		}, "running pending", "done! superseded!", "2R 2R"},
		{"a restart is taken back", func(w *world) {
			w.cannotSpawn = func(g int) bool { return g == 2 }
			w.restart()
			w.renew(1, RecycleAge)
		}, "running", "done!", "1R 1R"},
		{"somebody else tells it to leave", func(w *world) {
			w.renew(0, RecycleAge)
			w.leaveByItself(w.at(SeatID{0, 0, 1}))
			w.settle()
		}, "cancelled", "cancelled!", "1R 1R"},
		{"the cluster stops", func(w *world) {
			w.renew(1, RecycleAge)
			w.stop()
		}, "cancelled", "cancelled!", "- -"},
		{"the newcomer is renewed as well", func(w *world) {
			w.renew(1, RecycleAge)
			w.run(500 * time.Millisecond)
			w.renew(1, Restart)
		}, "running pending", "done! done!", "1R 1R"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := booted(t, workers(2, 1))
			tt.do(w)
			w.settle()
			if got := w.outcomes(); got != tt.outcomes {
				t.Errorf("%s, want %s", got, tt.outcomes)
			}
			w.run(time.Minute)
			if got := w.outcomes(); got != tt.settled {
				t.Errorf("at last %s, want %s", got, tt.settled)
			}
			w.is(tt.then)
		})
	}
}

func TestRenewRefused(t *testing.T) {
	w := booted(t, workers(2, 1))
	w.renew(1, RecycleAge)
	refused := func(slot int, why string) {
		t.Helper()
		if err := w.s.Renew(slot, Restart, "", w.now); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("slot %d: %v, want %q", slot, err, why)
		}
	}
	refused(2, "there is no slot 2: there are 0 to 1")
	refused(-1, "there is no slot -1")
	refused(1, "is to be replaced already (recycle_age)")
	w.exit(w.at(SeatID{0, 0, 1}), ExitStatus{Code: 1})
	refused(0, "no worker that is ready")
	w.stop()
	refused(0, "the cluster is stopping")
	if len(w.s.Renewals) != 1 {
		t.Errorf("%+v", w.s.Renewals)
	}
}
