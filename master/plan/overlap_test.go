package plan

import (
	"testing"
	"time"
)

// The slots in which a restart is under way finish, then all converge to the newest generation.
func TestRestartDuringRestart(t *testing.T) {
	w := booted(t, workers(3, 1))
	w.restart()
	w.run(1100*time.Millisecond + 500*time.Millisecond)
	w.is("2R 1R+2r 1R")
	w.did()
	w.restart()
	w.is("2R 1R+2r 1R")
	w.run(600 * time.Millisecond)
	w.is("2R+3s 1D+2R 1R") // the second slot has finished; the first one tries generation 3 alone
	w.run(1100 * time.Millisecond)
	w.is("2D+3R 2R+3s 1R")
	w.run(2200 * time.Millisecond)
	w.is("3R 3R 1D+3R")
	first, second := w.s.Rollouts[0], w.s.Rollouts[1]
	if first.Outcome != Superseded || first.By != 3 || !first.Ended.Equal(second.Started) || first.Replaced != 1 {
		t.Errorf("the first: %+v", first)
	}
	if second.Outcome != Done || second.From != 1 || second.Generation != 3 {
		t.Errorf("the second: %+v", second)
	}
	w.run(time.Minute)
	if !second.Drained || w.s.Good != 3 {
		t.Errorf("good %d: %+v", w.s.Good, second)
	}
}

// A newcomer of a superseded generation that fails says nothing against the newest.
func TestRestartSupersededFails(t *testing.T) {
	w := booted(t, workers(2, 1))
	w.restart()
	w.restart()
	w.is("1R+2s 1R")
	w.exit(w.in(0, 2), ExitStatus{Code: 1})
	w.is("1R+3s 1R")
	w.run(time.Minute)
	w.is("3R 3R")
	if !w.s.Failed[2] || w.s.Failed[3] || w.s.Rollout().Outcome != Done {
		t.Errorf("failed %v: %+v", w.s.Failed, w.s.Rollout())
	}
}

// If the newest of two restarts fails, all slots return to the generation that was good before both.
func TestRestartDuringRestartFails(t *testing.T) {
	w := booted(t, workers(3, 1))
	w.restart()
	w.run(1500 * time.Millisecond)
	w.is("2R 1R+2r 1R")
	w.restart()
	w.run(700 * time.Millisecond)
	w.is("2R+3s 1D+2R 1R")
	w.did()
	w.exit(w.in(0, 3), ExitStatus{Code: 1})
	w.run(time.Minute)
	w.is("1R 1R 1R")
	if ro := w.s.Rollout(); ro.Outcome != Aborted || ro.From != 1 || ro.Reason != "boot_exit" || w.leftFor(Rollback) != 2 {
		t.Errorf("%d left for the rollback: %+v", w.leftFor(Rollback), ro)
	}
}

// A restart while slots return: the one that failed is over, and the new one converges from wherever they are.
func TestRestartWhileReturning(t *testing.T) {
	w := booted(t, workers(3, 1))
	w.restart()
	w.run(2250 * time.Millisecond)
	w.is("2R 1D+2R 1R+2s")
	w.exit(w.in(2, 2), ExitStatus{Code: 1})
	w.is("1s+2R 1D+2R 1R")
	w.restart()
	w.is("1s+2R 1D+2R 1R")
	if r := w.s.Rollouts[0]; r.Outcome != Aborted || r.Reason != "boot_exit" {
		t.Errorf("%+v", r)
	}
	w.run(time.Minute)
	w.is("3R 3R 3R")
	if ro := w.s.Rollout(); ro.Outcome != Done || ro.From != 1 || w.s.Good != 3 || !w.s.Rollouts[0].Drained {
		t.Errorf("good %d: %+v after %+v", w.s.Good, ro, w.s.Rollouts[0])
	}
}

// A done restart passes its probation while the next one is under way, and is then what that one goes back to.
func TestRestartDuringProbation(t *testing.T) {
	tests := []struct {
		name  string
		fails time.Duration // generation 3, after it was asked for
		back  int
		view  string
	}{
		{"it fails before the other has passed", 2 * time.Second, 1, "1R 1R"},
		{"it fails after that", 6 * time.Second, 2, "2R 2R"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := booted(t, workers(2, 1))
			w.restart()
			w.run(3 * time.Second)
			w.is("2R 2R")
			w.habit = func(_, generation int) habit {
				if generation == 3 {
					return habit{boot: never, dies: tt.fails}
				}
				return obedient
			}
			w.restart()
			w.is("2R+3s 2R")
			w.run(time.Minute)
			w.is(tt.view)
			if ro := w.s.Rollout(); ro.Outcome != Aborted || ro.From != tt.back || w.s.Good != tt.back {
				t.Errorf("good %d: %+v", w.s.Good, ro)
			}
			if r := w.s.Rollouts[0]; r.Outcome != Done || !r.Drained {
				t.Errorf("the first: %+v", r)
			}
		})
	}
}

// What happens to a done restart in its probation, while the next one is under way.
func TestRestartDuringProbationIsNotPassed(t *testing.T) {
	tests := []struct {
		name string
		then func(w *world)
	}{
		{"a worker dies", func(w *world) { w.exit(w.in(1, 2), ExitStatus{Code: 1}) }},
		{"a worker hangs", func(w *world) { w.hang(w.in(1, 2)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := booted(t, workers(3, 1))
			w.restart()
			w.run(3400 * time.Millisecond)
			w.is("2R 2R 2R")
			w.habit = func(_, generation int) habit {
				h := obedient
				h.boot = time.Duration(generation) * 5 * time.Second
				return h
			}
			w.restart()
			tt.then(w)
			w.run(14 * time.Second)
			if w.s.Target != 3 || w.s.Good != 1 {
				t.Fatalf("%s: target %d, good %d", w.view(), w.s.Target, w.s.Good)
			}
			w.exit(w.in(0, 3), ExitStatus{Code: 1})
			w.run(5 * time.Minute)
			w.is("1R 1R 1R")
		})
	}
}

// A generation of which no worker is left is let go, and never gone back to.
func TestRestartDuringProbationReplacesAll(t *testing.T) {
	w := booted(t, workers(1, 1))
	w.restart()
	w.run(1200 * time.Millisecond)
	w.is("2R")
	w.restart()
	w.run(5 * time.Second)
	w.is("3R")
	if w.s.Good != 1 {
		t.Errorf("good is %d", w.s.Good)
	}
	w.run(time.Second)
	if w.s.Good != 3 || w.s.Rollout().From != 1 {
		t.Errorf("good is %d: %+v", w.s.Good, w.s.Rollout())
	}
}

// Whoever waits until a restart has drained is told, though another one has begun meanwhile.
func TestRestartDrainedDuringTheNext(t *testing.T) {
	h := obedient
	h.leaves = 20 * time.Second
	w := newWorldWith(t, workers(2, 1), func(w *world) { w.habit = func(int, int) habit { return h } })
	w.run(healthyAfter)
	w.restart()
	w.run(3 * time.Second)
	first := w.s.Rollout()
	w.restart()
	w.run(18*time.Second + 50*time.Millisecond)
	if first.Outcome != Done || first.Drained {
		t.Errorf("%s: %+v", w.view(), first)
	}
	w.run(time.Second + 200*time.Millisecond)
	if !first.Drained || w.s.Rollout().Drained {
		t.Errorf("%s: %+v, %+v", w.view(), first, w.s.Rollout())
	}
}
