// Package prommetrics shows what an application registers with client_golang on the master's /metrics, as one cluster:
//
//	worker.Serve(handler, prommetrics.Option(prometheus.DefaultGatherer, prommetrics.Gauge("queue_age_seconds", prommetrics.Max)))
//
// Every worker sends a copy of its registry to the master when it is ready, every five seconds while something changes, and when it has been
// drained. The master adds them up: counters, histograms, and sum and count of summaries are those of all workers that there
// have ever been, so they never fall; what a worker counted after its last copy is lost if it is killed. Quantiles of summaries,
// native histograms and exemplars have no sum and are not shown. Gauges are those of the workers that are alive, merged by the rule
// that Gauge declares, else summed.
//
// Names that begin with cluster_ belong to the master. Metrics whose names begin with go_ or process_ say something of one
// process, and mean nothing when they are summed: they are left out unless Runtime is given.
//
// A collector that fails, panics or hangs costs copies, nothing else: the master's cluster_application_metrics_failures_total counts
// it, and the worker's log names the first of each kind.
package prommetrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/prefork/cluster/metrics/merge"
	"github.com/prefork/cluster/worker"
	"github.com/prefork/cluster/worker/internal/publish"
)

const (
	interval = 5 * time.Second // between two copies
	shortest = 100 * time.Millisecond
)

// Rule says how the gauges of several workers become one.
type Rule = merge.Rule

// The rules.
const (
	Sum     = merge.Sum     // what all have together: of a gauge without a rule
	Max     = merge.Max     // the largest
	Min     = merge.Min     // the smallest
	PerSlot = merge.PerSlot // one series a slot, with the label slot, which the gauge must not have; two workers of a slot are summed
)

// Setting changes what Option publishes.
type Setting func(*settings)

type settings struct {
	rules   map[string]Rule
	every   time.Duration
	runtime bool
}

// Gauge declares how the gauge of this name is merged.
func Gauge(name string, rule Rule) Setting {
	return func(s *settings) { s.rules[name] = rule }
}

// Every sets the time between two copies, 5 s unless set and 100 ms at least. What was counted in it is lost with a worker that is
// killed.
func Every(d time.Duration) Setting { return func(s *settings) { s.every = max(d, shortest) } }

// Runtime keeps the metrics whose names begin with go_ or process_. Their gauges are summed unless Gauge says otherwise.
func Runtime() Setting { return func(s *settings) { s.runtime = true } }

// Option publishes what g gathers: prometheus.DefaultGatherer, or a registry of the application.
func Option(g prometheus.Gatherer, opts ...Setting) worker.Option {
	s := newSettings(opts)
	return worker.Publish(publish.Source{Interval: s.every, Gather: func() ([]byte, error) { return s.gather(g) }})
}

func newSettings(opts []Setting) settings {
	s := settings{rules: map[string]Rule{}, every: interval}
	for _, opt := range opts {
		opt(&s)
	}
	return s
}

// gather makes a copy of what can be gathered, and says what could not.
func (s *settings) gather(g prometheus.Gatherer) ([]byte, error) {
	families, failed := g.Gather()
	c := merge.Copy{Rules: s.rules}
	for _, f := range families { // which are the gatherer's
		if s.runtime || !ofProcess(f) {
			c.Families = append(c.Families, f)
		}
	}
	data, err := c.Encode()
	if err != nil {
		return nil, err
	}
	return data, failed
}

func ofProcess(f *dto.MetricFamily) bool {
	return strings.HasPrefix(f.GetName(), "go_") || strings.HasPrefix(f.GetName(), "process_")
}
