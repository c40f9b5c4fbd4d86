package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/internal/traffic"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

const (
	promPatience = 30 * time.Second
	promWindow   = "[10m]" // the whole test, in every query
)

// What a real Prometheus server sees is true: over rolling restarts and scaling the counters gain exactly what the
// clients counted; no counter ever goes back, whatever dies; and a stopped worker stops no scrape.
func TestPrometheus(t *testing.T) {
	program := needProgram(t, "prometheus", "prometheus")
	c := startCluster(t, "--workers", "2", "--threads", "3", "--settle", "200ms", "--probation", "0s")
	counters := checkMetricsText(t, c)
	p := startProm(t, program, c)

	// Everything is there before the first request.
	before := p.totals()
	for _, class := range []string{"1xx", "2xx", "3xx", "4xx", "5xx"} {
		if n, ok := before[class]; n != 0 || !ok {
			t.Errorf("before the traffic there are %v answers %s (%v)", n, class, ok)
		}
	}

	// Restarts and scaling lose nothing, so the numbers must be equal.
	report := trafficWhile(c, func() {
		c.Must("restart", "--wait")
		c.Must("scale", "4")
		c.Await("4 workers are ready", serving(4))
		c.Must("restart", "--wait")
		c.Must("scale", "2")
		c.Must("restart", "--wait")
		c.Await("2 workers are left", serving(2))
	})
	t.Logf("with restarts and scaling: %v", report)
	if report.Losses() != int(report.Counts[traffic.Error5xx]) { // those of /panic
		t.Errorf("answers were lost, so the comparison says nothing")
	}
	p.awaitScrapes(2)
	after, answers := p.totals(), int64(0)
	for class, n := range after {
		answers += int64(n)
		if want := before[class] + float64(report.ClassCounts[class]); n != want {
			t.Errorf("Prometheus has %v answers %s, the clients counted %v", n, class, want)
		}
	}
	if answers != report.Requests || answers < 500 {
		t.Errorf("Prometheus has %d answers, the clients counted %d", answers, report.Requests)
	}
	for _, class := range []string{"2xx", "3xx", "4xx", "5xx"} {
		if report.ClassCounts[class] == 0 {
			t.Errorf("there was no answer %s", class)
		}
	}
	// One answer of class 4xx came from the engine, to a head that was none: no handler, no thread.
	for expr, want := range map[string]int64{
		`sum(cluster_request_duration_seconds_count)`:                 report.Requests - 1,
		`sum(cluster_request_duration_seconds_bucket{le="+Inf"})`:     report.Requests - 1,
		`sum(cluster_queue_wait_seconds_count)`:                       report.Requests - 1,
		`sum(cluster_connections_accepted_total)`:                     report.Opened,
		`sum(cluster_handler_panics_total)`:                           report.ClassCounts["5xx"],
		`sum(cluster_rolling_restarts_total{outcome="done"})`:         3,
		`sum(cluster_rolling_restarts_total{outcome!="done"})`:        0,
		`sum(cluster_worker_exits_total{reason="scale"})`:             2,
		`sum(cluster_worker_exits_total{reason!~"restart|scale"})`:    0,
		`sum(cluster_connections_open)`:                               0,
		`sum(cluster_requests_waiting)`:                               0,
		`sum(cluster_worker_state{state="ready"})`:                    2,
		`sum(cluster_worker_state)`:                                   2,
		`cluster_workers_ready`:                                       2,
		`cluster_generation`:                                          4,
		`count(count by (pid) (cluster_worker_info{generation="4"}))`: 2,
		`count(cluster_requests_total{slot="3"})`:                     5, // of a slot that was removed again
		`sum(cluster_request_duration_seconds_sum) > bool 0`:          1,
		`min(cluster_cpu_seconds_total) > bool 0`:                     1,
		`min(cluster_memory_pss_bytes{slot=~"0|1"}) > bool 0`:         1,
	} {
		if got := p.value(expr); got != float64(want) {
			t.Errorf("%s is %v, want %d", expr, got, want)
		}
	}

	// A kill may cost answers that were counted and never came, and must take no counter back.
	victim := c.Workers()[0]
	report = trafficWhile(c, func() {
		c.Await("the victim works", func(s api.Status) bool { return s.Slots[0].Open > 0 })
		if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		c.Await("another worker is in its place", func(s api.Status) bool {
			return serving(2)(s) && !slices.ContainsFunc(s.Slots, func(w api.WorkerStatus) bool { return w.PID == victim })
		})
	})
	t.Logf("with a kill: %v", report)
	p.awaitScrapes(2)
	if n := p.value(`sum(cluster_worker_exits_total{reason="signal"})`); n != 1 {
		t.Errorf("%v workers were killed by a signal, want 1", n)
	}
	if n := p.value(`sum(cluster_requests_total)`) - float64(answers); n < float64(report.Requests)-float64(report.Losses()) {
		t.Errorf("Prometheus has %v answers, fewer than the clients got: %v", n, report)
	}

	// A stopped worker is seen, and does not stop the scrape.
	stopped := c.Status().Slots[0]
	signalWorker(t, stopped.PID, syscall.SIGSTOP)
	t.Cleanup(func() { _ = syscall.Kill(stopped.PID, syscall.SIGCONT) })
	age := fmt.Sprintf(`cluster_worker_heartbeat_age_seconds{slot="%d"}`, stopped.Slot)
	p.await("the stopped worker shows", func() bool { return p.value(age+" > bool 2") == 1 })
	p.await("it no longer counts as ready", func() bool { return p.value(`cluster_workers_ready`) == 1 })
	signalWorker(t, stopped.PID, syscall.SIGCONT)
	p.await("the worker goes on", func() bool { return p.value(age+" < bool 2") == 1 && p.value(`cluster_workers_ready`) == 2 })

	// Over the whole of it, nothing went back, nothing was missing.
	if n := p.value(`min_over_time(up` + promWindow + `)`); n != 1 {
		t.Error("a scrape failed")
	}
	for _, name := range counters {
		resets := p.query("resets(" + name + promWindow + ")")
		if len(resets) == 0 {
			t.Errorf("Prometheus has no %s", name)
		}
		for series, n := range resets {
			if n != 0 {
				t.Errorf("%s%s went back %v times", name, series, n)
			}
		}
		if now, ever := p.value("count("+name+")"), p.value("count(count_over_time("+name+promWindow+"))"); now != ever {
			t.Errorf("of %v series of %s there are %v", ever, name, now)
		}
	}
	p.checkRules()
}

