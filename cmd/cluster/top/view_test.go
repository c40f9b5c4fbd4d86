package top

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/metrics"
	"github.com/prefork/cluster/metrics/rates"
)

var update = flag.Bool("update", false, "write the screens of testdata anew")

// noon is now in every test.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)

// blog is a cluster in which a restart is under way and of which everything is known.
func blog() *api.Status {
	memory := metrics.Memory{PSS: 9 << 20, Anonymous: 5 << 20}
	busy := func(requests, p99, cpus float64, parts ...rates.Part) rates.Rates {
		return rates.Rates{
			Window: 10, Requests: requests, CPUs: cpus, Duration: rates.Quantiles{P50: p99 / 8, P90: p99 / 2, P99: p99, P999: p99 * 2},
			Wait: rates.Quantiles{P99: 0.0012}, Time: rates.Split{InFlight: 3, Parts: parts},
		}
	}
	s := &api.Status{
		Name: "blog", State: "restarting", PID: 100, Started: noon.Add(-2 * time.Hour), Mode: "processes", Workers: 3, Threads: 2, Generation: 4,
		Restart:  &plan.Rollout{Generation: 4, From: 3, Outcome: plan.Running, Started: noon.Add(-4 * time.Second), Replaced: 1},
		Backlogs: []api.Backlog{{Bind: "tcp://127.0.0.1:80", Slot: "0", Waiting: 2, Limit: 128}, {Bind: "tcp://127.0.0.1:80", Slot: "1", Limit: 128}},
		Slots: []api.WorkerStatus{
			{
				Slot: 0, Seat: 1, Generation: 4, PID: 4005, State: "ready", Uptime: 3.5, Busy: 2, Threads: 2, Waiting: 1, Open: 12, Requests: 40, Memory: memory,
				Rates: busy(512.4, 0.012, 0.61, rates.Part{Name: rates.IO, Share: 0.62}, rates.Part{Name: rates.CPU, Share: 0.38}),
				ThreadList: []api.Thread{
					{State: "running", For: 0.004, Method: "GET", Path: "/posts/1"},
					{State: "running", For: 12.3, Method: "POST", Path: "/\x1b[31m/\u202eevil/日本\n" + strings.Repeat("x", 80)},
				},
			},
			{
				Slot: 1, Seat: 0, Generation: 3, PID: 4001, State: "draining", Reason: "restart", Uptime: 7200, Busy: 1, Threads: 2, Open: 3, Requests: 90210, Memory: memory,
				Rates: busy(1700, 0.9, 0.2), ThreadList: []api.Thread{{State: "free"}, {State: "reserved"}},
			},
			{Slot: 1, Seat: 1, Generation: 4, PID: 4006, State: "ready", Uptime: 0.4, Threads: 2, ThreadList: []api.Thread{{State: "free"}, {State: "free"}}},
			{Slot: 2, Seat: 0, State: "waiting", Retry: 1.3, Requests: 7},
		},
		Rates: busy(2212.4, 0.031, 0.81, rates.Part{Name: rates.IO, Share: 0.62}, rates.Part{Name: rates.CPU, Share: 0.2},
			rates.Part{Name: rates.Scheduler, Share: 0.11}, rates.Part{Name: rates.Queue, Share: 0.05}, rates.Part{Name: rates.GC, Share: 0.02}),
	}
	s.Rates.Errors = 0.4
	return s
}

func happened(n int) []journal.Event {
	var events []journal.Event
	for i := range n {
		events = append(events, journal.Event{
			ID: uint64(i + 1), Time: noon.Add(time.Duration(i-n) * time.Second), Level: []string{"info", "warn", "error"}[i%3],
			Name: "worker_died", Message: fmt.Sprintf("worker died\x07 (%d)", i), Fields: map[string]any{"a": "b", "slot": i, "err": "a\r\nb"},
		})
	}
	return events
}

// model is one of a size, with some history.
func modelOf(s *api.Status, k Look, width, height, events int) *model {
	m := newModel(k, time.Second, noon.Add(-3*time.Minute), answer{status: s, events: happened(events)})
	m.width, m.height = width, height
	for i := 180; i > 0; i-- {
		m.history.add(noon.Add(-time.Duration(i)*time.Second), float64(2212-i*(i%30)), 0.031*float64(200-i)/200)
	}
	m.now, m.answered = noon, noon
	return m
}

func TestScreens(t *testing.T) {
	t.Parallel()
	zero := &api.Status{Name: "cluster", State: "starting", PID: 7, Started: noon.Add(-time.Second), Workers: 1, Threads: 3, Slots: []api.WorkerStatus{{PID: 8, State: "starting", Threads: 3}}}
	inProcess := blog()
	inProcess.Slots = inProcess.Slots[:1]
	inProcess.Slots[0].Slot, inProcess.Restart, inProcess.State = 0, nil, "ready"
	inProcess.Shares = []api.Share{{Slot: 0}, {Slot: 1}}
	inProcess.Threads = 1
	for _, test := range []struct {
		name          string
		status        *api.Status
		look          Look
		width, height int
		with          func(*model)
	}{
		{"80x24", blog(), Look{}, 80, 24, func(m *model) { m.expandAll() }},
		{"120x40", blog(), Look{}, 120, 40, func(m *model) { m.expandAll(); m.sort = 9; m.key("j") }},
		{"20x5", blog(), Look{}, 20, 5, func(*model) {}},
		{"20x5-question", blog(), Look{}, 20, 5, func(m *model) { m.key("r") }},
		{"80x24-ascii", blog(), Look{ASCII: true}, 80, 24, func(m *model) { m.expandAll() }},
		{"80x24-colour", blog(), Look{Colour: true}, 80, 24, func(*model) {}},
		{"80x24-gone", blog(), Look{}, 80, 24, func(m *model) {
			m.now = noon.Add(12 * time.Second)
			m.take(answer{err: errors.New("no cluster is running: nobody listens on /run/c.sock")})
			m.key("+")
		}},
		{"80x24-help", blog(), Look{}, 80, 24, func(m *model) { m.key("?") }},
		{"80x24-zero", zero, Look{}, 80, 24, func(m *model) { m.events, m.history.buckets = nil, nil }},
		{"80x24-inprocess", inProcess, Look{}, 80, 24, func(m *model) { m.key("enter") }},
		{"once", blog(), Look{}, 0, 0, func(*model) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := modelOf(test.status, test.look, test.width, test.height, 9)
			test.with(m)
			got := strings.ReplaceAll(strings.Join(m.screen(), "\n"), "\x1b", "␛") + "\n"
			path := filepath.Join("testdata", test.name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil || got != string(want) {
				t.Errorf("got (go test -update writes it):\n%s\nwant:\n%s%v", got, want, err)
			}
		})
	}
}

