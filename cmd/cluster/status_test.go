package main

import (
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/master/process"
	"github.com/prefork/cluster/metrics"
	"github.com/prefork/cluster/metrics/rates"
)

func TestShow(t *testing.T) {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	memory := metrics.Memory{PSS: 5 << 20, Anonymous: 3 << 19}
	s := api.Status{
		Name: "blog", State: "degraded", PID: 100, Started: ago(26 * time.Hour), Workers: 4, Threads: 3, Generation: 2, Memory: memory, Limits: process.Limits{Files: 199, FilesMax: 200},
		Program: "/srv/app", ByPath: true, Binds: []string{"tcp://127.0.0.1:80", "tcp://[::1]:80"}, Metrics: "127.0.0.1:9394",
		Backlogs: []api.Backlog{
			{Bind: "tcp://127.0.0.1:80", Slot: "0", Waiting: 5, Limit: 4096},
			{Bind: "tcp://127.0.0.1:80", Slot: "2", Waiting: 6, Limit: 4096},
			{Bind: "tcp://[::1]:80", Slot: "0", Waiting: 12, Limit: 4096},
			{Bind: "tcp://[::1]:80", Slot: "1", Limit: 4096},
			{Bind: "unix:///run/app.sock", Slot: "all", Waiting: 3, Limit: 128},
		},
		Reload:    &api.Reload{At: ago(90 * time.Second), Outcome: api.ReloadPartly, Changes: configs.Changes{Live: []string{"surge"}, Kept: []string{"bind", "name"}}},
		KeysError: "cannot serve tls://[::]:443: certificate: open a.pem: no such file or directory",
		Restart:   &plan.Rollout{Generation: 2, Outcome: plan.Aborted, Reason: "boot_exit", Detail: "exit code 3"},
		Slots: []api.WorkerStatus{
			{Slot: 0, Seat: 1, Generation: 2, PID: 101, State: "ready", Uptime: 75, Busy: 2, Threads: 3, Waiting: 7, Open: 64, Requests: 123456, Memory: memory},
			{Slot: 1, Seat: 2, Generation: 1, PID: 102, State: "draining", Reason: "restart", Uptime: 9.44, Threads: 3},
			{Slot: 2, Seat: 4, State: "waiting", Reason: "", Retry: 1.26, Requests: 5},
			{Slot: 3, Seat: 6, Generation: 2, PID: 103, State: "ready", Stalled: true, Uptime: 3700, Threads: 3},
		},
		Deaths: []api.DeathStatus{{Slot: 2, Death: plan.Death{
			Time: ago(90 * time.Second), PID: 99, Generation: 2, Reason: "signal", Detail: "killed by SIGKILL", Open: 8, Uptime: 0.2,
		}}},
	}
	const want = `cluster "blog" is degraded: 4 workers × 3 threads, generation 2, up 1d02h, master pid 100 (5.0MB)
serving /srv/app (a script, run by its path) on tcp://127.0.0.1:80 tcp://[::1]:80, metrics on http://127.0.0.1:9394/metrics
room for 136 connections a worker: 199 descriptors a process, no core files

SLOT  SEAT  GEN  PID  STATE               UPTIME  BUSY  WAITING  BACKLOG  CONNS  REQUESTS  PSS    ANON
0     1     2    101  ready               1m15s   2/3   7        17       64     123456    5.0MB  1.5MB
1     2     1    102  draining (restart)  9.4s    0/3   0        0        0      0         0.0MB  0.0MB
2     4     -    -    waiting 1.3s        -       -     -        6        -      5         -      -
3     6     2    103  stalled             1h01m   0/3   0        -        0      0         0.0MB  0.0MB
all slots share unix:///run/app.sock: 3 of 128 connections wait there

last restart: to generation 2, aborted (boot_exit): exit code 3

certificates cannot be read, the old ones stay in use: cannot serve tls://[::]:443: certificate: open a.pem: no such file or directory

last reload: in part, 1m30s ago; kept until a new start: bind, name

last deaths:
  slot 2, pid 99, generation 2, 1m30s ago after 0.2s: signal: killed by SIGKILL (8 connections open)
`
	var text strings.Builder
	show(&text, s, false)
	if text.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &text, want)
	}

	// Colour changes no column.
	var painted strings.Builder
	show(&painted, s, true)
	for line, code := range map[string]string{"0     1": green, "1     2": yellow, "2     4": red, "3     6": red, "certificates": red, "last reload": yellow, "  slot 2": red} {
		if !strings.Contains(painted.String(), "\n"+code+line) {
			t.Errorf("the line %q is not %q:\n%q", line, code, &painted)
		}
	}
	if got := strings.NewReplacer(green, "", yellow, "", red, "", plain, "").Replace(painted.String()); got != want {
		t.Errorf("without its colours it is:\n%s", got)
	}
}

