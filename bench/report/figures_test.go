package report

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/proc"
	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/target"
)

// full is a trial of which everything is known, in round numbers.
func full() record.Trial {
	const mib = 1 << 20
	ms := time.Millisecond
	memory := func(k int64) target.Memory {
		return target.Memory{
			Serving: proc.Memory{
				Processes: 2, Threads: 12, RSS: 30 * k * mib, PSS: 20 * k * mib,
				Anonymous: 15 * k * mib, Shared: 12 * k * mib, Private: 14 * k * mib,
			},
			Master: proc.Memory{Processes: 1, RSS: 9 * k * mib, PSS: 4 * k * mib},
		}
	}
	wait := load.Distribution{Count: 1000, P50: 0, P90: 1 * ms, P99: 2 * ms, P999: 3 * ms, Max: 4 * ms}
	return record.Trial{
		Target: target.Spec{Kind: target.Cluster, Workers: 2, Threads: 4},
		Ready:  45 * ms,
		Load:   load.Plan{Path: "/io"},
		Result: &load.Result{
			Elapsed: 2 * time.Second, Answered: 1000, CPU: 5 * ms,
			Outcomes: map[string]int64{
				"ok": 980, "4xx": 5, "5xx": 15, "refused": 1, "reset": 2, "empty": 3, "truncated": 4, "timeout": 5, "garbled": 6, "closed_idle": 7,
			},
			Latency: load.Distribution{Count: 1000, Mean: 7 * ms, P50: 5 * ms, P90: 9 * ms, P99: 10 * ms, P999: 11 * ms, Max: 12 * ms, SD: 3 * ms},
			Wait:    &wait, Late: &load.Late{Sent: 2000, Late: 50},
		},
		Before: target.Reading{
			Serving: proc.Usage{CPU: 10 * ms, RunQueue: 1 * ms, Voluntary: 100, Involuntary: 10}, Master: proc.Usage{CPU: 1 * ms},
			Counters: target.Counters{
				Known: true, Slots: []int64{100, 200}, GC: 1 * ms,
				SchedBounds: []float64{0.001, 0.002, 0.004}, SchedCounts: []uint64{100, 100, 100},
				Handoff: &target.Handoff{Moved: map[string]int64{"pushed": 10, "hinted": 1, "drained": 0}, Stayed: map[string]int64{"tls": 3}},
			},
		},
		After: target.Reading{
			Serving: proc.Usage{CPU: 50 * ms, RunQueue: 6 * ms, Voluntary: 400, Involuntary: 210}, Master: proc.Usage{CPU: 3 * ms},
			Counters: target.Counters{
				Known: true, Slots: []int64{500, 800}, GC: 3 * ms,
				// 80 of 100 within 1 ms, 18 more within 2 ms, the last 2 within 4 ms: the 99th is in the middle of these.
				SchedBounds: []float64{0.001, 0.002, 0.004}, SchedCounts: []uint64{180, 198, 200},
				Handoff: &target.Handoff{
					Moved:  map[string]int64{"pushed": 30, "hinted": 5, "drained": 1},
					Stayed: map[string]int64{"tls": 3, "no_target": 7, "inbox_full": 1},
				},
			},
		},
		Idle: memory(1), Loaded: memory(2), Rest: memory(3),
		Events: []record.Event{{What: "restart", Took: 1500 * ms}, {What: "scale +1", Took: 500 * ms}},
	}
}

func TestFigures(t *testing.T) {
	t.Parallel()
	want := map[string]float64{
		"rate": 500, "cpu": 40, "cpu_all": 42, "gen_cpu": 5, "efficiency": 25000, "of_slots": 31.25, "ok": 980, "lost": 36, "late": 2.5,
		"p50": 5, "p90": 9, "p99": 10, "p999": 11, "max": 12, "mean": 7, "sd": 3,
		"wait_p50": 0, "wait_p90": 1, "wait_p99": 2, "wait_p999": 3, "wait_max": 4,
		"idle_pss": 20, "loaded_pss": 40, "rest_pss": 60, "master_pss": 8, "sum_pss": 48, "sum_rss": 78,
		"anonymous": 30, "shared": 24, "private": 28, "per_worker_pss": 20, "per_thread_pss": 5,
		"switches": 0.5, "run_queue": 5, "gc": 5, "sched_p99": 3, "share_max": 1.2, "handoffs": 25, "hinted": 4, "stayed": 8, "ready": 45, "event_took": 1.5,
	}
	for _, f := range Figures() {
		value, ok := f.Of(full())
		if expected, listed := want[f.Name]; !listed || !ok || math.Abs(value-expected) > 1e-9 {
			t.Errorf("%s: %v, known: %v; want %v, listed: %v", f.Name, value, ok, expected, listed)
		}
		delete(want, f.Name)
		if f.Header == "" || !strings.HasPrefix(f.Needs, "known only ") {
			t.Errorf("%s has no header, or does not say what it needs: %q", f.Name, f.Needs)
		}
	}
	if len(want) > 0 {
		t.Errorf("there are no figures %v", want)
	}
}