// Whatever the documents are, and the size: no line is wider than the screen for any terminal, there are not more lines,
// and nothing in them controls the terminal.
func TestAnyScreenFits(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		look := Look{ASCII: r.IntN(3) == 0, Colour: r.IntN(3) == 0}
		m := modelOf(anyStatus(r), look, 1+r.IntN(130), 1+r.IntN(50), r.IntN(30))
		for range r.IntN(8) {
			m.key([]string{"a", "enter", "j", "k", "end", "s", "S", "?", "r", "R", "+", "-", "y", "n", "pgdown"}[r.IntN(15)])
		}
		switch r.IntN(4) {
		case 0:
			m.take(answer{err: errors.New(anyText(r))})
		case 1:
			m.take(answer{status: anyStatus(r), events: []journal.Event{{Level: anyText(r), Name: anyText(r), Message: anyText(r), Fields: map[string]any{anyText(r): anyText(r)}}}})
		}
		lines := m.screen()
		if len(lines) > m.height {
			t.Fatalf("%d lines of %d:\n%s", len(lines), m.height, strings.Join(lines, "\n"))
		}
		for _, l := range lines {
			if ansi.StringWidth(l) > m.width || ansi.StringWidthWc(l) > m.width {
				t.Fatalf("wider than %d: %q", m.width, l)
			}
			for _, c := range []code{bold, red, green, yellow, reset} {
				if look.Colour {
					l = strings.ReplaceAll(l, string(c), "")
				}
			}
			if i := strings.IndexFunc(l, func(r rune) bool { return r < ' ' || r == 0x7f || look.ASCII && r > '~' }); i >= 0 {
				t.Fatalf("%q has %q", l, l[i:])
			}
		}
	}
}

func anyText(r *rand.Rand) string {
	alphabet := []string{"a", "Z", "9", " ", "/", "\x1b[2J", "\n", "\r", "\t", "\x00", "\xff", "ä", "日", "👩", "\u200d", "🇩", "🇪", "\u0301", "\u202e", "ש", "\u1100", "\u1161", "\x7f", "\u009b", "·", "█", "…"}
	var b strings.Builder
	for range r.IntN(12) * r.IntN(12) {
		b.WriteString(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

func anyStatus(r *rand.Rand) *api.Status {
	number := func() float64 {
		return []float64{0, -1, 1e-9, 0.5, 1, 99.95, 1e6, 1e18, r.Float64(), r.Float64() * 1e4}[r.IntN(10)]
	}
	anyRates := func() (x rates.Rates) {
		x = rates.Rates{
			Window: number(), Requests: number(), Errors: number(), CPUs: number(), Duration: rates.Quantiles{P50: number(), P99: number()},
			Wait: rates.Quantiles{P99: number()},
		}
		for range r.IntN(7) {
			x.Time.Parts = append(x.Time.Parts, rates.Part{Name: append(rates.Names[:], anyText(r))[r.IntN(len(rates.Names)+1)], Share: number()})
		}
		return x
	}
	s := &api.Status{
		Name: anyText(r), State: anyText(r), PID: r.IntN(3), Workers: r.IntN(70), Threads: r.IntN(4), KeysError: anyText(r), Rates: anyRates(),
		Started: noon.Add(time.Duration(number())),
	}
	if r.IntN(2) == 0 {
		outcomes := []plan.Outcome{plan.Running, plan.Done, plan.Returning, plan.Aborted, plan.Superseded, plan.Cancelled, "new"}
		s.Restart = &plan.Rollout{Outcome: outcomes[r.IntN(len(outcomes))], Replaced: r.IntN(100), Reason: anyText(r), Detail: anyText(r)}
	}
	if r.IntN(4) == 0 {
		s.Shares = []api.Share{{}}
	}
	for range r.IntN(70) {
		k := api.WorkerStatus{
			Slot: r.IntN(64), Seat: r.IntN(2), PID: r.IntN(2) * r.IntN(1<<22), State: []string{"ready", "draining", "waiting", "starting", anyText(r)}[r.IntN(5)], Reason: anyText(r),
			Uptime: number(), Retry: number(), Busy: r.IntN(2000), Waiting: int64(number()), Open: int64(number()), Stalled: r.IntN(9) == 0, Rates: anyRates(),
			Memory: metrics.Memory{PSS: int64(number()), Anonymous: int64(number())},
		}
		for range r.IntN(5) {
			k.ThreadList = append(k.ThreadList, api.Thread{State: anyText(r), For: number(), Method: anyText(r), Path: anyText(r)})
		}
		s.Slots = append(s.Slots, k)
		s.Backlogs = append(s.Backlogs, api.Backlog{Slot: fmt.Sprint(r.IntN(64)), Waiting: r.IntN(9)})
	}
	return s
}