// With handoff: how even the workers are loaded, and what that took. Slot 2 has gone.
func TestShowHandoff(t *testing.T) {
	memory := metrics.Memory{PSS: 5 << 20, Anonymous: 3 << 19}
	h := metrics.Handoff{
		Moved: map[string]int64{"pushed": 1234, "hinted": 56, "drained": 7}, Received: 1296,
		Stayed: map[string]int64{"tls": 2, "http2": 0, "hijacked": 0, "buffered": 2, "incomplete": 0, "inbox_full": 0, "no_target": 31},
	}
	s := api.Status{
		Name: "blog", State: "ready", PID: 100, Started: time.Now().Add(-90 * time.Second), Workers: 2, Threads: 3, Generation: 2, Memory: memory,
		Limits: process.Limits{Files: 1 << 20, FilesMax: 1 << 20}, Program: "/srv/app", Binds: []string{"tcp://127.0.0.1:80"},
		Handoff: &api.Handoff{Handoff: h, Shares: []float64{0.5, 0.4567, 0.0433}},
		Rates:   rates.Rates{Window: 12, Requests: 50, Time: rates.Split{Parts: []rates.Part{{Name: rates.Queue, Share: 0.9}, {Name: rates.IO, Share: 0.1}}, Hint: "more threads"}},
		Slots: []api.WorkerStatus{
			{Slot: 0, Seat: 1, Generation: 2, PID: 101, State: "ready", Uptime: 75, Busy: 2, Threads: 3, Waiting: 7, Open: 64, Requests: 5000, Memory: memory},
			{Slot: 1, Seat: 2, State: "waiting", Retry: 1.26, Requests: 4567},
		},
	}
	const want = `cluster "blog" is ready: 2 workers × 3 threads, generation 2, up 1m30s, master pid 100 (5.0MB)
serving /srv/app on tcp://127.0.0.1:80

SLOT  SEAT  GEN  PID  STATE         UPTIME  BUSY  WAITING  BACKLOG  CONNS  REQUESTS  SHARE  PSS    ANON
0     1     2    101  ready         1m15s   2/3   7        -        64     5000      50.0%  5.0MB  1.5MB
1     2     -    -    waiting 1.3s  -       -     -        -        -      4567      45.7%  -      -
handoff since the start: pushed 1234, on a hint 56, drained 7, received 1296; stayed 35 (no_target 31, buffered 2, tls 2)

time of requests (last 12 s, 50 req/s): 90% queue · 10% io, p99 0 µs, queue p99 0 µs
more threads
`
	var text strings.Builder
	show(&text, s, false)
	if text.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &text, want)
	}
	if got, want := handoffLine(&api.Handoff{}), "handoff since the start: pushed 0, on a hint 0, drained 0, received 0; stayed 0"; got != want {
		t.Errorf("of nothing: %q, want %q", got, want)
	}
}

// One process in all slots: it has a line, and each worker has one for its threads.
func TestShowInProcess(t *testing.T) {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	memory := metrics.Memory{PSS: 5 << 20, Anonymous: 3 << 19}
	s := api.Status{
		Name: "blog", Mode: "inprocess", State: "restarting", PID: 100, Started: ago(90 * time.Second), Workers: 2, Threads: 3, Generation: 2, Memory: memory, Limits: process.Limits{Files: 199, FilesMax: 200},
		Program: "/srv/app", Binds: []string{"tcp://127.0.0.1:80"},
		Backlogs: []api.Backlog{{Bind: "tcp://127.0.0.1:80", Slot: "all", Waiting: 3, Limit: 128}},
		Slots: []api.WorkerStatus{
			{Seat: 0, Generation: 1, PID: 101, State: "draining", Reason: "restart", Uptime: 75, Busy: 4, Threads: 6, Open: 7, Requests: 48, Memory: memory},
			{Seat: 1, Generation: 2, PID: 102, State: "ready", Uptime: 9.44, Busy: 1, Threads: 6, Waiting: 1, Open: 8, Requests: 48, Memory: memory},
			{Seat: 0, State: "waiting", Retry: 1.26, Requests: 48},
		},
		Shares: []api.Share{{Slot: 0, Busy: 3, Threads: 6, Requests: 40}, {Slot: 1, Busy: 2, Threads: 6, Requests: 7}, {Slot: 2, Requests: 1}},
		Deaths: []api.DeathStatus{{Death: plan.Death{Time: ago(90 * time.Second), PID: 99, Generation: 1, Reason: "signal", Detail: "killed by SIGKILL", Open: 8, Uptime: 0.2}}},
	}
	const want = `cluster "blog" is restarting: 2 workers × 3 threads in one process, generation 2, up 1m30s, master pid 100 (5.0MB)
serving /srv/app on tcp://127.0.0.1:80
room for 136 connections a process: 199 descriptors a process, no core files

SLOT  SEAT  GEN  PID  STATE               UPTIME  BUSY  WAITING  BACKLOG  CONNS  REQUESTS  PSS    ANON
all   even  1    101  draining (restart)  1m15s   4/6   0        -        7      48        5.0MB  1.5MB
all   odd   2    102  ready               9.4s    1/6   1        -        8      48        5.0MB  1.5MB
all   even  -    -    waiting 1.3s        -       -     -        -        -      48        -      -
all slots share tcp://127.0.0.1:80: 3 of 128 connections wait there

SLOT  BUSY  REQUESTS
0     3/6   40
1     2/6   7
2     0/0   1

last deaths:
  the process, pid 99, generation 1, 1m30s ago after 0.2s: signal: killed by SIGKILL (8 connections open)
`
	var text strings.Builder
	show(&text, s, false)
	if text.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &text, want)
	}
}