// What was not measured is unknown, never 0.
func TestFiguresUnknown(t *testing.T) {
	t.Parallel()
	change := func(change func(*record.Trial)) record.Trial {
		trial := full()
		change(&trial)
		return trial
	}
	all := make([]string, 0, len(Figures()))
	for _, f := range Figures() {
		all = append(all, f.Name)
	}
	tests := []struct {
		name    string
		trial   record.Trial
		unknown []string
	}{
		{"nothing", record.Trial{}, all},
		{"no load", change(func(t *record.Trial) { t.Result = nil }), []string{
			"rate", "cpu", "cpu_all", "gen_cpu", "efficiency", "of_slots", "ok", "lost", "late", "p50", "p90", "p99", "p999", "max", "mean", "sd",
			"wait_p50", "wait_p90", "wait_p99", "wait_p999", "wait_max", "switches", "run_queue", "handoffs", "hinted", "stayed",
		}},
		{"a tool that knows no tail", change(func(t *record.Trial) { t.Result.Latency.P999 = 0 }), []string{"p999"}},
		{"a closed loop", change(func(t *record.Trial) { t.Result.Wait, t.Result.Late = nil, nil }), []string{
			"late", "wait_p50", "wait_p90", "wait_p99", "wait_p999", "wait_max",
		}},
		{"no cluster", change(func(t *record.Trial) { t.Before.Counters, t.After.Counters = target.Counters{}, target.Counters{} }), []string{
			"gc", "sched_p99", "share_max", "handoffs", "hinted", "stayed",
		}},
		{"a cluster that does not count handoffs, or a record of one", change(func(t *record.Trial) {
			t.Before.Counters.Handoff, t.After.Counters.Handoff = nil, nil
		}), []string{"handoffs", "hinted", "stayed"}},
		{"counters of one reading only", change(func(t *record.Trial) { t.Before.Counters = target.Counters{} }), []string{
			"gc", "sched_p99", "share_max", "handoffs", "hinted", "stayed",
		}},
		{"no schedstat", change(func(t *record.Trial) { t.Before.Serving.RunQueue, t.After.Serving.RunQueue = 0, 0 }), []string{"run_queue"}},
		{"no smaps_rollup", change(func(t *record.Trial) {
			for _, m := range []*target.Memory{&t.Idle, &t.Loaded, &t.Rest} {
				m.Serving = proc.Memory{Processes: 2, RSS: 1 << 20, Note: "no smaps_rollup"}
				m.Master = proc.Memory{Processes: 1, RSS: 1 << 20}
			}
		}), []string{
			"idle_pss", "loaded_pss", "rest_pss", "master_pss", "sum_pss", "anonymous", "shared", "private", "per_worker_pss", "per_thread_pss",
		}},
		{"a master that cannot be read", change(func(t *record.Trial) { t.Loaded.Master.PSS = 0 }), []string{"master_pss", "sum_pss"}},
		{"no master", change(func(t *record.Trial) { t.Loaded.Master = proc.Memory{} }), []string{"master_pss"}},
		{"no number of threads", change(func(t *record.Trial) { t.Target.Threads = 0 }), []string{"of_slots", "per_thread_pss"}},
		{"a load that does not wait", change(func(t *record.Trial) { t.Load.Path = "/plaintext" }), []string{"of_slots"}},
		{"an event failed", change(func(t *record.Trial) { t.Events[1].Error = "no" }), []string{"event_took"}},
	}
	for _, test := range tests {
		var got []string
		for _, f := range Figures() {
			if _, ok := f.Of(test.trial); !ok {
				got = append(got, f.Name)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(test.unknown) {
			t.Errorf("%s: unknown are\n%v, want\n%v", test.name, got, test.unknown)
		}
	}
}

// Memory without a load is that after the step, or of the idle target.
func TestFiguresIdle(t *testing.T) {
	t.Parallel()
	f, _ := Lookup("sum_pss")
	trial := full()
	trial.Loaded = target.Memory{}
	if value, ok := f.Of(trial); !ok || value != 72 {
		t.Errorf("%v, known: %v; want 72", value, ok)
	}
	trial.Rest = target.Memory{}
	if value, ok := f.Of(trial); !ok || value != 24 {
		t.Errorf("%v, known: %v; want 24", value, ok)
	}
}

func TestScheduling(t *testing.T) {
	t.Parallel()
	inf := math.Inf(1)
	tests := []struct {
		name   string
		bounds []float64
		counts []uint64
		want   float64 // ms
		known  bool
	}{
		{"in the first bucket", []float64{0.001, 0.002}, []uint64{100, 100}, 0.99, true},
		{"in the last", []float64{0.001, 0.002}, []uint64{0, 100}, 1.99, true},
		{"beyond the last bound", []float64{0.001, 0.002}, []uint64{50, 60, 100}, 2, true},
		{"in the bucket without end", []float64{0.001, inf}, []uint64{50, 100}, 1, true},
		{"nothing waited", []float64{0.001, 0.002}, []uint64{0, 0}, 0, false},
		{"fewer counts than bounds", []float64{0.001, 0.002}, []uint64{5}, 0, false},
	}
	for _, test := range tests {
		trial := record.Trial{}
		trial.Before.Counters = target.Counters{Known: true, SchedCounts: make([]uint64, len(test.counts))}
		trial.After.Counters = target.Counters{Known: true, SchedBounds: test.bounds, SchedCounts: test.counts}
		if got, known := scheduling(trial); math.Abs(got-test.want) > 1e-9 || known != test.known {
			t.Errorf("%s: %v ms, known: %v; want %v, %v", test.name, got, known, test.want, test.known)
		}
	}
}
