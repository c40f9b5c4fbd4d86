package elastic

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const tick = 500 * time.Millisecond

// cluster is one whose load is told, and which obeys at once.
type cluster struct {
	judge   Judge
	bounds  Bounds
	now     time.Time
	workers int
	said    []string // decisions other than to stay
	changes []time.Duration
	began   time.Time
}

func newCluster(workers int, b Bounds) *cluster {
	start := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	return &cluster{bounds: b, now: start, began: start, workers: workers}
}

// run lets time pass with a load that depends on how many workers there are.
func (c *cluster) run(d time.Duration, load func(workers int) Look) {
	for end := c.now.Add(d); c.now.Before(end); {
		c.now = c.now.Add(tick)
		l := load(c.workers)
		l.At, l.Workers, l.Threads, l.Steady = c.now, c.workers, 3, true
		if decision := c.judge.Decide(c.bounds, l); decision.Workers != c.workers || decision.Kept {
			c.said = append(c.said, decision.Why)
			if decision.Workers != c.workers {
				c.changes = append(c.changes, c.now.Sub(c.began))
			}
			c.workers = decision.Workers
		}
	}
}

func busy(threads int) func(int) Look {
	return func(workers int) Look {
		l := Look{Busy: min(threads, 3*workers), CPU: tick / 2, Memory: int64(workers+1) * 100 << 20, Largest: 100 << 20}
		if threads > 3*workers {
			l.Waited = 40 * time.Millisecond
		}
		return l
	}
}

var roomy = Bounds{Low: 2, High: 8, CPUs: 8}

func TestGrowsAndShrinks(t *testing.T) {
	c := newCluster(2, roomy)
	c.run(time.Minute, busy(4)) // fits
	if c.workers != 2 || len(c.said) > 0 {
		t.Fatalf("%d workers for a load that fits: %q", c.workers, c.said)
	}
	c.run(2*time.Minute, busy(15))
	if c.workers != 5 || !strings.Contains(c.said[0], "requests have waited for a thread") {
		t.Fatalf("%d workers for 15 busy threads: %q", c.workers, c.said)
	}
	c.run(10*time.Minute, busy(0))
	if c.workers != 2 || !strings.Contains(c.said[len(c.said)-1], "at most 0 of 9 threads were busy") {
		t.Fatalf("%d workers without load: %q", c.workers, c.said)
	}
}

// A load that stays the same does not make the number swing. From the most workers to the fewest it is six minutes and the one that is remembered.
func TestDoesNotSwing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		load := rapid.IntRange(0, 30).Draw(t, "busy threads")
		c := newCluster(rapid.IntRange(2, 8).Draw(t, "workers"), roomy)
		c.run(8*time.Minute, busy(load))
		settled := c.workers
		c.run(8*time.Minute, busy(load))
		if c.workers != settled {
			t.Fatalf("%d workers, then %d: %q", settled, c.workers, c.said)
		}
		if need := min(8, max(2, (load+2)/3)); c.workers < need {
			t.Fatalf("%d workers, %d are needed", c.workers, need)
		}
	})
}

// Whatever happens, the number stays between the bounds, and between two changes there is a pause.
func TestChangesAreApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster(4, roomy)
		for range rapid.IntRange(1, 30).Draw(t, "phases") {
			c.run(time.Duration(rapid.IntRange(1, 90).Draw(t, "seconds"))*time.Second, busy(rapid.IntRange(0, 40).Draw(t, "busy")))
			if c.workers < 2 || c.workers > 8 {
				t.Fatalf("%d workers", c.workers)
			}
		}
		for i := 1; i < len(c.changes); i++ {
			if apart := c.changes[i] - c.changes[i-1]; apart < growPause {
				t.Fatalf("two changes within %v: %v", apart, c.changes)
			}
		}
	})
}

func TestASpikeIsNoReason(t *testing.T) {
	c := newCluster(2, roomy)
	for range 20 {
		c.run(3*time.Second, busy(20))
		c.run(3*time.Second, busy(1))
	}
	if len(c.said) > 0 {
		t.Errorf("%q", c.said)
	}
}

func TestMoreWouldNotHelp(t *testing.T) {
	t.Run("CPU", func(t *testing.T) {
		c := newCluster(2, Bounds{Low: 2, High: 8, CPUs: 2})
		c.run(time.Minute, func(workers int) Look {
			l := busy(20)(workers)
			l.CPU = 2 * tick
			return l
		})
		if c.workers != 2 || len(c.said) == 0 || !strings.Contains(c.said[0], "use 2.0 of 2 CPUs") {
			t.Errorf("%d workers: %q", c.workers, c.said)
		}
	})
	t.Run("memory", func(t *testing.T) {
		c := newCluster(2, Bounds{Low: 2, High: 8, CPUs: 8, Memory: 700 << 20})
		c.run(3*time.Minute, busy(30))
		if c.workers != 5 || !strings.Contains(c.said[len(c.said)-1], "6 workers would need 700 MiB of the 700") {
			t.Errorf("%d workers: %q", c.workers, c.said)
		}
	})
}

// An operator's number counts from the moment it is given, unless it is out of bounds.
func TestByHand(t *testing.T) {
	c := newCluster(2, roomy)
	c.run(2*time.Minute, busy(2))
	c.workers = 6
	c.run(55*time.Second, busy(2))
	if c.workers != 6 {
		t.Errorf("%d workers within a minute", c.workers)
	}
	c.bounds.High = 4
	c.run(tick, busy(2))
	if c.workers != 4 {
		t.Errorf("%d workers of at most 4", c.workers)
	}
}

// During a restart nothing is decided.
func TestNotSteady(t *testing.T) {
	var j Judge
	start := time.Now()
	for i := range 100 {
		l := Look{At: start.Add(time.Duration(i) * tick), Workers: 2, Threads: 3, Busy: 6, Waited: time.Second}
		if d := j.Decide(roomy, l); d.Workers != 2 || d.Kept {
			t.Fatalf("%+v", d)
		}
	}
}
