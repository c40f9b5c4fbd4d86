package report

import (
	"errors"
	"fmt"
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/prefork/cluster/bench/record"
)

// merged is the latencies in µs of all rounds together; nil if no tool kept them.
func merged(trials []record.Trial) (*hdrhistogram.Histogram, error) {
	var all *hdrhistogram.Histogram
	for _, t := range trials {
		if t.Result == nil || t.Result.Latency.HDR == "" {
			continue
		}
		h, err := hdrhistogram.Decode([]byte(t.Result.Latency.HDR))
		if err == nil && all != nil && all.Merge(h) > 0 {
			err = errors.New("it has values beyond the range of those of other rounds")
		}
		if err != nil {
			return nil, fmt.Errorf("the histogram of the latencies of %s, %s, round %d cannot be read: %w", t.Cell, t.Step, t.Round, err)
		}
		if all == nil {
			all = h
		}
	}
	return all, nil
}

// point of a curve: Above of all values are larger than Value, in ms.
type point struct{ Above, Value float64 }

// curve goes from the median in twenty steps a factor of ten towards the maximum, as far as ten values lie above: what is
// beyond is chance.
func curve(h *hdrhistogram.Histogram) []point {
	var points []point
	for i := 0; ; i++ {
		above := 0.5 * math.Pow(10, -float64(i)/20)
		if above*float64(h.TotalCount()) < 10 {
			return points
		}
		points = append(points, point{above, float64(h.ValueAtPercentile(100*(1-above))) / 1e3})
	}
}
