package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/worker"
	"github.com/prefork/cluster/worker/prommetrics"
)

// counting is a worker that counts with client_golang: `start -- BINARY counting`.
func init() { programs["counting"] = counting }

// mood is a collector that fails as it is asked to.
type mood struct{ now atomic.Value }

func (*mood) Describe(chan<- *prometheus.Desc) {}

func (m *mood) Collect(chan<- prometheus.Metric) {
	switch m.now.Load() {
	case "panics":
		panic("as it was asked to")
	case "hangs":
		select {}
	}
}

func counting() {
	reg := prometheus.NewRegistry()
	f := promauto.With(reg)
	jobs := f.NewCounterVec(prometheus.CounterOpts{Name: "app_jobs_total", Help: "Jobs that were done, by kind."}, []string{"kind"})
	took := f.NewHistogram(prometheus.HistogramOpts{Name: "app_job_seconds", Help: "How long they took.", Buckets: []float64{0.1, 1}})
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	gauge("app_workers", "Workers, each says 1.").Set(1)
	generation, _ := strconv.Atoi(os.Getenv("CLUSTER_GENERATION"))
	gauge("app_newest_generation", "The generation of the newest worker.").Set(float64(generation))
	gauge("app_pid_of_slot", "The process of each slot.").Set(float64(os.Getpid()))
	if generation < 3 {
		gauge("app_changes_type", "A gauge in the first generations, then a histogram.").Set(1)
	} else {
		f.NewHistogram(prometheus.HistogramOpts{Name: "app_changes_type", Help: "A gauge in the first generations, then a histogram."}).Observe(1)
	}
	m := &mood{}
	reg.MustRegister(m)

	mux := http.NewServeMux()
	mux.HandleFunc("/job/{kind}", func(w http.ResponseWriter, r *http.Request) {
		jobs.WithLabelValues(r.PathValue("kind")).Inc()
		took.Observe(0.5)
		fmt.Fprint(w, os.Getpid())
	})
	mux.HandleFunc("/mood/{mood}", func(w http.ResponseWriter, r *http.Request) {
		m.now.Store(r.PathValue("mood"))
		fmt.Fprint(w, os.Getpid())
	})
	err := worker.Serve(mux, prommetrics.Option(reg, prommetrics.Every(100*time.Millisecond),
		prommetrics.Gauge("app_newest_generation", prommetrics.Max), prommetrics.Gauge("app_pid_of_slot", prommetrics.PerSlot)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// lines are a scrape of a cluster, each line by its name and labels.
type lines map[string]float64

func (c *testCluster) scrape() (lines, error) {
	res, err := http.Get("http://" + c.MetricsAddr + "/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(res.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		return nil, err
	}
	all := lines{}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				labels += "," + l.GetName() + "=" + l.GetValue()
			}
			line := func(suffix string, value float64) { all[name+suffix+labels] = value }
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				line("", m.GetCounter().GetValue())
			case dto.MetricType_HISTOGRAM:
				line("_count", float64(m.GetHistogram().GetSampleCount()))
				line("_sum", m.GetHistogram().GetSampleSum())
				for _, b := range m.GetHistogram().GetBucket() {
					line(fmt.Sprintf("_bucket<=%v", b.GetUpperBound()), float64(b.GetCumulativeCount()))
				}
			default:
				line("", m.GetGauge().GetValue())
			}
		}
	}
	return all, nil
}

// awaitLines scrapes until the lines have these values.
func (c *testCluster) awaitLines(what string, want lines) {
	c.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(startPatience); ; <-tick.C {
		got, err := c.scrape()
		if err != nil {
			c.t.Fatalf("%s: the scrape fails: %v", what, err)
		}
		wrong := ""
		for line, n := range want {
			if value, there := got[line]; !there || value != n {
				wrong += fmt.Sprintf("\n%s is %v (there: %v), want %v", line, value, there, n)
			}
		}
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%v are over before %s:%s", startPatience, what, wrong)
		}
	}
}

// ask sends a request on a connection of its own and returns the process that answered.
func (c *testCluster) ask(path string) (pid int) {
	c.t.Helper()
	client := http.Client{Timeout: startPatience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(c.URL(path))
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: %s %s %v", path, res.Status, text, err)
	}
	if pid, err = strconv.Atoi(string(text)); err != nil {
		c.t.Fatal(err)
	}
	return pid
}

