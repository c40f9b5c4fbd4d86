package metrics

import (
	"cmp"
	"slices"

	dto "github.com/prometheus/client_model/go"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// A scrape of a large cluster has ten thousand lines, nearly all of a few names and labels. So it is not made by a registry,
// which checks each series anew, but written down as the messages that a registry would make. Tests check what is checked there.

// pen writes the metrics of a scrape.
type pen struct {
	families map[*series]*dto.MetricFamily
	labels   map[label]*dto.LabelPair
}

type label struct{ name, value string }

func newPen() pen {
	return pen{map[*series]*dto.MetricFamily{}, map[label]*dto.LabelPair{}}
}

// number is a metric in one piece of memory.
type number struct {
	metric  dto.Metric
	gauge   dto.Gauge
	counter dto.Counter
	value   float64
	labels  [3]*dto.LabelPair
}

func (p pen) gauge(s *series, value float64, labels ...string) {
	n := &number{value: value}
	n.gauge.Value, n.metric.Gauge = &n.value, &n.gauge
	n.metric.Label = p.pairs(n.labels[:0], s, labels)
	p.add(s, dto.MetricType_GAUGE, &n.metric)
}

func (p pen) counter(s *series, value float64, labels ...string) {
	n := &number{value: value}
	n.counter.Value, n.metric.Counter = &n.value, &n.counter
	n.metric.Label = p.pairs(n.labels[:0], s, labels)
	p.add(s, dto.MetricType_COUNTER, &n.metric)
}

const shownBounds = (scoreboard.Bounds + 3) / 4

// bounds are every fourth bound of the scoreboard: the powers of two of a second.
var bounds = func() (b [shownBounds]float64) {
	for i := range b {
		b[i] = scoreboard.BoundSeconds(4 * i)
	}
	return b
}()

// distribution is a histogram in one piece of memory.
type distribution struct {
	metric    dto.Metric
	histogram dto.Histogram
	sum       float64
	count     uint64
	buckets   [shownBounds]dto.Bucket
	counts    [shownBounds]uint64
	pointers  [shownBounds]*dto.Bucket
	labels    [1]*dto.LabelPair
}

// histogram adds two.
func (p pen) histogram(s *series, slot string, a, b *scoreboard.Histogram) {
	var counts scoreboard.Counts
	a.AddTo(&counts)
	b.AddTo(&counts)
	d := &distribution{sum: counts.Sum.Seconds()}
	for i, n := range counts.Buckets {
		d.count += uint64(n)
		if i%4 == 0 && i < scoreboard.Bounds {
			j := i / 4
			d.counts[j], d.pointers[j] = d.count, &d.buckets[j]
			d.buckets[j].UpperBound, d.buckets[j].CumulativeCount = &bounds[j], &d.counts[j]
		}
	}
	d.histogram.SampleCount, d.histogram.SampleSum, d.histogram.Bucket = &d.count, &d.sum, d.pointers[:]
	d.metric.Histogram, d.metric.Label = &d.histogram, p.pairs(d.labels[:0], s, []string{slot})
	p.add(s, dto.MetricType_HISTOGRAM, &d.metric)
}

// pairs are the labels of a metric, sorted by name as the exposition formats want it.
func (p pen) pairs(into []*dto.LabelPair, s *series, values []string) []*dto.LabelPair {
	for _, i := range s.order {
		l := label{s.labels[i], values[i]}
		pair := p.labels[l]
		if pair == nil {
			pair = &dto.LabelPair{Name: &l.name, Value: &l.value}
			p.labels[l] = pair
		}
		into = append(into, pair)
	}
	return into
}

func (p pen) add(s *series, kind dto.MetricType, m *dto.Metric) {
	f := p.families[s]
	if f == nil {
		f = &dto.MetricFamily{Name: &s.name, Help: &s.help, Type: kind.Enum()}
		p.families[s] = f
	}
	f.Metric = append(f.Metric, m)
}

// all are the families that have been written, sorted by name, and their metrics by the values of their labels.
func (p pen) all() []*dto.MetricFamily {
	all := make([]*dto.MetricFamily, 0, len(p.families))
	for _, f := range p.families {
		slices.SortFunc(f.Metric, func(a, b *dto.Metric) int {
			return slices.CompareFunc(a.Label, b.Label, func(a, b *dto.LabelPair) int { return cmp.Compare(*a.Value, *b.Value) })
		})
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *dto.MetricFamily) int { return cmp.Compare(*a.Name, *b.Name) })
	return all
}

// application sends what there is to say of the application's metrics.
func (p pen) application(a *Application) {
	p.gauge(appSeries, float64(a.Series))
	p.counter(appDropped, float64(a.Dropped))
	for c, n := range a.Conflicts {
		p.counter(appConflicts, float64(n), c.Metric, c.Reason)
	}
	for reason, n := range a.Failures {
		p.counter(appFailures, float64(n), reason)
	}
}
