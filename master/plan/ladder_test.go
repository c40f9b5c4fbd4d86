package plan

import (
	"strings"
	"testing"
	"time"
)

// How long a worker that was told to leave is waited for, and what is then done to it.
func TestDrainLadder(t *testing.T) {
	tests := []struct {
		name   string
		habit  habit
		want   map[time.Duration]string
		reason Reason
		detail string
	}{
		{"it leaves", habit{leaves: 29 * time.Second}, map[time.Duration]string{29 * time.Second: "exit 1 in 1"}, Scale, ""},
		{"it stays and is asked for its stacks", habit{leaves: never}, map[time.Duration]string{31 * time.Second: "quit 1 in 1, exit 1 in 1"}, DrainTimeout, "it had not left 31s after it was told to (scale)"},
		{"it stays and is killed", habit{leaves: never, deaf: true}, map[time.Duration]string{31 * time.Second: "quit 1 in 1", 33 * time.Second: "kill 1 in 1, exit 1 in 1"}, DrainTimeout, "it had not left 33s after it was told to (scale)"},
		{"it stays and takes long to die", habit{leaves: never, deaf: true, lingers: time.Minute}, map[time.Duration]string{31 * time.Second: "quit 1 in 1", 33 * time.Second: "kill 1 in 1", 93 * time.Second: "exit 1 in 1"}, DrainTimeout, "33s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := tt.habit
			w := newWorldWith(t, workers(2, 1), func(w *world) { w.habit = func(int, int) habit { return h } })
			w.run(healthyAfter)
			w.scale(1)
			w.did()
			for second := range 100 * time.Second / time.Second {
				w.run(time.Second)
				if want := tt.want[(second+1)*time.Second]; w.did() != want {
					t.Errorf("after %d s it did not do %q", second+1, want)
				}
			}
			sl := w.s.Slots[1]
			if sl.Left[tt.reason] != 1 {
				t.Errorf("%+v", sl)
			}
			if tt.detail == "" != (len(sl.Deaths) == 0) || tt.detail != "" && !strings.Contains(sl.Deaths[0].Detail, tt.detail) {
				t.Errorf("%+v, want %q", sl.Deaths, tt.detail)
			}
		})
	}
}

// Who leaves by itself is not told again, but waited for no longer than the others.
func TestDrainLadderOfWhoLeavesByItself(t *testing.T) {
	w := booted(t, workers(2, 1))
	p := w.in(1, 1)
	p.leaves = never
	w.leaveByItself(p)
	w.run(time.Minute)
	w.is("1R 1R")
	if len(p.measures) != 1 || p.measures[0] != AskForStacks || w.leftFor(DrainTimeout) != 1 || w.leftFor(Signal) != 0 {
		t.Errorf("%v: %+v", p.measures, w.s.Slots[1])
	}
}

// A worker whose heartbeat is late is helped by others, and killed when it stays away.
func TestHeartbeat(t *testing.T) {
	w := booted(t, workers(2, 1))
	p := w.in(1, 1)
	p.deaf = true
	w.hang(p)
	w.run(2 * time.Second)
	w.is("1R 1R")
	w.run(tick)
	w.is("1R 1R!")
	w.hasDone("0 adopts 1")
	w.run(27500 * time.Millisecond)
	w.is("1R 1R!")
	w.run(tick)
	w.is("1R 1d+1s")
	w.hasDone("spawn 1 in 1, quit 1 in 1")
	w.run(time.Second)
	w.is("1R 1r")
	w.hasDone("0 releases 1, kill 1 in 1, exit 1 in 1")
	if d := last(w.s.Slots[1].Deaths); d.Reason != "heartbeat" || !strings.Contains(d.Detail, "no heartbeat for 30.5s") {
		t.Errorf("%+v", d)
	}
}

// One that only boots has no heartbeat yet; one that drains must go on having it.
func TestHeartbeatOfOthers(t *testing.T) {
	c := workers(2, 1)
	c.HeartbeatTimeout, c.DrainTimeout = 5*time.Second, 20*time.Second
	h := obedient
	h.boot, h.leaves = 30*time.Second, never
	w := newWorldWith(t, c, func(w *world) { w.habit = func(int, int) habit { return h } })
	w.run(45 * time.Second)
	w.is("1R 1R")
	w.scale(1)
	w.run(time.Second)
	p := w.in(1, 1)
	p.deaf = true
	w.hang(p)
	w.did()
	w.run(5 * time.Second)
	w.hasDone("")
	w.run(tick)
	w.hasDone("quit 1 in 1")
	w.run(2 * time.Second)
	w.is("1R -")
	if w.leftFor(Heartbeat) != 1 {
		t.Errorf("%+v", w.s.Slots[1])
	}
}

// A worker that hangs late in its drain is not given more time by that.
func TestHeartbeatDoesNotProlong(t *testing.T) {
	for hang := 0 * time.Second; hang < 33*time.Second; hang += 900 * time.Millisecond {
		c := workers(2, 1)
		c.HeartbeatTimeout = 3 * time.Second
		h := obedient
		h.leaves, h.deaf = never, true
		w := newWorldWith(t, c, func(w *world) { w.habit = func(int, int) habit { return h } })
		w.run(healthyAfter)
		w.scale(1)
		w.run(hang)
		if len(w.processes) == 2 {
			w.hang(w.in(1, 1))
		}
		w.run(33*time.Second - hang)
		if w.is("1R -"); t.Failed() {
			return
		}
	}
}

func TestBootTimeout(t *testing.T) {
	w := booted(t, workers(2, 1))
	w.habit = func(int, int) habit { return habit{boot: never, deaf: true} }
	w.exit(w.in(1, 1), ExitStatus{Code: 1})
	w.run(59999 * time.Millisecond)
	w.is("1R 1s")
	w.did()
	w.run(time.Millisecond)
	w.is("1R 1D+1s")
	w.hasDone("spawn 1 in 1, quit 1 in 1")
	w.run(time.Second)
	w.hasDone("kill 1 in 1, exit 1 in 1")
	if d := last(w.s.Slots[1].Deaths); d.Reason != "boot_timeout" || d.Uptime != 61 {
		t.Errorf("%+v", d)
	}
}
