package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/configs"
)

func workers(n, surge int) configs.Config {
	c := settings()
	c.Workers, c.Surge = n, surge
	return c
}

// New first, settle, drain the old one; the next slot once that has acknowledged.
func TestRestart(t *testing.T) {
	h := obedient
	h.ack, h.leaves = 300*time.Millisecond, 5*time.Second
	w := newWorldWith(t, workers(3, 1), func(w *world) { w.habit = func(int, int) habit { return h } })
	w.run(healthyAfter)
	started := w.now
	w.acts = nil
	w.restart()
	steps := []struct {
		after      time.Duration // from the step before
		then, does string
		replaced   int
	}{
		{0, "1R+2s 1R 1R", "spawn 2 in 0", 0},
		{100 * time.Millisecond, "1R+2r 1R 1R", "", 0},
		{999 * time.Millisecond, "1R+2r 1R 1R", "", 0},
		{time.Millisecond, "1d+2R 1R 1R", "drain 1: restart", 1},
		{299 * time.Millisecond, "1d+2R 1R 1R", "", 1},
		{time.Millisecond, "1D+2R 1R+2s 1R", "spawn 2 in 1", 1},
		{1100 * time.Millisecond, "1D+2R 1d+2R 1R", "drain 1: restart", 2},
		{300 * time.Millisecond, "1D+2R 1D+2R 1R+2s", "spawn 2 in 2", 2},
		{1100 * time.Millisecond, "1D+2R 1D+2R 1d+2R", "drain 1: restart", 3}, // it is over
		{2200 * time.Millisecond, "2R 1D+2R 1D+2R", "exit 1 in 0", 3},
		{2800 * time.Millisecond, "2R 2R 2R", "exit 1 in 1, exit 1 in 2", 3},
		{5 * time.Minute, "2R 2R 2R", "", 3},
	}
	for i, step := range steps {
		w.run(step.after)
		w.is(step.then)
		w.hasDone(step.does)
		ro := w.s.Rollout()
		over, drained := i >= 8, i >= 10
		if ro.Replaced != step.replaced || (ro.Outcome == Done) != over || ro.Ended.IsZero() == over || ro.Drained != drained {
			t.Errorf("step %d: %+v", i, ro)
		}
	}
	ro := w.s.Rollout()
	if took := ro.Ended.Sub(started); took != 3900*time.Millisecond || ro.Generation != 2 || ro.From != 1 || !ro.Started.Equal(started) || ro.Reason != "" {
		t.Errorf("it took %v: %+v", took, ro)
	}
	if w.s.Good != 2 || w.leftFor(Restart) != 3 {
		t.Errorf("good is %d, %d left for the restart", w.s.Good, w.leftFor(Restart))
	}
}

// The first slot goes alone even if many are to be replaced at a time.
func TestRestartSurge(t *testing.T) {
	w := booted(t, workers(6, 3))
	w.restart()
	w.is("1R+2s 1R 1R 1R 1R 1R")
	w.run(1100 * time.Millisecond)
	w.is("1D+2R 1R+2s 1R+2s 1R+2s 1R 1R")
	w.run(1100 * time.Millisecond)
	w.is("2R 1D+2R 1D+2R 1D+2R 1R+2s 1R+2s")
	w.run(1100 * time.Millisecond)
	w.is("2R 2R 2R 2R 1D+2R 1D+2R")
	if w.s.Rollout().Outcome != Done {
		t.Errorf("%+v", w.s.Rollout())
	}
}

// The generation is known to be good when its last worker has passed the probation.
func TestRestartProbation(t *testing.T) {
	w := booted(t, workers(2, 1))
	w.restart()
	w.run(2200 * time.Millisecond)
	if w.s.Rollout().Outcome != Done || w.s.Good != 1 {
		t.Fatalf("%+v, good is %d", w.s.Rollout(), w.s.Good)
	}
	if want := w.s.At(w.in(1, 2).id).ReadyAt.Add(5 * time.Second); !w.wake.Equal(want) {
		t.Errorf("the alarm is set to %v, want %v", w.wake, want)
	}
	w.run(3999 * time.Millisecond)
	if w.s.Good != 1 {
		t.Error("too early")
	}
	w.run(time.Millisecond)
	if w.s.Good != 2 {
		t.Error("it has passed")
	}
}

// A worker that dies later, of age, does not count; but while its successor is not proven, neither is the generation.
func TestRestartProbationBeginsAnew(t *testing.T) {
	w := booted(t, workers(2, 1))
	w.restart()
	w.run(5200 * time.Millisecond)
	w.is("2R 2R")
	w.habit = func(int, int) habit { h := obedient; h.boot = 20 * time.Second; return h }
	w.exit(w.in(0, 2), ExitStatus{Code: 1})
	w.is("2s 2R")
	w.run(24 * time.Second)
	if w.s.Good != 1 || w.s.Rollout().Outcome != Done {
		t.Errorf("good is %d: %+v", w.s.Good, w.s.Rollout())
	}
	w.run(time.Second)
	if w.s.Good != 2 {
		t.Errorf("good is %d", w.s.Good)
	}
}

