package plan

import (
	"testing"
	"time"
)

func TestStop(t *testing.T) {
	tests := []struct {
		name   string
		before func(w *world)
		during string // right after it
		within time.Duration
	}{
		{"all is well", func(*world) {}, "1D 1D 1D", 100 * time.Millisecond},
		{"during a restart", func(w *world) { w.restart(); w.run(1150 * time.Millisecond) }, "1D+2D 1D+2D 1D", 100 * time.Millisecond},
		{"during backoff", func(w *world) {
			w.habit = func(int, int) habit { return habit{boot: never, dies: time.Millisecond} }
			w.exit(w.in(0, 1), ExitStatus{Code: 1})
			w.run(10 * time.Second)
		}, ". 1D 1D", 100 * time.Millisecond},
		{"one boots and will not listen", func(w *world) {
			w.habit = func(int, int) habit { return habit{boot: never, leaves: never, ack: never} }
			w.exit(w.in(2, 1), ExitStatus{Code: 1})
		}, "1D 1D 1D", 31 * time.Second},
		{"one hangs", func(w *world) { w.hang(w.in(1, 1)); w.in(1, 1).deaf = true }, "1D 1d 1D", 32 * time.Second},
		{"one drains for ever", func(w *world) { w.in(1, 1).leaves, w.in(1, 1).deaf = never, true }, "1D 1D 1D", 33 * time.Second},
		{"one drains already", func(w *world) {
			w.in(2, 1).leaves, w.in(2, 1).deaf = never, true
			w.scale(2)
			w.run(20 * time.Second)
		}, "1D 1D 1D", 13 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := booted(t, workers(3, 1))
			tt.before(w)
			begun := w.now
			w.stop()
			w.is(tt.during)
			w.run(time.Minute)
			if !w.finished || len(w.processes) > 0 || w.s.ExitCode != ExitClean {
				t.Fatalf("finished %v with code %d: %s", w.finished, w.s.ExitCode, w.view())
			}
			if took := w.now.Sub(begun); took > tt.within {
				t.Errorf("it took %v, want %v", took, tt.within)
			}
		})
	}
}

func TestStopCancelsRestart(t *testing.T) {
	w := booted(t, workers(2, 1))
	w.restart()
	w.run(time.Second)
	w.stop()
	if ro := w.s.Rollout(); ro.Outcome != Cancelled || ro.Ended.IsZero() {
		t.Errorf("%+v", ro)
	}
	w.exit(w.in(0, 2), ExitStatus{Code: 1}) // nobody is blamed any more
	w.run(time.Second)
	if w.s.Target != 2 || w.leftFor(Stop) != 3 || !w.finished {
		t.Errorf("target %d, finished %v, %+v", w.s.Target, w.finished, w.s.Slots)
	}
}

// A second stop kills, whatever was under way.
func TestStopTwice(t *testing.T) {
	w := booted(t, workers(4, 1))
	for _, p := range w.processes {
		p.leaves, p.deaf = never, true
	}
	w.in(0, 1).lingers = 20 * time.Millisecond
	w.hang(w.in(1, 1))
	w.leaveByItself(w.in(3, 1))
	w.is("1R 1R 1R 1D+1s")
	w.stop()
	w.run(time.Second)
	w.did()
	w.stop()
	w.hasDone("kill 1 in 0, kill 1 in 1, kill 1 in 2, kill 1 in 3, exit 1 in 1, exit 1 in 2, exit 1 in 3")
	w.is("1D - - -")
	w.run(time.Second)
	w.hasDone("exit 1 in 0, finish")
	if w.leftFor(Stop) != 4 || w.leftFor(Signal) != 1 || w.leftFor(DrainTimeout) != 0 {
		t.Errorf("%+v", w.s.Slots)
	}
}

// Stopping at once needs no first stop.
func TestStopNow(t *testing.T) {
	w := booted(t, workers(2, 1))
	w.s.Stop(ExitForced, "at once")
	w.s.Force()
	w.converge()
	w.run(0)
	if !w.finished || w.s.ExitCode != ExitForced || w.s.StopWhy != "at once" || w.leftFor(Stop) != 2 {
		t.Errorf("finished %v with code %d because %q: %s", w.finished, w.s.ExitCode, w.s.StopWhy, w.view())
	}
}

// The first reason to stop is the one that is kept.
func TestStopKeepsTheReason(t *testing.T) {
	s := New(settings(), epoch)
	s.Stop(ExitFailure, "first")
	s.Stop(ExitClean, "second")
	if s.ExitCode != ExitFailure || s.StopWhy != "first" {
		t.Errorf("code %d because %q", s.ExitCode, s.StopWhy)
	}
}

// With a delay all goes on as it was, but for what would be replaced: the dead are, by their like, and a restart is not gone on with.
func TestStopLater(t *testing.T) {
	const delay = 10 * time.Second
	tests := []struct {
		name          string
		before, after func(w *world) // the stop is asked for
		during, then  string         // a moment before the delay is over, and after it
	}{
		{"all is well", nil, nil, "1R 1R", "1D 1D"},
		{"during a restart", func(w *world) { w.restart(); w.run(1150 * time.Millisecond) }, nil, "2R 1R+2R", "2D 1D+2D"},
		{"a worker dies", nil, func(w *world) { w.exit(w.in(1, 1), ExitStatus{Code: 1}) }, "1R 1R", "1D 1D"},
		{"a worker leaves", nil, func(w *world) { w.leaveByItself(w.in(1, 1)) }, "1R 1R", "1D 1D"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := workers(2, 1)
			c.DrainDelay = delay
			w := booted(t, c)
			if tt.before != nil {
				tt.before(w)
			}
			w.stop()
			if !w.s.Lingers() || w.s.Leaving() {
				t.Fatalf("it lingers: %v, leaves: %v", w.s.Lingers(), w.s.Leaving())
			}
			if tt.after != nil {
				tt.after(w)
			}
			w.run(delay - time.Millisecond)
			w.is(tt.during)
			w.habit = func(int, int) habit { t.Error("a worker was started"); return obedient }
			for _, p := range w.processes {
				p.leaves = 50 * time.Millisecond
			}
			w.run(time.Millisecond)
			w.is(tt.then)
			w.run(time.Minute)
			if !w.finished || w.s.ExitCode != ExitClean {
				t.Errorf("finished %v with code %d: %s", w.finished, w.s.ExitCode, w.view())
			}
		})
	}
}

// A second wish ends the delay and the workers; a start that has not come to be is not waited for.
func TestStopLaterAtOnce(t *testing.T) {
	c := workers(2, 1)
	c.DrainDelay = time.Hour
	w := booted(t, c)
	w.stop()
	w.run(time.Minute)
	w.stop()
	w.run(100 * time.Millisecond)
	if !w.finished {
		t.Errorf("it goes on after a second wish: %s", w.view())
	}
	w = newWorldWith(t, c, func(w *world) { w.habit = func(int, int) habit { return habit{boot: never} } })
	w.stop()
	w.run(100 * time.Millisecond)
	if !w.finished {
		t.Errorf("it goes on though nothing was ever served: %s", w.view())
	}
}
