package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/worker"
	"github.com/prefork/cluster/worker/prommetrics"
)

// shop is an application with metrics of its own. In its third generation a metric has another type. A collector fails from the
// moment that somebody asks for it.
func init() { programs["shop"] = shop }

func shop() {
	registry := prometheus.NewRegistry()
	orders := prometheus.NewCounter(prometheus.CounterOpts{Name: "shop_orders_total", Help: "Orders."})
	if os.Getenv("CLUSTER_GENERATION") == "3" {
		registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "shop_orders_total", Help: "Orders."}))
	} else {
		registry.MustRegister(orders)
	}
	took := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "shop_order_seconds", Help: "How long orders took.", Buckets: []float64{0.1, 1}})
	carts := prometheus.NewGauge(prometheus.GaugeOpts{Name: "shop_carts", Help: "Open carts."})
	oldest := prometheus.NewGauge(prometheus.GaugeOpts{Name: "shop_oldest_cart", Help: "The oldest cart."})
	cache := prometheus.NewGauge(prometheus.GaugeOpts{Name: "shop_cache", Help: "Entries in the cache of each worker."})
	registry.MustRegister(took, carts, oldest, cache)
	var broken atomic.Value // string: panics or hangs
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "shop_mood", Help: "1."}, func() float64 {
		switch broken.Load() {
		case "/panics":
			panic("the collector is broken")
		case "/hangs":
			select {}
		}
		return 1
	}))
	mux := http.NewServeMux()
	mux.HandleFunc("/order", func(http.ResponseWriter, *http.Request) {
		orders.Inc()
		took.Observe(0.5)
	})
	for _, how := range []string{"/panics", "/hangs"} {
		mux.HandleFunc(how, func(http.ResponseWriter, *http.Request) { broken.Store(how) })
	}
	err := worker.Serve(mux,
		worker.OnBoot(func(i worker.Info) error {
			carts.Set(10)
			oldest.Set(float64(100 + i.Slot))
			cache.Set(float64(1000 + i.Slot))
			return nil
		}),
		prommetrics.Option(registry, prommetrics.Every(100*time.Millisecond), prommetrics.Gauge("shop_oldest_cart", prommetrics.Max), prommetrics.Gauge("shop_cache", prommetrics.PerSlot)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// awaitMetric waits until a series has a value, and never shows less than least.
func (c *testCluster) awaitMetric(series string, want, least float64) {
	c.t.Helper()
	var got string
	for deadline := time.Now().Add(startPatience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		res, err := http.Get("http://" + c.MetricsAddr + "/metrics")
		if err != nil {
			c.t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			c.t.Fatalf("the scrape is answered %s: %s", res.Status, text)
		}
		got = "missing"
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, series+" "); ok {
				var v float64
				if _, err := fmt.Sscan(value, &v); err != nil {
					c.t.Fatal(err)
				}
				if got = fmt.Sprint(v); v < least {
					c.t.Fatalf("%s fell to %v; it was to be %v", series, v, want)
				}
				if v == want {
					return
				}
			}
		}
	}
	c.t.Fatalf("%s is %s, want %v", series, got, want)
}

func (c *testCluster) ask(path string, times int) {
	c.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: startPatience}
	for range times {
		res, err := client.Get(c.URL(path))
		if err != nil {
			c.t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			c.t.Fatalf("%s: %s", path, res.Status)
		}
	}
}

// What workers count is summed at the master, and stays: through kills, restarts and a version that counts something else by the name.
func TestApplicationMetrics(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--workers", "2", "--settle", "100ms", "--probation", "0s", "--", testBinary(t), "shop")
	c.ask("/order", 20)
	c.awaitMetric("shop_orders_total", 20, 0)
	c.awaitMetric(`shop_order_seconds_bucket{le="1"}`, 20, 0)
	c.awaitMetric("shop_order_seconds_sum", 10, 0)
	c.awaitMetric("shop_carts", 20, 0)
	c.awaitMetric("shop_oldest_cart", 101, 0)
	c.awaitMetric(`shop_cache{slot="0"}`, 1000, 0)
	c.awaitMetric(`shop_cache{slot="1"}`, 1001, 0)

	victim := c.Status().Slots[0].PID
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.Await("another worker is in its place", func(s api.Status) bool { return s.State == "ready" && s.Slots[0].PID != victim })
	c.awaitMetric("shop_carts", 20, 0)
	c.ask("/order", 5)
	c.awaitMetric("shop_orders_total", 25, 20)

	c.ask("/order", 5) // which only the last copy has, of the drain
	c.Must("restart", "--wait=drained")
	c.awaitMetric("shop_orders_total", 30, 20)
	c.awaitMetric("shop_carts", 20, 0)

	checkMetricsText(t, c)

	c.Must("restart", "--wait=drained") // the third version has it as a gauge, which is shown when nobody has the counter any more
	if n := metric(t, c, `cluster_application_metrics_conflicts_total{metric="shop_orders_total",reason="type"}`); n < 1 {
		t.Errorf("%v conflicts", n)
	}
	c.awaitMetric("shop_orders_total", 0, 0)
	c.awaitMetric("shop_carts", 20, 0)
}

// A collector that panics or hangs costs its worker's copies, and nothing else.
func TestApplicationMetricsThatFail(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--workers", "1", "--", testBinary(t), "shop")
	c.ask("/order", 3)
	c.awaitMetric("shop_orders_total", 3, 0)
	for path, reason := range map[string]string{"/panics": "error", "/hangs": "hang"} {
		c.ask(path, 1)
		series := fmt.Sprintf("cluster_application_metrics_failures_total{reason=%q}", reason)
		for deadline := time.Now().Add(startPatience); metric(t, c, series) == 0; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s is 0", series)
			}
		}
		c.ask("/order", 1)
		if got := metric(t, c, "shop_orders_total"); got < 3 {
			t.Errorf("after %s the counter is %v", path, got)
		}
	}
}