func TestTimeLine(t *testing.T) {
	for _, test := range []struct {
		rates rates.Rates
		want  string
	}{
		{rates.Rates{}, ""},
		{rates.Rates{Window: 10, Time: rates.Split{Parts: []rates.Part{}}}, ""},
		{
			rates.Rates{
				Window: 10.4, Requests: 123.4, Duration: rates.Quantiles{P99: 0.012}, Wait: rates.Quantiles{P99: 0.0009},
				Time: rates.Split{Parts: []rates.Part{{Name: rates.IO, Share: 0.62}, {Name: rates.CPU, Share: 0.2}, {Name: rates.Scheduler, Share: 0.18}}},
			},
			"time of requests (last 10 s, 123 req/s): 62% io · 20% cpu · 18% scheduler, p99 12 ms, queue p99 900 µs",
		},
		{
			rates.Rates{Window: 3, Requests: 0.33, Duration: rates.Quantiles{P99: 12.3}, Wait: rates.Quantiles{P99: 0.0044}, Time: rates.Split{Parts: []rates.Part{{Name: rates.Queue, Share: 1}}}},
			"time of requests (last 3 s, 0.3 req/s): 100% queue, p99 12 s, queue p99 4.4 ms",
		},
	} {
		if got := timeLine(&test.rates); got != test.want {
			t.Errorf("%+v: %q, want %q", test.rates, got, test.want)
		}
	}
}

func TestPressureLine(t *testing.T) {
	share := func(x float64) *float64 { return &x }
	for _, test := range []struct {
		pressure rates.Pressure
		want     string
	}{
		{rates.Pressure{}, ""},
		{rates.Pressure{Throttled: share(0), ThrottledSeconds: share(5)}, ""},
		{rates.Pressure{Throttled: share(0.25)}, "throttled: the CPU quota of the cgroup was used up in 25% of its periods"},
	} {
		if got := pressureLine(&test.pressure); got != test.want {
			t.Errorf("%+v: %q, want %q", test.pressure, got, test.want)
		}
	}
}

func TestReloadLine(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		reload *api.Reload
		want   string
	}{
		{nil, ""},
		{&api.Reload{Outcome: api.ReloadUnchanged}, ""},
		{&api.Reload{Outcome: api.ReloadDone, Changes: configs.Changes{Live: []string{"surge"}}}, ""},
		{&api.Reload{Outcome: api.ReloadRefused, Errors: []string{"a:1:1: no"}}, "last reload: refused, 5.0s ago: a:1:1: no"},
		{
			&api.Reload{Outcome: api.ReloadRefused, Errors: []string{"a:1:1: no", "a:2:1: nor this", "a:3:1: nor that"}},
			"last reload: refused, 5.0s ago: a:1:1: no (and 2 more, see cluster config check)",
		},
		{&api.Reload{Outcome: api.ReloadPartly, Changes: configs.Changes{Kept: []string{"bind"}}}, "last reload: in part, 5.0s ago; kept until a new start: bind"},
	} {
		if test.reload != nil {
			test.reload.At = now.Add(-5 * time.Second)
		}
		if got := reloadLine(test.reload, now); got != test.want {
			t.Errorf("%+v: %q, want %q", test.reload, got, test.want)
		}
	}
}
