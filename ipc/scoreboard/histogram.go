package scoreboard

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Histogram buckets have the upper bounds 2^(k/4) s for k = firstExponent..lastExponent (7.6 µs to 128 s), inclusive, and
// one bucket above. Four a power of two keep a quantile read from them within 9% of the truth.
const (
	firstExponent = -17 * 4
	lastExponent  = 7 * 4
	Bounds        = lastExponent - firstExponent + 1
)

// Histogram counts durations. The number of observations is the sum of the buckets, so the two can never disagree.
type Histogram struct {
	buckets [Bounds + 1]atomic.Int64
	sum     atomic.Int64 // nanoseconds
}

var (
	bounds [Bounds]int64 // nanoseconds
	start  [64]int       // by bit length of the duration: the first bucket that may hold it
	_      = fillBounds()
)

func fillBounds() struct{} {
	for i := range bounds {
		bounds[i] = int64(math.Exp2(float64(firstExponent+i)/4) * 1e9)
	}
	for length := range start {
		smallest := int64(0)
		if length > 0 {
			smallest = 1 << (length - 1)
		}
		start[length] = bucketFrom(0, smallest)
	}
	return struct{}{}
}

func bucketFrom(i int, ns int64) int {
	for i < Bounds && ns > bounds[i] {
		i++
	}
	return i
}

// Observe counts one duration in nanoseconds; a negative one counts as 0.
func (h *Histogram) Observe(ns int64) {
	ns = max(ns, 0)
	h.buckets[bucketFrom(start[bits.Len64(uint64(ns))], ns)].Add(1)
	h.sum.Add(ns)
}

// Add adds n observations that together took sum nanoseconds, each of them about each nanoseconds long.
func (h *Histogram) Add(each, n, sum int64) {
	each = max(each, 0)
	h.buckets[bucketFrom(start[bits.Len64(uint64(each))], each)].Add(n)
	h.sum.Add(sum)
}

// Counts is a copy of a histogram, to be summed over seats and read at leisure.
type Counts struct {
	Buckets [Bounds + 1]int64
	Sum     time.Duration
}

// AddTo adds what the histogram holds to c.
func (h *Histogram) AddTo(c *Counts) {
	for i := range h.buckets {
		c.Buckets[i] += h.buckets[i].Load()
	}
	c.Sum += time.Duration(h.sum.Load())
}

// Sum is how long all observations together were.
func (h *Histogram) Sum() time.Duration { return time.Duration(h.sum.Load()) }

// Count is the number of observations.
func (c *Counts) Count() int64 {
	var n int64
	for _, b := range c.Buckets {
		n += b
	}
	return n
}

// Bound is the upper bound of bucket i, 0 ≤ i < Bounds.
func Bound(i int) time.Duration { return time.Duration(bounds[i]) }

// BoundSeconds is the same in seconds, as the formula gives it: a power of two where i is a multiple of four.
func BoundSeconds(i int) float64 { return math.Exp2(float64(firstExponent+i) / 4) }
