package merge

import (
	"cmp"
	"maps"
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// Stats are what the set says of itself.
type Stats struct {
	Series    int   // lines that a scrape has
	Dropped   int64 // times that a series of a copy found no room
	Conflicts map[Conflict]int64
}

// Stats may be called at any time.
func (s *Set) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Series: s.lines, Dropped: s.dropped, Conflicts: maps.Clone(s.conflicts)}
}

// Gather returns the sum of all workers, sorted by name and labels. Quantiles of summaries, exemplars, native buckets, and times of
// creation have no sum and are left out. Nobody else changes what it returns, and labels are shared: they must not be changed.
func (s *Set) Gather() []*dto.MetricFamily {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*dto.MetricFamily
	for _, name := range slices.Sorted(maps.Keys(s.families)) {
		f := s.families[name]
		if len(f.series) == 0 {
			continue
		}
		if f.order == nil {
			f.order = slices.SortedFunc(maps.Values(f.series), func(a, b *series) int { return cmp.Compare(a.key, b.key) })
		}
		mf := &dto.MetricFamily{Name: &f.name, Help: proto.String(f.help), Type: f.kind.Enum(), Metric: make([]*dto.Metric, 0, len(f.order))}
		for _, one := range f.order {
			if f.rule == PerSlot {
				mf.Metric = one.perSlot(f.kind, mf.Metric)
			} else {
				mf.Metric = append(mf.Metric, one.metric(f))
			}
		}
		all = append(all, mf)
	}
	return all
}

func (s *series) metric(f *family) *dto.Metric {
	m := &dto.Metric{Label: s.labels}
	switch f.kind {
	case dto.MetricType_COUNTER:
		m.Counter = &dto.Counter{Value: proto.Float64(s.total.value)}
	case dto.MetricType_SUMMARY:
		m.Summary = &dto.Summary{SampleSum: proto.Float64(s.total.value), SampleCount: proto.Uint64(s.total.count)}
	case dto.MetricType_HISTOGRAM:
		m.Histogram = &dto.Histogram{SampleSum: proto.Float64(s.total.value), SampleCount: proto.Uint64(s.total.count)}
		below := uint64(0)
		for _, b := range s.total.buckets {
			below += b.count
			m.Histogram.Bucket = append(m.Histogram.Bucket, &dto.Bucket{UpperBound: proto.Float64(b.bound), CumulativeCount: proto.Uint64(below)})
		}
	default:
		setInstant(m, f.kind, one(f.rule, s.parts))
	}
	return m
}

// one is the gauge of all workers.
func one(rule Rule, parts []part) float64 {
	value := parts[0].value
	for _, p := range parts[1:] {
		switch rule {
		case Max:
			value = math.Max(value, p.value)
		case Min:
			value = math.Min(value, p.value)
		default:
			value += p.value
		}
	}
	return value
}

// perSlot is one metric for each slot that has a worker.
func (s *series) perSlot(kind dto.MetricType, metrics []*dto.Metric) []*dto.Metric {
	slots := map[string]float64{}
	for _, p := range s.parts {
		slots[p.worker.slot] += p.value
	}
	for _, slot := range slices.SortedFunc(maps.Keys(slots), compareSlots) {
		m := &dto.Metric{Label: append(slices.Clone(s.labels), &dto.LabelPair{Name: proto.String(slotLabel), Value: proto.String(slot)})}
		slices.SortFunc(m.Label, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
		setInstant(m, kind, slots[slot])
		metrics = append(metrics, m)
	}
	return metrics
}

// compareSlots sorts numbers by value.
func compareSlots(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }

func setInstant(m *dto.Metric, kind dto.MetricType, value float64) {
	if kind == dto.MetricType_UNTYPED {
		m.Untyped = &dto.Untyped{Value: &value}
		return
	}
	m.Gauge = &dto.Gauge{Value: &value}
}