// neverFall scrapes again and again, until the returned function is called: no scrape fails, nothing of the counters falls or
// is missing.
func (c *testCluster) neverFall() (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		before := lines{}
		for scrapes := 0; ; scrapes++ {
			now, err := c.scrape()
			if err != nil {
				c.t.Errorf("a scrape fails: %v", err)
				return
			}
			for line, n := range now {
				if strings.HasPrefix(line, "app_job") {
					before[line] = max(before[line], n)
				}
			}
			for line, n := range before {
				if value, there := now[line]; !there || value < n {
					c.t.Errorf("%s was %v, and is %v (there: %v)", line, n, value, there)
				}
			}
			select {
			case <-end:
				c.t.Logf("%d scrapes", scrapes)
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() { close(end); <-ended }
}

// jobs are the lines of n jobs, of one kind or the other.
func jobs(a, b int) lines {
	n := float64(a + b)
	return lines{
		"app_jobs_total,kind=a": float64(a), "app_jobs_total,kind=b": float64(b),
		"app_job_seconds_count": n, "app_job_seconds_sum": n / 2, "app_job_seconds_bucket<=0.1": 0, "app_job_seconds_bucket<=1": n,
	}
}

// What workers count is on the master's page as one application, whatever becomes of the workers.
func TestApplicationMetrics(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--workers", "2", "--threads", "2", "--settle", "50ms", "--probation", "0s", "--", testBinary(t), "counting")
	gauges := func(generation int) lines {
		want := lines{"app_workers": 2, "app_newest_generation": float64(generation)}
		for _, w := range c.Status().Slots {
			want[fmt.Sprintf("app_pid_of_slot,slot=%d", w.Slot)] = float64(w.PID)
		}
		return want
	}
	asked := map[int]int{} // by process
	for range 30 {
		asked[c.ask("/job/a")]++
	}
	for len(asked) < 2 {
		asked[c.ask("/job/a")]++
	}
	a := 0
	for _, n := range asked {
		a += n
	}
	c.ask("/job/b")
	c.awaitLines("all jobs are counted", jobs(a, 1))
	c.awaitLines("the gauges are merged", gauges(1))
	checkMetricsText(t, c)

	stop := c.neverFall()
	victim := c.Workers()[0]
	signalWorker(t, victim, syscall.SIGKILL)
	c.Await("another worker is in its place", func(s api.Status) bool { return serving(2)(s) && s.Slots[0].PID != victim })
	c.awaitLines("the dead one's gauges have gone", gauges(1))
	c.awaitLines("its jobs stay", jobs(a, 1))

	for range 20 { // the last of them have been in no copy when the workers are asked to leave
		c.ask("/job/b")
	}
	c.Must("restart", "--wait")
	c.awaitLines("drained workers have lost nothing", jobs(a, 21))
	c.awaitLines("the new ones' gauges are there", gauges(2))
	c.awaitLines("there is no conflict yet", lines{"app_changes_type": 2})

	c.Must("restart", "--wait")
	c.awaitLines("the metric has its new type", lines{"app_changes_type_count": 2})
	c.awaitLines("the jobs of three generations are there", jobs(a, 21))
	c.awaitLines("the gauges are there", gauges(3))
	stop()
	got, err := c.scrape()
	if err != nil {
		t.Fatal(err)
	}
	if n := got["cluster_application_metrics_conflicts_total,metric=app_changes_type,reason=type"]; n < 1 {
		t.Errorf("%v conflicts were counted of a metric that has changed its type", n)
	}
	checkMetricsText(t, c)

	first := c.ask("/mood/panics")
	await := func(reason string) {
		t.Helper()
		const failures = "cluster_application_metrics_failures_total,reason="
		for deadline := time.Now().Add(startPatience); ; {
			if got, err := c.scrape(); err != nil {
				t.Fatal(err)
			} else if got[failures+reason] > 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("no failure %q is counted", reason)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	await("error")
	c.ask("/job/b")
	c.awaitLines("what does not panic is still counted", jobs(a, 22))
	for c.ask("/mood/hangs") != first { // so that the other one may hang too
	}
	await("hang")
	for served := map[int]bool{}; len(served) < 2; {
		served[c.ask("/job/b")] = true
	}
	if s := c.Status(); !serving(2)(s) || s.Generation != 3 {
		t.Errorf("after a panic and a hanging collector: %+v", s)
	}
}