// serving is a settled cluster of n workers.
func serving(n int) func(api.Status) bool {
	return func(s api.Status) bool {
		return s.State == "ready" && len(s.Slots) == n &&
			!slices.ContainsFunc(s.Slots, func(w api.WorkerStatus) bool { return w.State != plan.Ready.String() || w.Stalled })
	}
}

func signalWorker(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatalf("%v to worker %d: %v", s, pid, err)
	}
}

// trafficWhile runs clients of several kinds until events is over, and returns what they saw.
func trafficWhile(c *testCluster, events func()) traffic.Report {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	think := func(longest time.Duration) func(int) time.Duration {
		return func(int) time.Duration { return rand.N(longest) }
	}
	kinds := []traffic.Clients{
		{Path: "/pid", Connections: 4, KeepAlive: true, Think: think(20 * time.Millisecond)},
		{Path: "/io", Connections: 4, KeepAlive: true, Think: think(20 * time.Millisecond)},
		{Path: "/plaintext", Connections: 3, Think: think(20 * time.Millisecond)},
		{Path: "//plaintext", Connections: 1, KeepAlive: true, Think: think(50 * time.Millisecond)}, // redirected
		{Path: "/nothing", Connections: 2, KeepAlive: true, Think: think(50 * time.Millisecond)},
		{Path: "/panic", Connections: 2, Think: think(200 * time.Millisecond)},
	}
	reports := make([]traffic.Report, len(kinds))
	var clients sync.WaitGroup
	for i, kind := range kinds {
		kind.Addr = c.Addr
		clients.Go(func() {
			reports[i] = kind.Run(ctx)
			reports[i].LossList = slices.DeleteFunc(reports[i].LossList, func(a traffic.Answer) bool { return a.Outcome == traffic.Error5xx })
		})
	}
	total := badRequest(c)
	events()
	cancel()
	clients.Wait()
	for _, r := range reports {
		total.Merge(r)
	}
	return total
}

// badRequest is a client that speaks something else than HTTP.
func badRequest(c *testCluster) traffic.Report {
	c.t.Helper()
	conn, err := net.Dial("tcp", c.Addr)
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "hello\r\n\r\n")
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		c.t.Errorf("hello was answered %q, %v", answer, err)
	}
	return traffic.Report{Requests: 1, Opened: 1, ClassCounts: map[string]int64{"4xx": 1}}
}

