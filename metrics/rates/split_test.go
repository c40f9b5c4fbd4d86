package rates

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

const second = int64(time.Second)

// same says that two numbers are the same but for rounding.
func same(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestDivide(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name                                           string
		d                                              sums // in seconds
		queue, cpu, scheduler, runQueue, collected, io float64
	}{
		{"nothing", sums{}, 0, 0, 0, 0, 0, 0},
		{"io is the rest", sums{handling: 10, cpu: 2, open: 10}, 0, 2, 0, 0, 0, 8},
		{"each part", sums{waiting: 5, handling: 10, cpu: 3, gc: 1, scheduler: 2, runQueue: 1, open: 15}, 5, 2, 2, 1, 1, 4},
		{"the queue is beside handlers", sums{waiting: 100, handling: 1, cpu: 1, open: 200}, 100, 1, 0, 0, 0, 0},
		{"only a queue", sums{waiting: 3, open: 3}, 3, 0, 0, 0, 0, 0},
		{"idle collection is no request's", sums{handling: 10, cpu: 4, gc: 3, gcIdle: 2}, 0, 1, 0, 0, 1, 8},
		{"the collector has no more CPU than the process", sums{handling: 10, cpu: 4, gc: 9}, 0, 0, 0, 0, 4, 6},
		{"nor on idle CPUs", sums{handling: 10, cpu: 4, gc: 8, gcIdle: 4}, 0, 0, 0, 0, 2, 8},
		{"idle collection is part of collection", sums{handling: 10, cpu: 4, gc: 1, gcIdle: 2}, 0, 3, 0, 0, 0, 7},
		{"CPU outside handlers", sums{handling: 2, cpu: 8, gc: 2}, 0, 1.5, 0, 0, 0.5, 0},
		{"the run queue has what CPU leaves", sums{handling: 3, cpu: 2, runQueue: 4}, 0, 2, 0, 1, 0, 0},
		{"the scheduler has what they leave", sums{handling: 4, cpu: 2, runQueue: 1, scheduler: 4}, 0, 2, 1, 1, 0, 0},
		{"watchers of connections wait for nobody", sums{handling: 2, cpu: 2, scheduler: 3, open: 100}, 0, 2, 0, 0, 0, 0},
		{"nor do those outside handlers", sums{handling: 1, cpu: 4, runQueue: 4, scheduler: 15, open: 100}, 0, 1, 0, 0, 0, 0},
		{"requests that nobody has read", sums{handling: 8, cpu: 8, scheduler: 60, open: 100}, 0, 8, 45, 0, 0, 0},
		{"one a connection", sums{waiting: 1, handling: 1, cpu: 1, scheduler: 60, open: 6}, 1, 1, 4, 0, 0, 0},
		{"no connections", sums{handling: 1, cpu: 1, scheduler: 60}, 0, 1, 0, 0, 0, 0},
		{"what went back", sums{waiting: -1, handling: -2, cpu: -3, gc: -4, gcIdle: -5, scheduler: -6, runQueue: -7, open: -8}, 0, 0, 0, 0, 0, 0},
		{"a part that went back", sums{handling: 2, cpu: 1, gc: -4, scheduler: -6, runQueue: -7}, 0, 1, 0, 0, 0, 1},
	} {
		d := test.d
		for _, field := range []*int64{&d.waiting, &d.handling, &d.cpu, &d.gc, &d.gcIdle, &d.scheduler, &d.runQueue, &d.open} {
			*field *= second
		}
		want := Seconds{test.queue, test.cpu, test.scheduler, test.runQueue, test.collected, test.io}
		if got := divide(&d); !slices.EqualFunc(got[:], want[:], same) {
			t.Errorf("%s: %v, want %v", test.name, got, want)
		}
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		seconds  Seconds
		inFlight float64
		text     string
		hint     bool
	}{
		{Seconds{}, 0, "", false},
		{Seconds{0, 20, 11, 5, 2, 62}, 10, "62% io · 20% cpu · 11% scheduler · 5% run_queue · 2% gc", false},
		{Seconds{0, 1, 0, 0, 0, 0}, 0.1, "100% cpu", false},
		{Seconds{0, 10, 0, 0, 0, 10}, 2, "50% cpu · 50% io", false}, // as in Names
		{Seconds{600, 0, 0, 0, 4, 396}, 100, "60% queue · 40% io", true},
		{Seconds{0, 1, 2, 0, 0, 1}, 0.4, "50% scheduler · 25% cpu · 25% io", true},
		{Seconds{0, 1, 0, 3, 0, 0}, 0.4, "75% run_queue · 25% cpu", true},
		{Seconds{0, 1, 0, 0, 3, 0}, 0.4, "75% gc · 25% cpu", true},
	} {
		got := split(test.seconds, 10)
		if !same(got.InFlight, test.inFlight) || got.String() != test.text || (got.Hint != "") != test.hint || got.Parts == nil {
			t.Errorf("%v: %+v, want %v in flight, %q, with a hint: %v", test.seconds, got, test.inFlight, test.text, test.hint)
		}
		sum := 0.0
		for _, p := range got.Parts {
			sum += p.Share
		}
		if len(got.Parts) > 0 && (!same(sum, 1) || len(got.Parts) != len(Names)) {
			t.Errorf("%v: %d parts are %v in sum", test.seconds, len(got.Parts), sum)
		}
	}
}

// What takes less than a millisecond needs no advice.
func TestHint(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		requests int64
		hint     bool
	}{{0, true}, {1, true}, {9999, true}, {10001, false}} {
		d := sums{waiting: 10 * second, requests: test.requests}
		if got := d.over(10*time.Second, divide(&d)); (got.Time.Hint != "") != test.hint {
			t.Errorf("10 s of %d requests: the hint is %q", test.requests, got.Time.Hint)
		}
	}
}

func TestQuantiles(t *testing.T) {
	t.Parallel()
	if got := quantiles(&scoreboard.Counts{}); got != (Quantiles{}) {
		t.Errorf("of nothing: %+v", got)
	}
	var h scoreboard.Histogram
	for i := 1; i <= 1000; i++ {
		h.Observe(int64(i) * int64(time.Millisecond))
	}
	var c scoreboard.Counts
	h.AddTo(&c)
	q := quantiles(&c)
	for want, got := range map[float64]float64{0.5: q.P50, 0.9: q.P90, 0.99: q.P99, 0.999: q.P999} {
		if got < want/1.0906 || got > want*1.0906 { // 2^(1/8)
			t.Errorf("the quantile %v of 1 ms to 1 s is %v s", want, got)
		}
	}
	c = scoreboard.Counts{}
	c.Buckets[scoreboard.Bounds] = 1
	if q := quantiles(&c); q.P50 != 128 || q.P999 != 128 {
		t.Errorf("above the last bound: %+v", q)
	}
	c.Buckets[3] = -5 // a seat whose counters were read while they changed
	if q := quantiles(&c); q.P50 != 128 {
		t.Errorf("with a negative bucket: %+v", q)
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ n, since, now, want int64 }{
		{0, 0, 100, 0},
		{0, 50, 100, 0}, // the two are not read at once
		{3, 0, 100, 0},
		{1, 60, 100, 40},
		{4, 60, 100, 100}, // 40, 30, 20, 10
		{1, 110, 100, 0},
	} {
		if got := line(test.n, test.since, test.now); got != test.want {
			t.Errorf("%d since %d at %d: %d, want %d", test.n, test.since, test.now, got, test.want)
		}
	}
}
