package target

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestArguments(t *testing.T) {
	t.Parallel()
	const head = "start -C /dev/null --control C --bind tcp://A --metrics 127.0.0.1:0 --quiet"
	tests := []struct {
		spec Spec
		want string
	}{
		{Spec{Kind: Cluster}, head},
		{Spec{Kind: Cluster, Workers: 8, Threads: 3, Args: []string{"--settle", "2s"}}, head + " --workers 8 --threads 3 --settle 2s"},
		{
			Spec{
				Kind: Cluster, Mode: "inprocess", Dispatch: "shared", Pool: "queue", Engine: "fasthttp", GVL: true,
				Args: []string{"--log-requests"}, Program: []string{"app", "-x"},
			},
			head + " --mode inprocess --dispatch shared --pool queue --engine fasthttp --gvl --log-requests -- app -x",
		},
		{Spec{Kind: Bare, Peer: "nethttp", Workers: 4}, "bare --addr A --engine nethttp"},
		{Spec{Kind: Bare, Peer: "fasthttp"}, "bare --addr A --engine fasthttp"},
		{Spec{Kind: Bare, Peer: "fasthttp-prefork"}, "bare --addr A --engine fasthttp --prefork"},
		{Spec{Kind: Bare, Peer: "fasthttp-prefork", Workers: 4}, "bare --addr A --engine fasthttp --prefork --processes 4"},
	}
	for _, test := range tests {
		var args []string
		var err error
		if test.spec.Kind == Cluster {
			args = clusterArgs(test.spec, "A", "C")
		} else {
			args, err = bareArgs(test.spec, "A")
		}
		if got := strings.Join(args, " "); err != nil || got != test.want {
			t.Errorf("%+v\ngot  %s, %v\nwant %s", test.spec, got, err, test.want)
		}
	}
}

