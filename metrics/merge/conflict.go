package merge

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
)

// Conflict says what of a metric cannot be shown as a worker has it.
type Conflict struct {
	Metric string
	Reason string // one of the names below
}

// The reasons of conflicts, as the metrics have them.
const (
	TypeConflict    = "type"             // the name belongs to a metric of another type: dropped until no worker has that one
	RuleConflict    = "rule"             // workers declare other rules for a gauge: the first one counts
	HelpConflict    = "help"             // workers have other help texts: the first one is shown
	BucketConflict  = "buckets"          // histograms have other bounds: shown with those of all
	LabelConflict   = "labels"           // labels that are no UTF-8, are there twice, are too long, or belong to the type: dropped
	SlotConflict    = "slot_label"       // a gauge by slot that has a label slot of its own: dropped
	ReservedName    = "reserved_name"    // the name begins with cluster_: dropped
	BadName         = "bad_name"         // the name is no name of a metric: dropped
	Unmergeable     = "unmergeable_type" // histograms of gauges have no sum: dropped
	NativeHistogram = "native_histogram" // without classic buckets: count and sum are shown, without a distribution
)

const (
	reserved     = "cluster_"
	slotLabel    = "slot"
	maxLabels    = 4 << 10 // bytes of the labels of a series
	maxConflicts = 100     // metrics that conflicts are counted of; the rest is one
	otherMetrics = "other"
)

// unfit is why a family cannot be taken from anybody.
func unfit(f *dto.MetricFamily) string {
	switch name := f.GetName(); {
	case !model.UTF8Validation.IsValidMetricName(name) || len(name) > maxLabels:
		return BadName
	case strings.HasPrefix(name, reserved):
		return ReservedName
	case !mergeable(f.GetType()):
		return Unmergeable
	}
	return ""
}

// sortedLabels are the labels of a metric; ok is false if a scrape with them could not be read.
func sortedLabels(f *family, m *dto.Metric) (labels []*dto.LabelPair, ok bool) {
	labels = m.GetLabel()
	slices.SortFunc(labels, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	size := 0
	for i, l := range labels {
		name := l.GetName()
		size += len(name) + len(l.GetValue())
		switch {
		case !model.UTF8Validation.IsValidLabelName(name) || !utf8.ValidString(l.GetValue()) || i > 0 && labels[i-1].GetName() == name,
			name == model.MetricNameLabel,
			name == model.BucketLabel && f.kind == dto.MetricType_HISTOGRAM,
			name == model.QuantileLabel && f.kind == dto.MetricType_SUMMARY:
			return nil, false
		}
	}
	return labels, size <= maxLabels
}

// note counts a conflict, and adds it to news if it is the first of its kind.
func (s *Set) note(name, reason string, news []Conflict) []Conflict {
	c := Conflict{strings.ToValidUTF8(name, "?"), reason}
	if _, known := s.conflicts[c]; !known && len(s.conflicts) >= maxConflicts {
		c.Metric = otherMetrics
	}
	s.conflicts[c]++
	if s.conflicts[c] == 1 {
		news = append(news, c)
	}
	return news
}