// needProgram finds a program that CI has and others may not.
func needProgram(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	text := fmt.Sprintf("%s is not installed; on Debian: apt-get install %s", name, debian)
	if os.Getenv("CLUSTER_TEST_NO_SKIP") != "" {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}

// checkMetricsText has promtool look at the text, and returns the names of all series that may never go back.
func checkMetricsText(t *testing.T, c *testCluster) (counters []string) {
	t.Helper()
	res, err := http.Get("http://" + c.MetricsAddr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if promtool, err := exec.LookPath("promtool"); err == nil {
		cmd := exec.Command(promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(string(text))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics: %v\n%s", err, out)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\w+) (\w+)$`).FindAllStringSubmatch(string(text), -1) {
		switch m[2] {
		case "counter":
			counters = append(counters, m[1])
		case "histogram":
			counters = append(counters, m[1]+"_bucket", m[1]+"_count", m[1]+"_sum")
		}
	}
	if len(counters) < 10 {
		t.Fatalf("only %v are counters", counters)
	}
	return counters
}

// prom is a Prometheus server that scrapes a cluster, configured as docs/metrics.md shows.
type prom struct {
	t     *testing.T
	url   string
	rules int // alerts in the rules
}

func startProm(t *testing.T, program string, c *testCluster) *prom {
	t.Helper()
	dir := t.TempDir()
	scrape, rules := documented(t)
	scrape = strings.ReplaceAll(scrape, "127.0.0.1:9394", c.MetricsAddr)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := write("prometheus.yml", "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [cluster.rules.yml]\n"+scrape)
	write("cluster.rules.yml", rules)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()

	cmd := exec.Command(program, "--config.file", config, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", "127.0.0.1:0")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is killed leaves no server
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(promPatience):
			_ = cmd.Process.Kill()
			<-exited
		}
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("log of Prometheus:\n%s", text)
		}
	})

	p := &prom{t: t, rules: strings.Count(rules, "- alert:")}
	address := regexp.MustCompile(`msg="Listening on" address=(\S+)`)
	p.await("Prometheus listens", func() bool {
		select {
		case <-exited:
			t.Fatalf("Prometheus has ended: %v", cmd.ProcessState)
		default:
		}
		text, _ := os.ReadFile(log.Name())
		m := address.FindSubmatch(text)
		if m != nil {
			p.url = "http://" + string(m[1])
		}
		return m != nil
	})
	p.await("Prometheus is ready", func() bool {
		res, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	p.await("the first scrape", func() bool { return p.value("up") == 1 })
	return p
}

// documented are the samples of docs/metrics.md.
func documented(t *testing.T) (scrape, rules string) {
	t.Helper()
	data, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(data), -1)
	if len(blocks) != 2 {
		t.Fatalf("docs/metrics.md has %d samples, want that of prometheus.yml and that of the rules", len(blocks))
	}
	return blocks[0][1], blocks[1][1]
}

// await waits until Prometheus knows.
func (p *prom) await(what string, ok func() bool) {
	p.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(promPatience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			p.t.Fatalf("%v are over before %s", promPatience, what)
		}
	}
}

// awaitScrapes waits for so many more successful scrapes. The first one may have begun before the call.
func (p *prom) awaitScrapes(n float64) {
	p.t.Helper()
	const scrapes = "sum_over_time(up" + promWindow + ")"
	n += p.value(scrapes)
	p.await("enough scrapes", func() bool { return p.value(scrapes) >= n })
}

// totals are the answers of all slots by class.
func (p *prom) totals() map[string]float64 {
	p.t.Helper()
	totals := map[string]float64{}
	for labels, n := range p.query("sum by (class) (cluster_requests_total)") {
		totals[strings.Trim(strings.TrimPrefix(labels, "{class="), `"}`)] = n
	}
	return totals
}

// value is a query with one result; -1 if there is none.
func (p *prom) value(expr string) float64 {
	p.t.Helper()
	result := p.query(expr)
	if len(result) > 1 {
		p.t.Fatalf("%s has %d results", expr, len(result))
	}
	for _, n := range result {
		return n
	}
	return -1
}

// query is the value of each series now.
func (p *prom) query(expr string) map[string]float64 {
	p.t.Helper()
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	p.get("/api/v1/query?query="+url.QueryEscape(expr), &data)
	result := map[string]float64{}
	for _, r := range data.Result {
		var labels []string
		for _, name := range slices.Sorted(maps.Keys(r.Metric)) {
			labels = append(labels, fmt.Sprintf("%s=%q", name, r.Metric[name]))
		}
		n, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
		if err != nil {
			p.t.Fatalf("%s: %v", expr, err)
		}
		result["{"+strings.Join(labels, ",")+"}"] = n
	}
	return result
}

func (p *prom) get(path string, into any) {
	p.t.Helper()
	res, err := http.Get(p.url + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: into}
	if err := json.NewDecoder(bufio.NewReader(res.Body)).Decode(&answer); err != nil || answer.Status != "success" {
		p.t.Fatalf("%s: %s %s %v", path, res.Status, answer.Error, err)
	}
}

// checkRules looks whether Prometheus could evaluate the documented alerts, and whether those fire that must.
func (p *prom) checkRules() {
	p.t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, State, Health, LastError string }
		}
	}
	p.get("/api/v1/rules", &data)
	states := map[string]string{}
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			states[r.Name] = r.State
			if r.Health != "ok" {
				p.t.Errorf("alert %s: %s %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if len(states) != p.rules {
		p.t.Errorf("%d of %d alerts were loaded", len(states), p.rules)
	}
	for name, want := range map[string]string{
		"ClusterWorkersDie": "firing", "ClusterHandlersPanic": "firing", // that was this test
		"ClusterMasterDown": "inactive", "ClusterNotServing": "inactive", "ClusterRestartAborted": "inactive",
		"ClusterOverloaded": "inactive", "ClusterRequestsStuck": "inactive", "ClusterLogHasHoles": "inactive",
	} {
		if states[name] != want {
			p.t.Errorf("alert %s is %q, want %q", name, states[name], want)
		}
	}
}
