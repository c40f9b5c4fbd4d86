package prommetrics

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"github.com/prefork/cluster/metrics/merge"
)

func settingsOf(opts ...Setting) *settings {
	s := newSettings(opts)
	return &s
}

func registry(t *testing.T) *prometheus.Registry {
	t.Helper()
	reg := prometheus.NewRegistry()
	jobs := prometheus.NewCounter(prometheus.CounterOpts{Name: "jobs_total", Help: "Jobs."})
	jobs.Add(3)
	reg.MustRegister(jobs, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "gopher_age_seconds", Help: "Not of the runtime."}))
	return reg
}

func gathered(t *testing.T, s *settings, g prometheus.Gatherer) *merge.Copy {
	t.Helper()
	data, err := s.gather(g)
	if err != nil {
		t.Fatal(err)
	}
	c, err := merge.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func names(c *merge.Copy) (all []string) {
	for _, f := range c.Families {
		all = append(all, f.GetName())
	}
	return all
}

func TestRulesTravel(t *testing.T) {
	t.Parallel()
	s := settingsOf(Gauge("a", Max), Gauge("b", Min), Gauge("c", PerSlot), Gauge("d", Sum), Gauge("a", Min))
	c := gathered(t, s, registry(t))
	if want := map[string]Rule{"a": Min, "b": Min, "c": PerSlot, "d": Sum}; !maps.Equal(c.Rules, want) {
		t.Errorf("rules %v, want %v", c.Rules, want)
	}
	if i := slices.Index(names(c), "jobs_total"); i < 0 || c.Families[i].GetMetric()[0].GetCounter().GetValue() != 3 {
		t.Errorf("3 jobs are not in %v", c.Families)
	}
}

// go_ and process_ are left out, names that only begin alike are not.
func TestRuntime(t *testing.T) {
	t.Parallel()
	if got, want := names(gathered(t, settingsOf(), registry(t))), []string{"gopher_age_seconds", "jobs_total"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	got := names(gathered(t, settingsOf(Runtime()), registry(t)))
	if !slices.Contains(got, "go_goroutines") || !slices.Contains(got, "jobs_total") {
		t.Errorf("with Runtime: %v", got)
	}
}

func TestOnlyRuntimeIsNothing(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector())
	if data, err := settingsOf().gather(reg); err != nil || len(data) > 0 {
		t.Errorf("%d bytes, %v: there is nothing to send", len(data), err)
	}
}

func TestEvery(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		opts []Setting
		want time.Duration
	}{
		"not set":    {nil, 5 * time.Second},
		"set":        {[]Setting{Every(time.Minute)}, time.Minute},
		"too short":  {[]Setting{Every(time.Millisecond)}, 100 * time.Millisecond},
		"zero":       {[]Setting{Every(0)}, 100 * time.Millisecond},
		"the last":   {[]Setting{Every(time.Minute), Every(time.Second)}, time.Second},
		"among more": {[]Setting{Runtime(), Every(time.Second), Gauge("a", Max)}, time.Second},
	} {
		if got := settingsOf(tt.opts...).every; got != tt.want {
			t.Errorf("%s: every %v, want %v", name, got, tt.want)
		}
	}
}

type brokenCollector struct{ how func() }

func (brokenCollector) Describe(chan<- *prometheus.Desc) {}

func (b brokenCollector) Collect(ch chan<- prometheus.Metric) {
	b.how()
	ch <- prometheus.NewInvalidMetric(prometheus.NewDesc("broken", "Broken.", nil, nil), errors.New("it fails"))
}

// What a collector cannot tell is an error; what the others tell is in the copy all the same.
func TestErrors(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]func(){"fails": func() {}, "panics": func() { panic("it fails") }} {
		reg := registry(t)
		reg.MustRegister(brokenCollector{how})
		data, err := settingsOf().gather(reg)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		c, decodeErr := merge.Decode(data)
		if decodeErr != nil {
			t.Fatal(decodeErr)
		}
		if !slices.Contains(names(c), "jobs_total") {
			t.Errorf("%s: %v is all that is left", name, names(c))
		}
	}
	all := errors.New("nothing can be told")
	nothing := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return nil, all })
	if data, err := settingsOf().gather(nothing); !errors.Is(err, all) || len(data) > 0 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}