func TestListeners(t *testing.T) {
	t.Parallel()
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11 1 0 100 0 0 10 0
   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12 1 0 100 0 0 10 0
   2: 0100007F:1F90 0100007F:C000 01 00000000:00000000 00:00000000 00000000  1000        0 13 1 0 100 0 0 10 0
   3: 0100007F:C000 0100007F:1F90 0A 00000000:00000000 00:00000000 00000000  1000        0 14 1 0 100 0 0 10 0
   4: 0100007F:01F9 00000000:0000 0A
`
	if got, want := listeners(table, 8080), []string{"socket:[11]", "socket:[12]"}; !slices.Equal(got, want) {
		t.Errorf("listeners: %v, want %v", got, want)
	}
	if got := listeners(table, 0x1f9); got != nil {
		t.Errorf("listeners of a line that was cut: %v", got)
	}
}

const page = `# TYPE cluster_requests_total counter
cluster_requests_total{class="2xx",slot="0"} 5
cluster_requests_total{class="5xx",slot="0"} 1
cluster_requests_total{class="2xx",slot="2"} 7
cluster_requests_total{class="5xx",slot="2"} 0
# TYPE cluster_gc_cpu_seconds_total counter
cluster_gc_cpu_seconds_total{slot="0"} 0.25
cluster_gc_cpu_seconds_total{slot="2"} 1e-06
# TYPE cluster_sched_latency_seconds histogram
cluster_sched_latency_seconds_bucket{slot="0",le="0.5"} 3
cluster_sched_latency_seconds_bucket{slot="0",le="128"} 4
cluster_sched_latency_seconds_bucket{slot="0",le="+Inf"} 4
cluster_sched_latency_seconds_sum{slot="0"} 1
cluster_sched_latency_seconds_count{slot="0"} 4
cluster_sched_latency_seconds_bucket{slot="2",le="0.5"} 10
cluster_sched_latency_seconds_bucket{slot="2",le="128"} 20
cluster_sched_latency_seconds_bucket{slot="2",le="+Inf"} 20
cluster_sched_latency_seconds_sum{slot="2"} 1
cluster_sched_latency_seconds_count{slot="2"} 20
# TYPE cluster_threads gauge
cluster_threads{slot="0"} 3
`

const handoffPage = `# TYPE cluster_handoff_connections_total counter
cluster_handoff_connections_total{reason="pushed",slot="0"} 3
cluster_handoff_connections_total{reason="hinted",slot="0"} 0
cluster_handoff_connections_total{reason="pushed",slot="2"} 4
cluster_handoff_connections_total{reason="hinted",slot="2"} 5
# TYPE cluster_handoff_received_total counter
cluster_handoff_received_total{slot="0"} 5
cluster_handoff_received_total{slot="2"} 6
# TYPE cluster_handoff_stayed_total counter
cluster_handoff_stayed_total{reason="no_target",slot="0"} 1
cluster_handoff_stayed_total{reason="no_target",slot="2"} 1
cluster_handoff_stayed_total{reason="tls",slot="2"} 0
# TYPE cluster_handoff_reservation_conflicts_total counter
cluster_handoff_reservation_conflicts_total{slot="0"} 8
# TYPE cluster_handoff_reservations_expired_total counter
cluster_handoff_reservations_expired_total{slot="0"} 9
`

func TestCounters(t *testing.T) {
	t.Parallel()
	c, err := parseCounters([]byte(page))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Known || !maps.Equal(c.Requests, map[string]int64{"2xx": 12, "5xx": 1}) || !slices.Equal(c.Slots, []int64{6, 0, 7}) {
		t.Errorf("requests: %+v", c)
	}
	if c.GC != 250*time.Millisecond+time.Microsecond {
		t.Errorf("GC took %v", c.GC)
	}
	if !slices.Equal(c.SchedBounds, []float64{0.5, 128}) || !slices.Equal(c.SchedCounts, []uint64{13, 24}) {
		t.Errorf("latencies: %v %v", c.SchedBounds, c.SchedCounts)
	}
	if _, err := json.Marshal(c); err != nil {
		t.Error(err)
	}
	if c.Handoff != nil {
		t.Errorf("of a cluster that does not count it the handoffs are %+v", c.Handoff)
	}
	if c, err = parseCounters([]byte(page + handoffPage)); err != nil {
		t.Fatal(err)
	}
	want := Handoff{
		Moved: map[string]int64{"pushed": 7, "hinted": 5}, Received: 11, Stayed: map[string]int64{"no_target": 2, "tls": 0}, Conflicts: 8, Expired: 9,
	}
	if !reflect.DeepEqual(c.Handoff, &want) {
		t.Errorf("handoffs: %+v, want %+v", c.Handoff, want)
	}
	for what, bad := range map[string]string{
		"no series":     strings.ReplaceAll(page, "cluster_gc_cpu_seconds_total", "other_seconds_total"),
		"no such slot":  strings.ReplaceAll(page, `class="5xx",slot="2"`, `class="5xx",slot="all"`),
		"not this text": "<html>",
		"empty":         "",
	} {
		if c, err := parseCounters([]byte(bad)); err == nil {
			t.Errorf("%s: %+v and no error", what, c)
		}
	}
}

func TestSettled(t *testing.T) {
	t.Parallel()
	worker := func(state string) workerStatus { return workerStatus{PID: 1, State: state} }
	tests := []struct {
		status status
		want   bool
	}{
		{status{State: "ready", Slots: []workerStatus{worker("ready"), worker("ready")}}, true},
		{status{State: "ready", Slots: []workerStatus{worker("ready"), worker("draining")}}, false},
		{status{State: "starting", Slots: []workerStatus{worker("ready")}}, false},
		{status{State: "degraded", Slots: []workerStatus{worker("waiting")}}, false},
	}
	for _, test := range tests {
		if err := test.status.settled(); (err == nil) != test.want {
			t.Errorf("%+v: %v", test.status, err)
		}
	}
}

// When time is over, the error says what was in the way before, and not that the last look was cut short.
func TestAwait(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	asked := 0
	err := (&Running{spec: Spec{Kind: Cluster}}).await(ctx, 0, func() error {
		if asked++; asked == 1 {
			return errors.New("the door is shut")
		}
		cancel(errors.New("too late"))
		return ctx.Err()
	})
	if want := "cluster: too late: the door is shut"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}
