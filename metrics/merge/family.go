package merge

import (
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// family is a metric: all series of one name.
type family struct {
	name, help string
	kind       dto.MetricType
	rule       Rule // of a gauge
	series     map[string]*series
	order      []*series // by labels; nil: to be sorted anew
	holders    map[*Worker]bool
}

// exposed are the names that the lines of a family have.
func exposed(name string, kind dto.MetricType) []string {
	switch kind {
	case dto.MetricType_HISTOGRAM:
		return []string{name, name + "_bucket", name + "_sum", name + "_count"}
	case dto.MetricType_SUMMARY:
		return []string{name, name + "_sum", name + "_count"}
	}
	return []string{name}
}

// mergeable says whether there is a rule for metrics of the type.
func mergeable(kind dto.MetricType) bool {
	switch kind {
	case dto.MetricType_COUNTER, dto.MetricType_GAUGE, dto.MetricType_UNTYPED, dto.MetricType_HISTOGRAM, dto.MetricType_SUMMARY:
		return true
	}
	return false
}

// heldByOthers says whether another worker's last copy has the metric as it is here.
func (f *family) heldByOthers(w *Worker) bool {
	return len(f.holders) > 1 || len(f.holders) == 1 && !f.holders[w]
}

// instant says that the metric shows what is now, and not what has been counted.
func (f *family) instant() bool {
	return f.kind == dto.MetricType_GAUGE || f.kind == dto.MetricType_UNTYPED
}

// lines is how many lines a series has in a scrape.
func (f *family) lines(s *series) int {
	switch {
	case f.kind == dto.MetricType_HISTOGRAM:
		return len(s.total.buckets) + 3 // +Inf, sum and count
	case f.kind == dto.MetricType_SUMMARY:
		return 2
	case f.instant() && f.rule == PerSlot:
		return len(s.parts)
	}
	return 1
}

// series is one combination of labels of a metric.
type series struct {
	key    string
	labels []*dto.LabelPair // sorted by name
	total  reading          // of what counts
	parts  []part           // of what is instant, in the order in which the workers came
}

// part is what a worker says now.
type part struct {
	worker *Worker
	value  float64
}

// reading is what a counter, a histogram or a summary says: for a histogram and a summary value is the sum.
type reading struct {
	value   float64
	count   uint64
	buckets []bucket // sorted by bound, +Inf left out
}

// bucket holds the observations above the bound before it, unlike the cumulative ones of the exposition format. So histograms with
// different bounds can be added: an observation counts at the upper bound that its worker knew.
type bucket struct {
	bound float64
	count uint64
}

// read takes what a metric says.
func read(kind dto.MetricType, m *dto.Metric) reading {
	switch kind {
	case dto.MetricType_COUNTER:
		return reading{value: m.GetCounter().GetValue()}
	case dto.MetricType_SUMMARY:
		return reading{value: m.GetSummary().GetSampleSum(), count: m.GetSummary().GetSampleCount()}
	}
	h := m.GetHistogram()
	r := reading{value: h.GetSampleSum(), count: h.GetSampleCount(), buckets: make([]bucket, 0, len(h.GetBucket()))}
	last, below := math.Inf(-1), uint64(0)
	for _, b := range h.GetBucket() {
		// In order, as the format wants it: the negated comparison refuses NaN too.
		if bound := b.GetUpperBound(); bound > last && !math.IsInf(bound, 1) {
			n := max(b.GetCumulativeCount(), below)
			r.buckets = append(r.buckets, bucket{bound, n - below})
			last, below = bound, n
		}
	}
	return r
}

// restarted says whether something counts anew, like rate() of Prometheus: it shows less than before.
func (r *reading) restarted(kind dto.MetricType, before *reading) bool {
	if kind == dto.MetricType_COUNTER {
		return r.value < before.value
	}
	if r.count < before.count {
		return true
	}
	for _, b := range before.buckets {
		if r.in(b.bound) < b.count {
			return true
		}
	}
	return false
}

// at finds a bound.
func (r *reading) at(bound float64) (int, bool) {
	return slices.BinarySearchFunc(r.buckets, bound, func(b bucket, bound float64) int {
		switch {
		case b.bound < bound:
			return -1
		case b.bound > bound:
			return 1
		}
		return 0
	})
}

func (r *reading) in(bound float64) uint64 {
	if i, ok := r.at(bound); ok {
		return r.buckets[i].count
	}
	return 0
}

// grow adds what a worker has counted since its last copy. What is not a number, or infinite, is left out of now: else it
// would be the end of the sum. The result says whether a sum that had buckets has got more of them.
func (s *series) grow(kind dto.MetricType, now, before *reading) (widened bool) {
	if now.restarted(kind, before) {
		before = &reading{}
	}
	if more := now.value - before.value; math.IsNaN(more) || math.IsInf(more, 0) {
		now.value = before.value
	} else {
		s.total.value += more
	}
	s.total.count += now.count - before.count
	had := len(s.total.buckets) > 0
	for _, b := range now.buckets {
		i, ok := s.total.at(b.bound)
		if !ok {
			widened = had
			s.total.buckets = slices.Insert(s.total.buckets, i, bucket{bound: b.bound})
		}
		s.total.buckets[i].count += b.count - before.in(b.bound)
	}
	return widened
}
