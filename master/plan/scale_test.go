package plan

import (
	"testing"
	"time"
)

// The highest slots go; their listeners are served by the others.
func TestScaleDown(t *testing.T) {
	w := booted(t, workers(4, 1))
	w.scale(2)
	w.is("1R 1R 1D 1D")
	w.hasDone("drain 1: scale, drain 1: scale, 0 adopts 2, 0 adopts 3, 1 adopts 2, 1 adopts 3")
	w.run(time.Minute)
	w.is("1R 1R - -")
	w.hasDone("exit 1 in 2, exit 1 in 3")
	if w.leftFor(Scale) != 2 || len(w.s.Slots[3].Deaths) != 0 {
		t.Errorf("%+v", w.s.Slots[3])
	}
	w.exit(w.in(0, 1), ExitStatus{Code: 1}) // who comes back helps again
	w.run(time.Second / 2)
	w.hasDone("exit 1 in 0, spawn 1 in 0, 1 adopts 0, 0 adopts 2, 0 adopts 3, 1 releases 0")
}

func TestScaleUp(t *testing.T) {
	w := booted(t, workers(1, 1))
	w.scale(3)
	w.is("1R 1s 1s")
	w.hasDone("spawn 1 in 1, spawn 1 in 2, 0 adopts 1, 0 adopts 2")
	w.run(2 * time.Second)
	w.is("1R 1R 1R")
	w.scale(1)
	w.run(2 * time.Second)
	w.did()
	w.scale(2) // the slot is opened already
	w.is("1R 1s -")
	w.hasDone("spawn 1 in 1")
	w.run(time.Second / 2)
	w.hasDone("0 releases 1, 1 adopts 2")
}

// A slot that is wanted again while its worker drains gets another one in the free seat; with no free seat it waits.
func TestScaleDownAndUp(t *testing.T) {
	h := obedient
	h.leaves = 10 * time.Second
	w := newWorldWith(t, workers(2, 1), func(w *world) { w.habit = func(int, int) habit { return h } })
	w.run(healthyAfter)
	w.scale(1)
	w.is("1R 1D")
	w.scale(2)
	w.is("1R 1D+1s")
	w.run(time.Second)
	w.scale(1)
	w.is("1R 1D+1D")
	w.scale(2)
	w.run(5 * time.Second)
	w.is("1R 1D+1D")
	w.run(4 * time.Second)
	w.is("1R 1D+1s")
	w.run(2 * time.Second)
	w.is("1R 1R")
}

// A worker of a removed slot that boots, or waits for its backoff, is not needed any more.
func TestScaleDownWhileBooting(t *testing.T) {
	w := booted(t, workers(3, 1))
	w.habit = func(slot, _ int) habit {
		return map[int]habit{1: {boot: never, dies: time.Millisecond}, 2: {boot: never, leaves: 40 * time.Second}}[slot]
	}
	w.exit(w.in(1, 1), ExitStatus{Code: 1})
	w.exit(w.in(2, 1), ExitStatus{Code: 1})
	w.run(10 * time.Second)
	w.is("1R . 1s")
	w.scale(1)
	w.is("1R . 1D")
	w.did()
	w.run(34 * time.Second)
	w.is("1R - -")
	w.hasDone("quit 1 in 2, exit 1 in 2") // and not sooner, because it has no heartbeat yet
	if w.leftFor(DrainTimeout) != 1 || w.leftFor(Heartbeat) != 0 {
		t.Errorf("%+v", w.s.Slots[2])
	}
}

func TestScaleDuringRestart(t *testing.T) {
	tests := []struct {
		name     string
		at       time.Duration
		from, to int
		during   string
		then     string
	}{
		{"up before it is proven", 500 * time.Millisecond, 2, 4, "1R+2r 1R 1s 1s", "2R 2R 2R 2R"},
		{"up when it is proven", 1100 * time.Millisecond, 2, 3, "1D+2R 1R+2s 2s", "2R 2R 2R"},
		{"down by a slot that is under way", 1500 * time.Millisecond, 2, 1, "2R 1D+2D", "2R -"},
		{"down by all that are left", 1200 * time.Millisecond, 4, 1, "2R 1D+2D 1D 1D", "2R - - -"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := booted(t, workers(tt.from, 1))
			w.restart()
			w.run(tt.at)
			w.scale(tt.to)
			w.is(tt.during)
			w.run(time.Minute)
			w.is(tt.then)
			if ro := w.s.Rollout(); ro.Outcome != Done || ro.Replaced != tt.to || w.s.Good != 2 {
				t.Errorf("%+v", ro)
			}
		})
	}
}
