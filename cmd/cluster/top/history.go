package top

import (
	"math"
	"time"
)

// bucketLength is what one character of a sparkline stands for, or the interval of the requests if that is longer.
const bucketLength = 5 * time.Second

// historyLength is how far back a history goes.
const historyLength = 10 * time.Minute

// history is how requests a second and the p99 have been, in buckets of time; each keeps the highest value.
type history struct {
	length  time.Duration // of a bucket
	buckets []bucket      // by number
}

type bucket struct {
	number        int64 // time since 1970 in lengths
	requests, p99 float64
}

// add notes values of a moment, which is not before those noted already.
func (h *history) add(now time.Time, requests, p99 float64) {
	number := now.UnixNano() / int64(h.length)
	if n := len(h.buckets); n > 0 && h.buckets[n-1].number >= number {
		last := &h.buckets[n-1]
		last.requests, last.p99 = max(last.requests, requests), max(last.p99, p99)
		return
	}
	h.buckets = append(h.buckets, bucket{number, requests, p99})
	if old := len(h.buckets) - int(historyLength/h.length) - 1; old > 0 {
		h.buckets = h.buckets[old:]
	}
}

// last are the values of the last buckets up to now, at most so many; none for as long as there was no value. NaN stands
// for a time in which nothing was noted.
func (h *history) last(now time.Time, n int, value func(bucket) float64) []float64 {
	if len(h.buckets) == 0 || n <= 0 {
		return nil
	}
	newest := max(now.UnixNano()/int64(h.length), h.buckets[len(h.buckets)-1].number)
	first := max(newest-int64(n)+1, h.buckets[0].number)
	values := make([]float64, max(0, newest-first+1))
	for i := range values {
		values[i] = math.NaN()
	}
	for _, b := range h.buckets {
		if b.number >= first {
			values[b.number-first] = value(b)
		}
	}
	return values
}
