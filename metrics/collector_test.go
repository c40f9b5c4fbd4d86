package metrics

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/metrics/merge"
	"github.com/prefork/cluster/metrics/rates"
)

var update = flag.Bool("update", false, "write testdata/metrics.txt anew")

// busy is a cluster with something in every series: slot 0 in the middle of a rolling restart, slot 1 after a crash,
// slot 2 removed.
func busy(t testing.TB) *fake {
	t.Helper()
	f := newFake(t, 3, 4)
	f.set(func(v *View) {
		v.Wanted, v.Ready, v.Generation, v.LogDropped = 2, 1, 2, 7
		v.OutputLost[1] = 9
		v.Rollouts[0].Count, v.Rollouts[2].Count = 5, 1
		v.Left[0][1], v.Left[1][0] = 6, 2
		v.Application = Application{
			Series: 2, Dropped: 3, Failures: map[string]int64{"error": 4, "hang": 0},
			Conflicts: map[merge.Conflict]int64{{Metric: "app_total", Reason: merge.TypeConflict}: 5},
		}
		v.Workers = []Worker{
			{Slot: 0, Seat: 0, PID: 100, Generation: 1, State: "draining"},
			{Slot: 0, Seat: 1, PID: 101, Generation: 2, State: "ready", Serves: true, Threads: 4},
			{Slot: 1, Seat: 2, Generation: 2, State: "waiting"},
		}
		v.Time = map[int]rates.Seconds{0: {0.5, 1, 2, 4, 8, 16}, 1: {1, 2, 3, 4, 5, 6}} // nobody has been measured in the third
		share, seconds := 0.125, 1.5
		v.Pressure = rates.Pressure{Of: "cgroup", CPU: &share, Memory: &share, IO: &share, Throttled: &share, ThrottledSeconds: &seconds}
		for seat := range 2 * v.Slots {
			fill(v.Board.Row(seat), int64(seat+1))
		}
		v.Board.Row(1).Heartbeat.Store(testNow - int64(250*time.Millisecond))
		v.Board.Row(0).OldestWaiting.Store(testNow - int64(500*time.Millisecond))
		v.Board.Row(1).OldestWaiting.Store(testNow - int64(1500*time.Millisecond))
		v.Board.Cell(0, 0).Take()
		v.Board.Cell(1, 1).Take()
		v.Board.Cell(1, 3).Take()
		for _, seat := range []int{2, 3, 4, 5} {
			v.Board.Clear(seat)
		}
	})
	return f
}

// One process in all slots: each worker has its own threads, requests and state, and what the process has as a whole is in the
// first slot and counted once.
func TestInProcess(t *testing.T) {
	f := newFake(t, 3, 4)
	f.set(func(v *View) {
		v.Wanted, v.Ready = 3, 3
		v.Workers = []Worker{{PID: 100, Seat: 1, Generation: 2, State: "ready", Serves: true, Threads: 4}}
		for slot := 1; slot < 3; slot++ {
			v.Workers = append(v.Workers, Worker{Slot: slot, Seat: 2*slot + 1, Generation: 2, State: "ready", Serves: true, Threads: 4})
		}
		v.Board.Row(1).Heartbeat.Store(testNow - int64(time.Second))
		v.Board.Row(1).CPU.Store(int64(time.Second))
		v.Board.Row(1).Open.Store(9)
		for slot := range 3 {
			v.Board.Row(2*slot + 1).Requests[1].Store(int64(slot + 5))
			for thread := range slot + 1 {
				v.Board.Cell(2*slot+1, thread).Take()
			}
		}
	})
	got, _ := scrape(t, f)
	sums, series := map[string]float64{}, map[string]string{}
	for name, value := range got {
		family, labels, _ := strings.Cut(name, "{")
		if strings.Contains(labels, "state=") && !strings.Contains(labels, "ready") || strings.Contains(labels, "class=") && !strings.Contains(labels, "2xx") {
			continue
		}
		sums[family] += value
		for slot := range 3 {
			if strings.Contains(labels, fmt.Sprintf(`slot="%d"`, slot)) {
				series[family] += fmt.Sprintf("%d:%v ", slot, value)
			}
		}
	}
	for family, want := range map[string]float64{
		"cluster_workers_wanted": 3, "cluster_workers_ready": 3, "cluster_worker_info": 1, "cluster_worker_state": 3, "cluster_threads": 12,
		"cluster_threads_busy": 6, "cluster_requests_total": 18, "cluster_cpu_seconds_total": 1, "cluster_connections_open": 9,
		"cluster_memory_pss_bytes": 100 << 20, "cluster_memory_anonymous_bytes": 100 << 19, "cluster_worker_heartbeat_age_seconds": 1,
	} {
		if sums[family] != want {
			t.Errorf("the sum of %s is %v (%s), want %v", family, sums[family], series[family], want)
		}
	}
	for slot := range 3 {
		label := fmt.Sprintf(`{slot="%d"}`, slot)
		if got["cluster_threads"+label] != 4 || got["cluster_threads_busy"+label] != float64(slot+1) || got[fmt.Sprintf(`cluster_requests_total{class="2xx",slot="%d"}`, slot)] != float64(slot+5) {
			t.Errorf("slot %d: %v threads, %v busy", slot, got["cluster_threads"+label], got["cluster_threads_busy"+label])
		}
	}
}