// Once a generation is proven it fills empty slots, even if the worker that proved it has died of age.
func TestRestartStaysProven(t *testing.T) {
	w := booted(t, workers(2, 1))
	w.habit = func(slot, _ int) habit {
		h := obedient
		h.boot += time.Duration(slot) * 20 * time.Second
		return h
	}
	w.restart()
	w.run(10 * time.Second)
	w.is("2R 1R+2s")
	w.exit(w.in(0, 2), ExitStatus{Code: 1})
	w.is("2s 1R+2s")
}

// An old worker that does not acknowledge holds the restart up, unless it stalls, dies or had never begun to accept.
func TestRestartWaitsForAcknowledgement(t *testing.T) {
	tests := []struct {
		name string
		then func(w *world)
		wait time.Duration
		want string
	}{
		{"it is only slow", func(*world) {}, 10 * time.Second, "1d+2R 1R"},
		{"it acknowledges", func(w *world) { w.tell(w.in(0, 1), SaidDraining, Happening{}) }, 0, "1D+2R 1R+2s"},
		{"it stalls", func(w *world) { w.hang(w.in(0, 1)) }, 3 * time.Second, "1d+2R 1R+2r"},
		{"it dies", func(w *world) { w.exit(w.in(0, 1), ExitStatus{Code: 1}) }, 0, "2R 1R+2s"},
		{"the ladder ends it", func(*world) {}, 32 * time.Second, "2R 1R+2r"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := obedient
			h.ack, h.leaves = never, never
			w := newWorldWith(t, workers(2, 1), func(w *world) { w.habit = func(int, int) habit { return h } })
			w.run(healthyAfter)
			w.habit = func(int, int) habit { return obedient }
			w.restart()
			w.run(1100 * time.Millisecond)
			w.is("1d+2R 1R")
			tt.then(w)
			w.run(tt.wait)
			w.is(tt.want)
		})
	}
}

// An old worker that crashes during the restart is replaced by one of a generation that is known to work.
func TestRestartOldWorkerCrashes(t *testing.T) {
	w := booted(t, workers(3, 1))
	w.restart()
	w.exit(w.in(2, 1), ExitStatus{Code: 1})
	w.is("1R+2s 1R 1s")
	w.run(1100 * time.Millisecond)
	w.exit(w.in(2, 1), ExitStatus{Code: 1}) // now the new one is proven
	w.run(250 * time.Millisecond)
	w.is("2R 1R+2r 2r")
	w.run(time.Minute)
	w.is("2R 2R 2R")
	if w.s.Rollout().Outcome != Done {
		t.Errorf("%+v", w.s.Rollout())
	}
}

// If the old worker dies beside the newcomer, the slot does not get a third one.
func TestRestartOldWorkerCrashesBesideNewcomer(t *testing.T) {
	w := booted(t, workers(2, 1))
	w.restart()
	w.exit(w.in(0, 1), ExitStatus{Code: 1})
	w.is("2s 1R")
	w.run(1100 * time.Millisecond)
	w.is("2R 1R+2s")
}

// When the old program does not work any more, a restart with a repaired one comes through, without waiting for the old.
func TestRestartRepairs(t *testing.T) {
	for _, surge := range []int{1, 4} {
		w := booted(t, workers(4, surge))
		w.habit = func(_, generation int) habit {
			if generation == 1 {
				return habit{boot: never, dies: 20 * time.Millisecond}
			}
			return obedient
		}
		for slot := range 4 {
			w.exit(w.in(slot, 1), ExitStatus{Code: 1})
		}
		w.run(2*time.Minute + 5*time.Second)
		w.is(". . . .")
		w.did()
		w.restart()
		w.is("1s 1s 1s 1s") // the old one gets another chance at once
		w.run(150 * time.Millisecond)
		if strings.Count(w.did(), "spawn 2") != 1 {
			t.Errorf("not one alone tries it: %s", w.view())
		}
		w.run(time.Minute)
		w.is("2R 2R 2R 2R")
		if w.s.Rollout().Outcome != Done || w.s.Good != 2 {
			t.Errorf("surge %d: %+v", surge, w.s.Rollout())
		}
	}
}

func TestRestartsKept(t *testing.T) {
	w := booted(t, workers(1, 1))
	for range rolloutsKept + 3 {
		w.restart()
		w.run(10 * time.Second)
	}
	if n := len(w.s.Rollouts); n != rolloutsKept || w.s.Rollouts[0].Generation != 5 || w.s.Rollout().Generation != 12 || w.s.Good != 12 {
		t.Errorf("%d kept, from generation %d to %d", n, w.s.Rollouts[0].Generation, w.s.Rollout().Generation)
	}
}
