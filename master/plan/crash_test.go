package plan

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	s := New(settings(), epoch)
	tests := []struct {
		failures int
		want     time.Duration // at most; at least three quarters of it
	}{
		{1, 0},
		{2, 100 * time.Millisecond},
		{3, 200 * time.Millisecond},
		{4, 400 * time.Millisecond},
		{10, 25600 * time.Millisecond},
		{11, 30 * time.Second},
		{12, 30 * time.Second},
		{1000, 30 * time.Second},
		{1 << 40, 30 * time.Second},
	}
	for _, tt := range tests {
		var seen []time.Duration
		for range 200 {
			d := s.backoff(tt.failures)
			if d > tt.want || d < tt.want*3/4 {
				t.Fatalf("after %d failures: %v, want %v or up to a quarter less", tt.failures, d, tt.want)
			}
			seen = append(seen, d)
		}
		if spread := slices.Max(seen) - slices.Min(seen); tt.want > 0 && spread < tt.want/8 {
			t.Errorf("after %d failures: within %v of each other; slots would come back together", tt.failures, spread)
		}
	}
}

func TestCrashIsRepairedAtOnce(t *testing.T) {
	w := booted(t, settings())
	w.exit(w.in(1, 1), ExitStatus{Code: 2})
	w.is("1R 1s 1R 1R")
	w.hasDone("exit 1 in 1, spawn 1 in 1, 0 adopts 1, 2 adopts 1, 3 adopts 1")
	w.run(100 * time.Millisecond)
	w.is("1R 1r 1R 1R")
	w.hasDone("0 releases 1, 2 releases 1, 3 releases 1")
}

// A worker that dies again and again is started at once, then after ever longer pauses.
func TestCrashLoopBacksOff(t *testing.T) {
	tests := []struct {
		name  string
		habit habit
		every time.Duration // from spawn to exit
	}{
		{"as soon as it is ready", habit{boot: 10 * time.Millisecond, dies: 1}, 10 * time.Millisecond},
		{"before it is ready", habit{boot: never, dies: 10 * time.Millisecond}, 10 * time.Millisecond},
		{"after it has settled", habit{boot: 0, dies: 3 * time.Second}, 3 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := booted(t, settings())
			var spawned []time.Time
			w.habit = func(int, int) habit {
				spawned = append(spawned, w.now)
				return tt.habit
			}
			died := w.now
			w.exit(w.in(2, 1), ExitStatus{Code: 1})
			w.run(6 * time.Minute)
			want := time.Duration(0)
			for i, at := range spawned {
				if pause := at.Sub(died).Round(time.Microsecond); pause > want || pause < want*3/4 {
					t.Errorf("spawn %d came %v after the death before it, want %v or up to a quarter less", i+1, pause, want)
				}
				died, want = at.Add(tt.every), min(max(backoffBase, 2*want), backoffCap)
			}
			if len(spawned) < 15 {
				t.Errorf("%d spawns only", len(spawned))
			}
		})
	}
}

func TestCrashIsForgotten(t *testing.T) {
	tests := []struct {
		ready  time.Duration
		atOnce bool
	}{
		{healthyAfter - time.Millisecond, false},
		{healthyAfter, true},
	}
	for _, tt := range tests {
		w := booted(t, settings())
		for range 3 {
			w.exit(w.in(0, 1), ExitStatus{Code: 1})
			w.run(time.Second)
		}
		w.run(tt.ready - w.now.Sub(w.s.At(w.in(0, 1).id).ReadyAt))
		w.exit(w.in(0, 1), ExitStatus{Code: 1})
		if atOnce := w.view() == "1s 1R 1R 1R"; atOnce != tt.atOnce {
			t.Errorf("after %v: %s", tt.ready, w.view())
		}
	}
}

// Why a worker left that nobody had told to.
func TestCrashReasons(t *testing.T) {
	tests := []struct {
		status ExitStatus
		ready  bool
		want   Reason
		detail string
	}{
		{ExitStatus{Code: 0}, true, Crash, "exit code 0"},
		{ExitStatus{Code: 2}, true, Crash, "exit code 2"},
		{ExitStatus{Code: -1, Signal: 11}, true, Signal, "killed by SIGSEGV"},
		{ExitStatus{Code: -1, Signal: 9}, true, Signal, "killed by SIGKILL"},
		{ExitStatus{Code: -1, Signal: 9, OOM: true}, true, OOM, "memory"},
		{ExitStatus{Code: 3}, false, BootExit, "before it was ready: exit code 3"},
		{ExitStatus{Code: -1, Signal: 9, OOM: true}, false, BootExit, "before it was ready: killed by SIGKILL"},
	}
	for _, tt := range tests {
		w := newWorld(t, settings())
		if tt.ready {
			w.run(2 * time.Second)
		}
		p := w.in(1, 1)
		w.exit(p, tt.status)
		deaths := w.s.Slots[1].Deaths
		if w.leftFor(tt.want) != 1 || len(deaths) != 1 {
			t.Errorf("%v: %+v", tt.status, w.s.Slots[1])
			continue
		}
		if d := deaths[0]; d.PID != p.pid || d.Generation != 1 || d.Reason != tt.want.String() || !strings.Contains(d.Detail, tt.detail) || d.Uptime != w.since().Seconds() {
			t.Errorf("%v: %+v, want %v, %q", tt.status, d, tt.want, tt.detail)
		}
	}
}

func TestCrashLastDeathsAreKept(t *testing.T) {
	w := booted(t, settings())
	w.habit = func(int, int) habit { return habit{boot: never, dies: time.Millisecond} }
	w.exit(w.in(3, 1), ExitStatus{Code: 1})
	w.run(10 * time.Second)
	if n := len(w.s.Slots[3].Deaths); n != deathsKept || w.leftFor(BootExit) <= deathsKept {
		t.Errorf("%d deaths kept of %d", n, w.leftFor(BootExit))
	}
}

// A worker that got a SIGTERM from outside is replaced at once, while it drains, and has not failed.
func TestSignalFromOutside(t *testing.T) {
	w := booted(t, settings())
	p := w.in(1, 1)
	p.leaves = 5 * time.Second
	w.leaveByItself(p)
	w.is("1R 1D+1s 1R 1R")
	w.hasDone("spawn 1 in 1, 0 adopts 1, 2 adopts 1, 3 adopts 1")
	w.run(2 * time.Second)
	w.is("1R 1D+1R 1R 1R")
	w.run(4 * time.Second)
	w.is("1R 1R 1R 1R")
	if sl := w.s.Slots[1]; sl.Left[Signal] != 1 || len(sl.Deaths) != 0 || sl.Failures != 0 {
		t.Errorf("%+v", sl)
	}
}

// A program that always leaves soon after it has begun does not make the cluster spin.
func TestSignalFromOutsideTooEarly(t *testing.T) {
	tests := []struct {
		name   string
		habit  habit
		settle time.Duration
		reason Reason
	}{
		{"before ready", habit{boot: never, resigns: 1}, time.Second, BootExit},
		{"as soon as ready", habit{resigns: 1}, time.Second, Signal},
		{"settled at once", habit{resigns: 1}, 0, Signal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := settings()
			c.Settle = tt.settle
			w := booted(t, c)
			w.habit = func(int, int) habit { return tt.habit }
			w.exit(w.in(0, 1), ExitStatus{Code: 1})
			w.run(time.Minute)
			if n := w.leftFor(tt.reason); n < 5 || n > 15 {
				t.Errorf("%d workers left for %v in a minute", n, tt.reason)
			}
		})
	}
}
