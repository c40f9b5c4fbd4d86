package plan

import (
	"strings"
	"testing"
	"time"
)

func TestBoot(t *testing.T) {
	c := settings()
	c.Workers = 2
	w := newWorld(t, c)
	w.is("1s 1s")
	w.hasDone("spawn 1 in 0, spawn 1 in 1")
	if want := epoch.Add(c.BootTimeout); !w.wake.Equal(want) {
		t.Errorf("the alarm is set to %v, want %v", w.wake, want)
	}
	w.run(100 * time.Millisecond)
	w.is("1r 1r")
	w.hasDone("0 adopts 1, 0 releases 1") // the first that is ready helps, for a moment
	w.run(c.Settle)
	w.is("1R 1R")
	w.hasDone("")
	if !w.wake.IsZero() || !w.s.EverReady || w.s.Rollout() != nil {
		t.Errorf("after the boot: alarm %v, state %+v", w.wake, w.s)
	}
	w.run(5 * time.Minute)
	w.hasDone("")
}

// Before a slot has listeners it gets no worker.
func TestBootOpensSlotsFirst(t *testing.T) {
	s := New(settings(), epoch)
	actions, _ := Step(s, epoch)
	if len(actions) != 4 {
		t.Fatalf("%v", actions)
	}
	for i, a := range actions {
		if a != (OpenSlot{Slot: i}) {
			t.Errorf("%+v", a)
		}
	}
}

func TestStartFails(t *testing.T) {
	dies := func(h habit) habit { h.boot, h.dies = never, 50*time.Millisecond; return h }
	tests := []struct {
		name    string
		habit   func(slot, spawn int) habit
		missing bool
		why     string // "": it starts
		by      time.Duration
	}{
		{"every worker exits three times", func(int, int) habit { return dies(obedient) }, false, "every worker has exited 3 times", time.Second},
		{"the program cannot be run", func(int, int) habit { return obedient }, true, "every worker has exited 3 times", time.Second},
		{"nobody is ready in time", func(int, int) habit { return habit{boot: never, leaves: never, deaf: true} }, false, "no worker was ready within the boot timeout of 1m0s", time.Minute},
		{"some die, the others are not ready in time", func(slot, _ int) habit {
			if slot == 0 {
				return habit{boot: never}
			}
			return dies(obedient)
		}, false, "no worker was ready within", 61 * time.Second},
		{"the third attempt succeeds", func(_, spawn int) habit {
			if spawn < 3 {
				return dies(obedient)
			}
			return obedient
		}, false, "", time.Minute},
		{"one slot works", func(slot, _ int) habit {
			if slot == 2 {
				return obedient
			}
			return dies(obedient)
		}, false, "", 3 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spawns := map[int]int{}
			w := newWorldWith(t, settings(), func(v *world) {
				v.habit = func(slot, _ int) habit { spawns[slot]++; return tt.habit(slot, spawns[slot]) }
				v.cannotSpawn = func(int) bool { return tt.missing }
			})
			w.run(tt.by)
			if tt.why == "" {
				if w.finished || w.s.Stopping || !w.s.EverReady {
					t.Errorf("%s, stopping because %q", w.view(), w.s.StopWhy)
				}
				return
			}
			if !w.finished || w.s.ExitCode != ExitNoWorker || !strings.Contains(w.s.StopWhy, tt.why) || len(w.processes) > 0 {
				t.Errorf("finished %v with code %d because %q: %s", w.finished, w.s.ExitCode, w.s.StopWhy, w.view())
			}
		})
	}
}

// Only the slots that are wanted count.
func TestStartFailsInWhatIsLeft(t *testing.T) {
	w := newWorldWith(t, workers(2, 1), func(w *world) {
		w.habit = func(slot, _ int) habit { return []habit{{boot: never, dies: time.Second}, {boot: never}}[slot] }
	})
	w.scale(1)
	w.run(5 * time.Second)
	if !w.finished || w.s.ExitCode != ExitNoWorker {
		t.Errorf("finished %v: %s", w.finished, w.view())
	}
}

// A cluster that has been ready once never ends because its workers fail.
func TestStartHasSucceeded(t *testing.T) {
	w := booted(t, settings())
	w.habit = func(int, int) habit { return habit{boot: never, dies: time.Millisecond} }
	for slot := range 4 {
		w.exit(w.in(slot, 1), ExitStatus{Code: 1})
	}
	w.run(3 * time.Minute)
	if w.s.Stopping {
		t.Error(w.s.StopWhy)
	}
	w.habit = func(int, int) habit { return obedient }
	w.run(backoffCap + time.Second)
	w.is("1R 1R 1R 1R")
}
