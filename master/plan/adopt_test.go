package plan

import (
	"testing"
	"time"
)

// While a slot has no ready worker of its own, every ready worker serves its listeners.
func TestAdoption(t *testing.T) {
	crashLoop := func(w *world) {
		w.habit = func(int, int) habit { return habit{boot: never, dies: time.Millisecond} }
		w.exit(w.in(1, 1), ExitStatus{Code: 1})
		w.run(200 * time.Millisecond)
		w.habit = func(int, int) habit { return obedient }
	}
	tests := []struct {
		name    string
		orphan  func(w *world)
		view    string
		adopt   string
		relieve func(w *world)
		release string
	}{
		{
			"boot", func(w *world) { w.exit(w.in(1, 1), ExitStatus{Code: 1}) }, "1R 1s 1R",
			"0 adopts 1, 2 adopts 1", func(w *world) { w.run(100 * time.Millisecond) }, "0 releases 1, 2 releases 1",
		},
		{
			"backoff", crashLoop, "1R . 1R",
			"0 adopts 1, 2 adopts 1", func(w *world) { w.run(time.Second) }, "0 releases 1, 2 releases 1",
		},
		{
			"stalled", func(w *world) { w.hang(w.in(1, 1)); w.run(3 * time.Second) }, "1R 1R! 1R",
			"0 adopts 1, 2 adopts 1", func(w *world) { w.wakeUp(w.in(1, 1)); w.run(time.Second) }, "0 releases 1, 2 releases 1",
		},
		{
			"removed", func(w *world) { w.scale(2); w.run(time.Second) }, "1R 1R -",
			"0 adopts 2, 1 adopts 2", func(w *world) { w.scale(3); w.run(time.Second) }, "0 releases 2, 1 releases 2",
		},
		{
			"leaving", func(w *world) { w.leaveByItself(w.in(1, 1)) }, "1R 1D+1s 1R",
			"0 adopts 1, 2 adopts 1", func(w *world) { w.run(time.Second) }, "0 releases 1, 2 releases 1",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := settings()
			c.Workers = 3
			w := booted(t, c)
			tt.orphan(w)
			w.is(tt.view)
			if got := w.adoptions(); got != tt.adopt {
				t.Errorf("%q, want %q", got, tt.adopt)
			}
			tt.relieve(w)
			if got := w.adoptions(); got != tt.release {
				t.Errorf("afterwards %q, want %q", got, tt.release)
			}
		})
	}
}

// A newcomer that becomes ready while slots are orphaned adopts them too; who stalls is asked for nothing.
func TestAdoptionByNewcomers(t *testing.T) {
	c := settings()
	c.Workers = 3
	w := booted(t, c)
	w.hang(w.in(0, 1))
	w.run(3 * time.Second)
	w.habit = func(int, int) habit { h := obedient; h.boot = 10 * time.Second; return h }
	w.exit(w.in(1, 1), ExitStatus{Code: 1})
	w.run(time.Second)
	w.is("1R! 1s 1R")
	if got := w.adoptions(); got != "1 adopts 0, 2 adopts 0, 2 adopts 1" {
		t.Errorf("%q", got)
	}
	w.run(9 * time.Second)
	w.is("1R! 1r 1R")
	if got := w.adoptions(); got != "1 adopts 0, 2 releases 1" {
		t.Errorf("%q", got)
	}
	w.wakeUp(w.in(0, 1))
	w.run(time.Second)
	if got := w.adoptions(); got != "1 releases 0, 2 releases 0" {
		t.Errorf("%q", got)
	}
}

func TestAdoptionNeedsSomeone(t *testing.T) {
	c := settings()
	c.Workers = 2
	w := booted(t, c)
	w.habit = func(int, int) habit { return habit{boot: never} }
	w.exit(w.in(0, 1), ExitStatus{Code: 1})
	w.exit(w.in(1, 1), ExitStatus{Code: 1})
	w.is("1s 1s")
	if got := w.adoptions(); got != "1 adopts 0" {
		t.Errorf("%q", got)
	}
}

// A worker that does not take a message is no helper until its heartbeat is looked at again.
func TestAdoptionRefused(t *testing.T) {
	w := booted(t, settings())
	refuse := true
	w.cannotAdopt = func() bool { defer func() { refuse = false }(); return refuse }
	h := obedient
	h.boot = 10 * time.Second
	w.habit = func(int, int) habit { return h }
	w.run(100 * time.Millisecond)
	w.exit(w.in(3, 1), ExitStatus{Code: 1})
	w.is("1R! 1R 1R 1s")
	if got := w.adoptions(); got != "1 adopts 3, 2 adopts 3, 1 adopts 0, 2 adopts 0" {
		t.Errorf("%q", got)
	}
	w.run(tick)
	w.is("1R 1R 1R 1s")
	if got := w.adoptions(); got != "0 adopts 3, 1 releases 0, 2 releases 0" {
		t.Errorf("%q", got)
	}
}

// Who is told to leave adopts nothing any more, even if a slot is orphaned at the same moment.
func TestAdoptionNotByTheLeaving(t *testing.T) {
	w := booted(t, settings())
	w.restart()
	w.run(time.Second + 99*time.Millisecond)
	w.is("1R+2r 1R 1R 1R")
	w.now = w.now.Add(time.Millisecond) // in which the newcomer settles
	w.did()
	w.exit(w.in(3, 1), ExitStatus{Code: 1})
	w.is("1d+2R 1R 1R 2s")
	if got := w.adoptions(); got != "0 adopts 3, 1 adopts 3, 2 adopts 3" {
		t.Errorf("%q", got)
	}
}
