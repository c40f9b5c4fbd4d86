package scoreboard

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// naiveBucket is the definition: the first bucket whose bound is not below the duration.
func naiveBucket(ns int64) int {
	for i := range Bounds {
		if ns <= int64(Bound(i)) {
			return i
		}
	}
	return Bounds
}

// bucketOf is where Observe counts a duration.
func bucketOf(t *testing.T, ns int64) int {
	t.Helper()
	var h Histogram
	h.Observe(ns)
	var c Counts
	h.AddTo(&c)
	found := -1
	for i, n := range c.Buckets {
		if n == 0 {
			continue
		}
		if n != 1 || found >= 0 {
			t.Fatalf("%d ns was counted as %v", ns, c.Buckets)
		}
		found = i
	}
	if want := time.Duration(max(ns, 0)); c.Sum != want || c.Count() != 1 {
		t.Errorf("%d ns: sum %d, count %d", ns, c.Sum, c.Count())
	}
	return found
}

func TestBounds(t *testing.T) {
	if first, last := Bound(0), Bound(Bounds-1); first != 7629*time.Nanosecond || last != 128*time.Second {
		t.Errorf("bounds from %v to %v, want 7.629µs to 128s", first, last)
	}
	for i := 1; i < Bounds; i++ {
		if ratio := float64(Bound(i)) / float64(Bound(i-1)); math.Abs(ratio-math.Pow(2, 0.25)) > 1e-3 {
			t.Errorf("bound %d is %.4f times the one before, want %.4f", i, ratio, math.Pow(2, 0.25))
		}
	}
	for k := firstExponent / 4; k <= lastExponent/4; k++ { // /metrics shows these
		want := math.Ldexp(1e9, k)
		if got := Bound(4*k - firstExponent); math.Abs(float64(got)-want) > 1 {
			t.Errorf("bound of 2^%d s is %d ns, want %.1f", k, got, want)
		}
	}
}

func TestObserveAtBounds(t *testing.T) {
	for i := range Bounds {
		at := int64(Bound(i))
		for _, tt := range []struct {
			ns   int64
			want int
		}{{at - 1, i}, {at, i}, {at + 1, i + 1}} {
			if got := bucketOf(t, tt.ns); got != tt.want {
				t.Errorf("bound %d is %d ns: %d ns fell into bucket %d, want %d", i, at, tt.ns, got, tt.want)
			}
		}
	}
}

func TestObserveAsDefined(t *testing.T) {
	values := []int64{0, 1, 2, -1, -1e9, math.MinInt64, math.MaxInt64, math.MaxInt64 - 1}
	for length := range 63 {
		values = append(values, 1<<length, 1<<length-1, 1<<length+1)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		values = append(values, rng.Int64()>>rng.IntN(63), -rng.Int64()>>rng.IntN(63)) // all magnitudes alike
	}
	for _, ns := range values {
		if got, want := bucketOf(t, ns), naiveBucket(ns); got != want {
			t.Errorf("%d ns fell into bucket %d, want %d", ns, got, want)
		}
	}
}

func TestHistogramAdd(t *testing.T) {
	tests := []struct {
		each, n, sum int64
		bucket       int
	}{
		{0, 3, 0, 0},
		{-5, 2, 7, 0},
		{int64(Bound(10)), 4, 99, 10},
		{int64(Bound(10)) + 1, 4, 99, 11},
		{int64(Bound(Bounds - 1)), 1, 1, Bounds - 1},
		{math.MaxInt64, 1, 1, Bounds},
		{1e9, 0, 0, 68},
	}
	for _, tt := range tests {
		var h Histogram
		h.Add(tt.each, tt.n, tt.sum)
		var got, want Counts
		h.AddTo(&got)
		want.Buckets[tt.bucket], want.Sum = tt.n, time.Duration(tt.sum)
		if got != want {
			t.Errorf("Add(%d, %d, %d) counted %v", tt.each, tt.n, tt.sum, got)
		}
	}
}

func TestCounts(t *testing.T) {
	var c Counts
	if c.Count() != 0 {
		t.Errorf("nothing counts as %d", c.Count())
	}
	var seats [2]Histogram
	for seat := range seats {
		for i := range int64(100) {
			seats[seat].Observe(i * 1e6)
		}
		seats[seat].Observe(math.MaxInt32 * 1e3)
	}
	for seat := range seats {
		seats[seat].AddTo(&c)
	}
	wantSum := 2 * (time.Duration(99*100/2)*time.Millisecond + math.MaxInt32*time.Microsecond)
	if c.Count() != 202 || c.Sum != wantSum {
		t.Errorf("count %d, sum %v; want 202, %v", c.Count(), c.Sum, wantSum)
	}
	if c.Buckets[0] != 2 || c.Buckets[Bounds] != 2 {
		t.Errorf("first bucket %d, last %d; want 2 and 2", c.Buckets[0], c.Buckets[Bounds])
	}
	seats[0].Observe(1)
	if c.Count() != 202 {
		t.Error("a copy has changed")
	}
}

func TestObserveConcurrently(t *testing.T) {
	h := &Private(1).Row(0).Wait
	const goroutines, each = 8, 1000
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				h.Observe(int64(g*each + i))
			}
		})
	}
	wg.Wait()
	var c Counts
	h.AddTo(&c)
	const n = goroutines * each
	if c.Count() != n || c.Sum != n*(n-1)/2 {
		t.Errorf("count %d, sum %d; want %d, %d", c.Count(), c.Sum, n, n*(n-1)/2)
	}
}