func TestGolden(t *testing.T) {
	f := busy(t)
	got := get(t, Handler(f, noMemory(f)), "/metrics").Body.String()
	got = strings.ReplaceAll(got, runtime.Version(), "GO_VERSION")
	got = regexp.MustCompile(`(?m)^(cluster_master_cpu_seconds_total) .*$`).ReplaceAllString(got, "$1 MASKED")

	const file = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	gotLines, wantLines := lineSet(got), lineSet(string(want))
	for _, line := range strings.Split(got, "\n") {
		if !wantLines[line] {
			t.Errorf("+ %s", line)
		}
	}
	for _, line := range strings.Split(string(want), "\n") {
		if !gotLines[line] {
			t.Errorf("- %s", line)
		}
	}
	t.Error("the scrape is not what testdata/metrics.txt has (go test ./metrics -run TestGolden -update writes it anew)")
}

func lineSet(text string) map[string]bool {
	set := map[string]bool{}
	for line := range strings.SplitSeq(text, "\n") {
		set[line] = true
	}
	return set
}

// A counter that appears with its first event has lost that event for Prometheus, which sees no increase.
func TestSeriesExistFromTheStart(t *testing.T) {
	f := newFake(t, 2, 3)
	for _, slots := range []int{2, 3, 7} {
		f.grow(slots)
		got, families := scrape(t, f)
		want := sample{}
		for _, series := range []string{
			`cluster_rolling_restarts_total{outcome="done",reason=""}`, `cluster_rolling_restarts_total{outcome="superseded",reason=""}`,
			`cluster_rolling_restarts_total{outcome="aborted",reason="boot_exit"}`, `cluster_rolling_restarts_total{outcome="aborted",reason="rollback"}`,
			`cluster_log_lines_dropped_total{}`,
			`cluster_application_series_dropped_total{}`,
			`cluster_application_metrics_failures_total{reason="error"}`, `cluster_application_metrics_failures_total{reason="hang"}`,
		} {
			want[series] = 0
		}
		for slot := range slots {
			for _, class := range []string{"1xx", "2xx", "3xx", "4xx", "5xx"} {
				want[fmt.Sprintf(`cluster_requests_total{class=%q,slot="%d"}`, class, slot)] = 0
			}
			for _, part := range []string{"queue", "cpu", "scheduler", "run_queue", "gc", "io"} {
				want[fmt.Sprintf(`cluster_request_time_seconds_total{part=%q,slot="%d"}`, part, slot)] = 0
			}
			for _, reason := range []string{"crash", "restart"} {
				want[fmt.Sprintf(`cluster_worker_exits_total{reason=%q,slot="%d"}`, reason, slot)] = 0
			}
			for name, reasons := range map[string]string{
				"cluster_handoff_connections_total": "pushed hinted drained",
				"cluster_handoff_stayed_total":      "tls http2 hijacked buffered incomplete inbox_full no_target",
			} {
				for reason := range strings.FieldsSeq(reasons) {
					want[fmt.Sprintf(`%s{reason=%q,slot="%d"}`, name, reason, slot)] = 0
				}
			}
			for _, name := range []string{
				"cluster_handoff_received_total", "cluster_handoff_reservation_conflicts_total", "cluster_handoff_reservations_expired_total",
				"cluster_requests_refused_total", "cluster_requests_timed_out_total", "cluster_handler_panics_total", "cluster_connections_accepted_total",
				"cluster_cpu_seconds_total", "cluster_gc_cpu_seconds_total", "cluster_worker_log_lines_dropped_total",
				"cluster_worker_output_dropped_total",
			} {
				want[fmt.Sprintf(`%s{slot="%d"}`, name, slot)] = 0
			}
			for _, name := range []string{"cluster_request_duration_seconds", "cluster_queue_wait_seconds", "cluster_sched_latency_seconds"} {
				want[fmt.Sprintf(`%s_sum{slot="%d"}`, name, slot)] = 0
				want[fmt.Sprintf(`%s_count{slot="%d"}`, name, slot)] = 0
				for i := -17; i <= 7; i++ { // the powers of two of a second
					bound := fmt.Sprint(float64(uint64(1)<<max(i, 0)) / float64(uint64(1)<<max(-i, 0)))
					want[fmt.Sprintf(`%s_bucket{slot="%d",le=%q}`, name, slot, bound)] = 0
				}
			}
		}
		for series := range got {
			if !got.counts(series) || strings.HasPrefix(series, "cluster_master_cpu_seconds_total") {
				delete(got, series)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%d slots:", slots)
			for series := range maps.Keys(want) {
				if value, ok := got[series]; !ok || value != 0 {
					t.Errorf("%s is missing or %v", series, value)
				}
			}
			for series := range maps.Keys(got) {
				if _, ok := want[series]; !ok {
					t.Errorf("%s is unexpected, or this test does not know it yet", series)
				}
			}
		}
		if kind := families["cluster_master_cpu_seconds_total"].kind; kind != "counter" {
			t.Errorf("cluster_master_cpu_seconds_total is a %q", kind)
		}
	}
}

// What a slot counts is the sum of its two rows, series by series.
func TestSeatsAreSummed(t *testing.T) {
	filled := func(a, b int64) sample {
		f := newFake(t, 1, 1)
		fill(f.view.Board.Row(0), a)
		fill(f.view.Board.Row(1), b)
		values, _ := scrape(t, f)
		return values
	}
	first, second, both := filled(3, 0), filled(0, 100), filled(3, 100)
	summed := []string{"cluster_connections_open{", "cluster_requests_waiting{", "cluster_heap_bytes{", "cluster_goroutines{"}
	seen := 0
	for series, value := range both {
		gauge := false
		for _, name := range summed {
			gauge = gauge || strings.HasPrefix(series, name)
		}
		if !gauge && (!both.counts(series) || !strings.Contains(series, `slot="0"`) || strings.HasPrefix(series, "cluster_worker_exits_total") ||
			strings.HasPrefix(series, "cluster_worker_output_") || strings.HasPrefix(series, "cluster_request_time_seconds_total")) { // package rates has summed those
			continue
		}
		seen++
		if first[series]+second[series] != value {
			t.Errorf("%s: %v and %v are %v", series, first[series], second[series], value)
		}
		if empty := strings.Contains(series, "_bucket"); !empty && (first[series] == 0 || second[series] == 0) {
			t.Errorf("%s: seats with %v and %v: this test does not test it", series, first[series], second[series])
		}
	}
	// 4 gauges, 5 classes, 7 other counters, 3 reasons of passing on, 7 against it, 3 others of handoff, 3 histograms of 25 buckets.
	if want := 4 + 5 + 7 + 3 + 7 + 3 + 3*(25+2); seen != want {
		t.Errorf("%d series were looked at, want %d", seen, want)
	}
}

// A cluster's handoffs are those of all its slots and both seats of each.
func TestHandoffOf(t *testing.T) {
	f := newFake(t, 3, 1)
	for seat := range 6 {
		row := &f.view.Board.Row(seat).Handoff
		n := int64(1) << (4 * seat)
		row.Moved[scoreboard.MovedHinted].Store(n)
		row.Stayed[scoreboard.StayedNoTarget].Store(2 * n)
		row.Received.Store(3 * n)
		row.Conflicts.Store(4 * n)
		row.Expired.Store(5 * n)
	}
	for _, test := range []struct {
		first, end int
		n          int64
	}{{0, 0, 0}, {0, 1, 0x11}, {1, 2, 0x1100}, {0, 3, 0x111111}} {
		h, n := HandoffOf(f.view.Board, test.first, test.end), test.n
		if h.Moved["hinted"] != n || h.Moved["pushed"] != 0 || h.Stayed["no_target"] != 2*n || h.Received != 3*n || h.Conflicts != 4*n || h.Expired != 5*n {
			t.Errorf("slots %d to %d: %+v, want a multiple of %#x each", test.first, test.end, h, n)
		}
	}
}

// The master clears a row when its worker has exited.
func TestClearTakesGaugesOnly(t *testing.T) {
	f := newFake(t, 2, 2)
	board := f.view.Board
	for seat := range 4 {
		fill(board.Row(seat), int64(seat+1))
		board.Row(seat).OldestWaiting.Store(1)
		board.Cell(seat, 1).Take()
	}
	before, families := scrape(t, f)
	for seat := range 4 {
		board.Clear(seat)
	}
	after, _ := scrape(t, f)
	for series, value := range before {
		name, _, _ := strings.Cut(series, "{")
		switch {
		case strings.HasPrefix(series, "cluster_master_"):
		case before.counts(series):
			if after[series] != value {
				t.Errorf("%s went from %v to %v", series, value, after[series])
			}
		case families[name].labels == "slot" && after[series] != 0:
			t.Errorf("%s is %v of no worker", series, after[series])
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d series before, %d after", len(before), len(after))
	}
	if before[`cluster_threads_busy{slot="0"}`] != 2 || before[`cluster_oldest_waiting_seconds{slot="0"}`] == 0 {
		t.Error("nothing was busy before")
	}
}

func TestWorkersOfASlot(t *testing.T) {
	beat := func(ages ...time.Duration) func(b *scoreboard.Board) {
		return func(b *scoreboard.Board) {
			for seat, age := range ages {
				b.Row(seat).Heartbeat.Store(testNow - int64(age))
			}
		}
	}
	const none = -1
	for name, tt := range map[string]struct {
		workers   []Worker
		board     func(b *scoreboard.Board)
		states    string // starting ready draining waiting
		threads   float64
		heartbeat float64
		infos     int
	}{
		"no worker":    {states: "0 0 0 0", heartbeat: none},
		"boots":        {[]Worker{{PID: 10, State: "starting"}}, beat(time.Second), "1 0 0 0", 0, none, 1},
		"serves":       {[]Worker{{PID: 10, State: "ready", Serves: true, Threads: 4}}, beat(time.Second), "0 1 0 0", 4, 1, 1},
		"waits":        {[]Worker{{Seat: 1, State: "waiting"}}, beat(time.Second), "0 0 0 1", 0, none, 0},
		"both waiting": {[]Worker{{State: "waiting"}, {Seat: 1, State: "waiting"}}, beat(), "0 0 0 2", 0, none, 0},
		"new one boots": {
			[]Worker{{PID: 10, State: "ready", Serves: true, Threads: 4}, {Seat: 1, PID: 11, State: "starting"}},
			beat(time.Second, 7*time.Second), "1 1 0 0", 4, 1, 2,
		},
		"both serve": {
			[]Worker{{PID: 10, State: "ready", Serves: true, Threads: 4}, {Seat: 1, PID: 11, State: "ready", Serves: true, Threads: 4}},
			beat(time.Second, 3*time.Second), "0 2 0 0", 8, 3, 2,
		},
		"both serve, the other way round": {
			[]Worker{{PID: 10, State: "ready", Serves: true, Threads: 4}, {Seat: 1, PID: 11, State: "ready", Serves: true, Threads: 4}},
			beat(3*time.Second, time.Second), "0 2 0 0", 8, 3, 2,
		},
		"old one drains": {
			[]Worker{{PID: 10, State: "draining"}, {Seat: 1, PID: 11, State: "ready", Serves: true, Threads: 4}},
			beat(9*time.Second, time.Second), "0 1 1 0", 4, 1, 2,
		},
		"both drain": {[]Worker{{PID: 10, State: "draining"}, {Seat: 1, PID: 11, State: "draining"}}, beat(1, 1), "0 0 2 0", 0, none, 2},
		"heartbeat younger than the view": {
			[]Worker{{PID: 10, State: "ready", Serves: true, Threads: 4}}, beat(-time.Millisecond), "0 1 0 0", 4, 0, 1,
		},
		// The row is cleared before the view says that the worker has left. Its heartbeat of 0 is not as old as the machine.
		"has just died": {
			[]Worker{{PID: 10, State: "ready", Serves: true, Threads: 4}},
			func(b *scoreboard.Board) { beat(time.Second)(b); b.Clear(0) }, "0 1 0 0", 4, none, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 2, 4)
			if tt.board != nil {
				tt.board(f.view.Board)
			}
			f.set(func(v *View) { v.Workers = tt.workers })
			got, _ := scrape(t, f)
			var states []string
			for _, state := range f.view.States {
				states = append(states, fmt.Sprint(got[fmt.Sprintf(`cluster_worker_state{slot="0",state=%q}`, state)]))
				if other, ok := got[fmt.Sprintf(`cluster_worker_state{slot="1",state=%q}`, state)]; other != 0 || !ok {
					t.Errorf("slot 1 has %v workers that are %s (%v)", other, state, ok)
				}
			}
			if s := strings.Join(states, " "); s != tt.states {
				t.Errorf("states are %s, want %s", s, tt.states)
			}
			if n := got[`cluster_threads{slot="0"}`]; n != tt.threads {
				t.Errorf("%v threads, want %v", n, tt.threads)
			}
			age, ok := got[`cluster_worker_heartbeat_age_seconds{slot="0"}`]
			if !ok {
				age = none
			}
			if age != tt.heartbeat {
				t.Errorf("heartbeat age %v, want %v", age, tt.heartbeat)
			}
			if _, ok := got[`cluster_worker_heartbeat_age_seconds{slot="1"}`]; ok {
				t.Error("slot 1 has a heartbeat")
			}
			infos := 0
			for series := range got {
				if strings.HasPrefix(series, "cluster_worker_info{") {
					infos++
				}
			}
			if infos != tt.infos {
				t.Errorf("%d workers are alive, want %d", infos, tt.infos)
			}
			var memory int64
			for _, w := range tt.workers {
				memory += int64(w.PID) << 20
			}
			if n := got[`cluster_memory_pss_bytes{slot="0"}`]; n != float64(memory) {
				t.Errorf("PSS is %v, want %d", n, memory)
			}
		})
	}
}

