package plan

import (
	"strings"
	"testing"
	"time"
)

// A newcomer that fails before it has settled costs nothing: no worker of the old generation is drained.
func TestAbort(t *testing.T) {
	bad := func(change func(h *habit)) habit { h := obedient; change(&h); return h }
	tests := []struct {
		name    string
		habit   habit
		missing bool
		within  time.Duration
		reason  Reason
		detail  string
	}{
		{"exits before ready", habit{boot: never, dies: 50 * time.Millisecond, exitCode: 3}, false, 50 * time.Millisecond, BootExit, "exit code 3"},
		{"never ready", habit{boot: never}, false, 10 * time.Second, BootTimeout, "within 10s"},
		{"shares no protocol", bad(func(h *habit) { h.foreign = true }), false, 100 * time.Millisecond, BootExit, "7..9"},
		{"cannot be started", obedient, true, 0, BootExit, "could not be started: no such file"},
		{"exits before settled", bad(func(h *habit) { h.dies = 999 * time.Millisecond }), false, 1099 * time.Millisecond, Crash, "exit code 1"},
		{"hangs as soon as it is ready", bad(func(h *habit) { h.hangs = 1; h.deaf = true }), false, 31 * time.Second, Heartbeat, "no heartbeat for 30"},
		{"leaves by itself before ready", habit{boot: never, resigns: time.Second}, false, time.Second, BootExit, "before it was ready"},
		{"leaves by itself before settled", bad(func(h *habit) { h.resigns = time.Second / 2; h.leaves = never }), false, 600 * time.Millisecond, Signal, "signal from outside"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := workers(3, 3)
			c.BootTimeout = 10 * time.Second
			if tt.reason == Heartbeat {
				c.Settle = 3 * time.Second // longer than it takes to see that it stalls
			}
			w := booted(t, c)
			w.habit = func(_, generation int) habit {
				if generation == 2 {
					return tt.habit
				}
				return obedient
			}
			w.cannotSpawn = func(generation int) bool { return generation == 2 && tt.missing }
			begun := w.now
			w.restart()
			for w.s.Target == 2 && w.now.Before(begun.Add(2*time.Minute)) {
				w.run(10 * time.Millisecond)
			}
			if took := w.now.Sub(begun); took > tt.within+tick {
				t.Errorf("it took %v to see that it fails, want %v", took, tt.within)
			}
			if acts := w.did(); strings.Count(acts, "spawn 2") != 1 || strings.Contains(acts, "drain") {
				t.Errorf("it did %s", acts)
			}
			ro := w.s.Rollout()
			if ro.Outcome != Aborted || ro.Reason != tt.reason.String() || !strings.Contains(ro.Detail, tt.detail) || !strings.HasPrefix(ro.Detail, "generation 2: ") {
				t.Errorf("%+v, want %v, %q", ro, tt.reason, tt.detail)
			}
			w.run(2 * time.Minute)
			w.is("1R 1R 1R")
			if !ro.Drained || w.leftFor(tt.reason) != 1 && tt.reason != Signal || w.leftFor(Crash)+w.leftFor(Restart)+w.leftFor(Rollback) > w.leftFor(tt.reason) {
				t.Errorf("%+v, %+v", ro, w.s.Slots)
			}
		})
	}
}

// A failure in a later slot takes all of them back, by the rule that took them forward.
func TestAbortReturns(t *testing.T) {
	w := booted(t, workers(4, 2))
	w.habit = func(slot, generation int) habit {
		h := obedient
		if slot == 3 && generation == 2 {
			h.boot = time.Second
		}
		return h
	}
	w.restart()
	w.run(2400 * time.Millisecond)
	w.is("2R 2R 2R 1R+2s")
	w.did()
	w.exit(w.in(3, 2), ExitStatus{Code: 1})
	w.is("1s+2R 1s+2R 2R 1R")
	if ro := w.s.Rollout(); ro.Outcome != Returning || !ro.Ended.IsZero() {
		t.Errorf("%+v", ro)
	}
	w.run(1100 * time.Millisecond)
	w.is("1R+2D 1R+2D 1s+2R 1R")
	w.run(1100 * time.Millisecond)
	w.is("1R 1R 1R+2D 1R")
	ro := w.s.Rollout()
	if ro.Outcome != Aborted || ro.Drained || ro.Replaced != 3 {
		t.Errorf("%+v", ro)
	}
	w.run(time.Second)
	if !ro.Drained || w.leftFor(Rollback) != 3 || w.s.Good != 1 || w.s.Target != 1 || w.s.Newest != 2 {
		t.Errorf("%+v", ro)
	}
}

