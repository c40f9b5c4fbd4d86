package plan

import (
	"strings"
	"testing"
	"time"
)

// A worker that dies after it has settled, but within the probation, takes the restart back: also one that was done.
func TestRollback(t *testing.T) {
	tests := []struct {
		name  string
		ready time.Duration // of the worker of slot 1 when it dies
		slot  int
		during,
		after string
		back bool
	}{
		{"in the middle of the restart", 1500 * time.Millisecond, 0, "2R 1R+2r 1R", "1s 1R+2d 1R", true},
		{"just within the probation", 4999 * time.Millisecond, 2, "2R 2R 2R", "1s+2R 2R 1s", true},
		{"when it has passed", 5 * time.Second, 2, "2R 2R 2R", "2R 2R 2s", false},
		{"when it has passed, but others have not", 5 * time.Second, 0, "2R 2R 2R", "2s 2R 2R", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := booted(t, workers(3, 1))
			w.restart()
			w.run(time.Duration(tt.slot)*1100*time.Millisecond + 100*time.Millisecond)
			p := w.in(tt.slot, 2)
			w.run(tt.ready - time.Millisecond)
			w.is(tt.during)
			w.now = w.now.Add(time.Millisecond) // the death is heard of before the alarm
			w.exit(p, ExitStatus{Code: 1})
			ro := w.s.Rollout()
			if !tt.back {
				w.is(tt.after)
				w.run(time.Minute)
				w.is("2R 2R 2R")
				if ro.Outcome != Done || w.s.Good != 2 || w.leftFor(Crash) != 1 {
					t.Errorf("good %d: %+v", w.s.Good, ro)
				}
				return
			}
			w.is(tt.after)
			if ro.Outcome != Returning || ro.Reason != "rollback" || !strings.Contains(ro.Detail, " after it was ready: exit code 1") || !ro.Ended.IsZero() || ro.Drained {
				t.Errorf("%+v", ro)
			}
			w.run(time.Minute)
			w.is("1R 1R 1R")
			if ro.Outcome != Aborted || !ro.Drained || w.s.Good != 1 || !w.s.Failed[2] {
				t.Errorf("good %d: %+v", w.s.Good, ro)
			}
		})
	}
}

// With a single worker nobody else can vouch for the generation.
func TestRollbackOfOne(t *testing.T) {
	for _, tt := range []struct {
		ready time.Duration
		want  string
	}{{4999 * time.Millisecond, "1s"}, {5 * time.Second, "2s"}} {
		w := booted(t, workers(1, 1))
		w.restart()
		w.run(100*time.Millisecond + tt.ready - time.Millisecond)
		w.now = w.now.Add(time.Millisecond)
		w.exit(w.in(0, 2), ExitStatus{Code: 1})
		w.is(tt.want)
	}
}

// A new version that hangs soon after it was ready is dead only much later. What counts is when it fell silent; until it is
// clear what becomes of it, no further worker is replaced and the restart is not over.
func TestRollbackOfHanging(t *testing.T) {
	tests := []struct {
		name      string
		hangs     time.Duration
		workers   int
		untouched int // at least
		back      bool
	}{
		{"at once", 1, 4, 3, true},
		{"at once, of two", 1, 2, 1, true},
		{"when it is too late to see it", 1500 * time.Millisecond, 4, 0, true},
		{"at the end", 4 * time.Second, 2, 0, true},
		{"after the probation", 5001 * time.Millisecond, 2, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := booted(t, workers(tt.workers, 4))
			w.habit = func(slot, generation int) habit {
				h := obedient
				if slot == 0 && generation == 2 && w.s.Slots[0].Left[Heartbeat] == 0 {
					h.hangs = tt.hangs
				} else if generation == 2 {
					h.boot = time.Second
				}
				return h
			}
			w.restart()
			w.run(20 * time.Second)
			if n := strings.Count(w.view(), "1R"); n < tt.untouched {
				t.Errorf("%s: only %d old workers are left", w.view(), n)
			}
			if tt.back && w.s.Good != 1 {
				t.Errorf("%s: good is %d", w.view(), w.s.Good)
			}
			w.run(2 * time.Minute)
			ro := w.s.Rollout()
			if tt.back != (w.s.Target == 1) || tt.back && (ro.Outcome != Aborted || ro.Reason != "rollback" || !strings.Contains(ro.Detail, "after it was ready: no heartbeat")) {
				t.Errorf("%s: %+v", w.view(), ro)
			}
			w.is(strings.TrimSpace(strings.Repeat(map[bool]string{true: "1R ", false: "2R "}[tt.back], tt.workers)))
		})
	}
}

// While a worker of the new generation hangs, no other slot gets one.
func TestRollbackOfHangingStartsNoMore(t *testing.T) {
	h := obedient
	h.ack, h.leaves = 2*time.Second, 3*time.Second
	w := newWorldWith(t, workers(3, 1), func(w *world) { w.habit = func(int, int) habit { return h } })
	w.run(healthyAfter)
	w.restart()
	w.run(3100 * time.Millisecond)
	w.is("1D+2R 1R+2s 1R")
	w.hang(w.in(0, 2))
	w.run(5 * time.Second)
	w.is("2R! 2R 1R")
	w.wakeUp(w.in(0, 2))
	w.run(tick)
	w.is("2R 2R 1R+2r")
}

// While a worker of the new generation hangs, empty slots are filled with the old one.
func TestRollbackOfHangingRefills(t *testing.T) {
	w := booted(t, workers(3, 1))
	w.habit = func(_, generation int) habit {
		h := obedient
		h.boot = time.Duration(generation) * time.Second
		return h
	}
	w.restart()
	w.run(3500 * time.Millisecond)
	w.hang(w.in(0, 2))
	w.run(3 * time.Second)
	w.is("2R! 1R+2R 1R")
	w.exit(w.in(2, 1), ExitStatus{Code: 1})
	w.is("2R! 1R+2R 1s")
}

// A worker that only stalls for a moment delays the restart and does no more harm.
func TestRollbackNotForAStall(t *testing.T) {
	w := booted(t, workers(2, 1))
	w.habit = func(slot, _ int) habit {
		h := obedient
		h.boot = time.Duration(1+slot) * time.Second
		return h
	}
	w.restart()
	w.run(2200 * time.Millisecond)
	w.hang(w.in(0, 2))
	w.run(10 * time.Second)
	w.is("2R! 1R+2R")
	if w.s.Rollout().Outcome != Running {
		t.Errorf("%+v", w.s.Rollout())
	}
	w.wakeUp(w.in(0, 2))
	w.run(tick + 100*time.Millisecond)
	w.is("2R 2R")
	if w.s.Rollout().Outcome != Done {
		t.Errorf("%+v", w.s.Rollout())
	}
}

// A worker of the new generation that hangs after it was told to leave, for another reason, says nothing against it.
func TestRollbackNotForTheRemoved(t *testing.T) {
	c := workers(3, 3)
	c.HeartbeatTimeout, c.Probation = 3*time.Second, 20*time.Second
	w := booted(t, c)
	w.habit = func(slot, _ int) habit {
		h := obedient
		if slot == 2 {
			h.hangs, h.leaves, h.deaf = 1200*time.Millisecond, never, true
		}
		return h
	}
	w.restart()
	w.run(2250 * time.Millisecond)
	w.is("2R 1D+2R 1D+2R")
	w.scale(2)
	w.run(time.Minute)
	w.is("2R 2R -")
	if ro := w.s.Rollout(); ro.Outcome != Done || w.s.Good != 2 {
		t.Errorf("%+v", ro)
	}
}
