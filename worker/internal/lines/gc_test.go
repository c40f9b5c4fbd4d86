package lines

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

// until collects garbage until something has been seen of it: the runtime runs cleanups some time after a collection.
func until(t *testing.T, what string, seen func() bool) {
	t.Helper()
	for patient := patience(t); !seen(); runtime.GC() {
		if patient.Err() != nil {
			t.Fatal(what)
		}
	}
}

func TestGCClockRises(t *testing.T) {
	c := NewGCClock()
	defer c.Stop()
	for i := range 5 { // it goes on after the first collection
		before := c.Spent()
		until(t, "collections do not move the clock", func() bool { return c.Spent() > before })
		sample := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
		metrics.Read(sample)
		if all := time.Duration(sample[0].Value.Float64() * 1e9); c.Spent() > all {
			t.Errorf("round %d: %v spent, the runtime says %v", i, c.Spent(), all)
		}
	}
}

// A new clock does not begin at nothing: a request before the first collection must not be charged with all before it.
func TestGCClockBegins(t *testing.T) {
	runtime.GC()
	c := NewGCClock()
	defer c.Stop()
	if c.Spent() <= 0 {
		t.Errorf("%v spent after a collection", c.Spent())
	}
}

func TestGCClockStops(t *testing.T) {
	c, other := NewGCClock(), NewGCClock()
	defer other.Stop()
	c.Stop()
	stopped := c.Spent()
	for range 3 {
		before := other.Spent()
		until(t, "the other clock stopped", func() bool { return other.Spent() > before })
	}
	if c.Spent() != stopped {
		t.Error("a stopped clock goes on")
	}
}