// large is a cluster of so many slots in which both seats have counted something.
func large(t testing.TB, slots, threads int) *fake {
	f := newFake(t, slots, threads)
	f.set(func(v *View) {
		for slot := range slots {
			v.Workers = append(v.Workers, Worker{Slot: slot, Seat: 2 * slot, PID: 1000 + slot, Generation: 1, State: "ready", Serves: true, Threads: threads})
			fill(v.Board.Row(2*slot), 1)
			fill(v.Board.Row(2*slot+1), 2)
		}
	})
	return f
}

// The page of a large cluster is at most 1 MB, as docs/metrics.md says: Prometheus reads it again and again.
func TestSizeOfLargeCluster(t *testing.T) {
	t.Parallel()
	const limit = 1_000_000
	f := large(t, 64, 16)
	w := get(t, Handler(f, noMemory(f)), "/metrics")
	if n := w.Body.Len(); w.Code != http.StatusOK || n > limit || n < limit/10 {
		t.Errorf("status %d and %d bytes, want 200 and at most %d", w.Code, n, limit)
	}
}

func BenchmarkScrape(b *testing.B) {
	for _, slots := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("slots=%d", slots), func(b *testing.B) {
			f := large(b, slots, 16)
			h := Handler(f, noMemory(f))
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				size = get(b, h, "/metrics").Body.Len()
			}
			b.ReportMetric(float64(size), "bytes/scrape")
		})
	}
}