// Newcomers that are still booting when the restart fails are sent away, and hold nobody up while they do not listen.
func TestAbortDrainsWhoBoots(t *testing.T) {
	w := booted(t, workers(4, 2))
	w.restart()
	w.run(1050 * time.Millisecond)
	w.habit = func(_, generation int) habit {
		if generation == 2 {
			return habit{boot: never, ack: never, leaves: never}
		}
		return obedient
	}
	w.run(100 * time.Millisecond)
	w.is("1D+2R 1R+2s 1R+2s 1R")
	w.run(time.Second)
	w.did()
	w.exit(w.in(1, 2), ExitStatus{Code: 1})
	w.is("1s+2R 1R 1R+2D 1R")
	w.run(5 * time.Second)
	w.is("1R 1R 1R+2D 1R")
	if w.s.Rollout().Outcome != Aborted {
		t.Errorf("%+v", w.s.Rollout())
	}
	w.run(30 * time.Second)
	w.is("1R 1R 1R 1R")
	if w.leftFor(DrainTimeout) != 1 {
		t.Errorf("%+v", w.s.Slots[2])
	}
}

// A worker may have to stay ready for longer than its probation lasts.
func TestAbortBeforeSettled(t *testing.T) {
	c := workers(2, 1)
	c.Settle, c.Probation = 10*time.Second, 2*time.Second
	w := booted(t, c)
	w.restart()
	w.run(5 * time.Second)
	w.exit(w.in(0, 2), ExitStatus{Code: 1})
	w.is("1R 1R")
	if ro := w.s.Rollout(); ro.Outcome != Aborted || ro.Reason != "crash" {
		t.Errorf("%+v", ro)
	}
}

// A worker of the old generation that hangs does not keep the other slots from returning to it.
func TestAbortOldWorkerHangs(t *testing.T) {
	w := booted(t, workers(3, 1))
	w.habit = func(slot, generation int) habit {
		h := obedient
		if slot == 2 && generation == 2 {
			h.boot = 20 * time.Second
		}
		return h
	}
	w.restart()
	w.run(2250 * time.Millisecond)
	w.hang(w.in(2, 1))
	w.run(5 * time.Second)
	w.is("2R 2R 1R!+2s")
	w.exit(w.in(2, 2), ExitStatus{Code: 1})
	w.run(5 * time.Second)
	w.is("1R 1R 1R!")
}

// Newcomers of the failed generation that boot where nobody else is make room at once.
func TestAbortReplacesWhoBootsAlone(t *testing.T) {
	w := booted(t, workers(3, 1))
	w.restart()
	w.run(1500 * time.Millisecond)
	w.habit = func(_, generation int) habit {
		h := obedient
		if generation == 2 {
			h.boot, h.leaves = never, never
		}
		return h
	}
	w.exit(w.in(2, 1), ExitStatus{Code: 1})
	w.is("2R 1R+2r 2s")
	w.exit(w.in(1, 2), ExitStatus{Code: 1})
	w.is("1s+2R 1R 1s+2D")
}

// The failure of a newcomer is not held against the slot.
func TestAbortIsNoFailureOfTheSlot(t *testing.T) {
	w := newWorld(t, workers(2, 1))
	w.run(3 * time.Second)
	w.restart()
	w.exit(w.in(0, 2), ExitStatus{Code: 1})
	w.exit(w.in(0, 1), ExitStatus{Code: 1})
	w.is("1s 1R")
	w.exit(w.in(0, 1), ExitStatus{Code: 1})
	w.is(". 1R")
}

// The old generation may have trouble when it is called back: the failed one serves until then.
func TestAbortOldGenerationHasTrouble(t *testing.T) {
	w := booted(t, workers(2, 1))
	w.restart()
	w.run(1100 * time.Millisecond)
	w.is("1D+2R 1R+2s")
	w.habit = func(int, int) habit { return habit{boot: never, dies: 10 * time.Millisecond} }
	w.exit(w.in(1, 2), ExitStatus{Code: 1})
	w.run(time.Minute)
	if w.ready() != 2 || w.s.Rollout().Outcome != Returning {
		t.Errorf("%s: %+v", w.view(), w.s.Rollout())
	}
	w.habit = func(int, int) habit { return obedient }
	w.run(backoffCap + 5*time.Second)
	w.is("1R 1R")
	if w.s.Rollout().Outcome != Aborted {
		t.Errorf("%+v", w.s.Rollout())
	}
}
