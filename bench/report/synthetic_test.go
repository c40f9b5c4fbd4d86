package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/proc"
	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/suite"
	"github.com/prefork/cluster/bench/target"
)

// The cells of the synthetic run: bare nethttp takes 20 µs a request, the others cost times that.
var synthetic = []struct {
	cell    string
	cost    float64
	workers int
	spec    target.Spec
}{
	{"bare nethttp", 1, 0, target.Spec{Kind: target.Bare, Peer: "nethttp"}},
	{"prefork 2×3 reuseport", 1.02, 2, target.Spec{Kind: target.Cluster, Workers: 2, Threads: 3}},
	{"prefork 2×3 shared", 1.15, 2, target.Spec{Kind: target.Cluster, Workers: 2, Threads: 3, Dispatch: "shared"}},
	{"inprocess 2×3", 0.9, 1, target.Spec{Kind: target.Cluster, Workers: 2, Threads: 3, Mode: "inprocess"}},
	{"nginx", 0.6, 2, target.Spec{Kind: target.Peer, Peer: "nginx"}},
}

func suites() []suite.Suite {
	closed := load.Plan{Path: "/plaintext", Connections: 64, Duration: 5 * time.Second}
	loads := []suite.Step{{Name: "plaintext", Load: closed}, {Name: "10k", Load: closed}}
	var fractions []suite.Step
	for _, share := range []int{50, 70, 90} {
		fractions = append(fractions, suite.Step{Name: fmt.Sprintf("%d%%", share), Load: load.Plan{Path: "/io", Rate: float64(share)}})
	}
	cost := suite.Suite{
		Name: "cost", Question: "What does a topology cost?", Rounds: 10,
		Tables: []suite.Table{
			{
				Title: "Cost", About: "CPU time tells more than the rate.", Base: "bare nethttp", Compare: "cpu",
				Figures: []string{"rate", "cpu", "cpu_all", "switches", "run_queue", "gc", "share_max"},
			},
			{Title: "Latency", Steps: []string{"plaintext"}, Figures: []string{"p50", "p90", "p99", "p999", "max"}},
			{
				Title: "Memory", Steps: []string{"10k"}, Cells: []string{"bare nethttp", "prefork 2×3 reuseport", "inprocess 2×3"},
				Figures: []string{"idle_pss", "loaded_pss", "master_pss", "sum_pss", "per_worker_pss", "per_thread_pss"},
			},
		},
	}
	tail := suite.Suite{
		Name: "tail", Question: "How long do requests wait?", Rounds: 5,
		Tables: []suite.Table{
			{Title: "Waiting, p99", Across: true, Base: "prefork 2×3 reuseport", Compare: "wait_p99", Figures: []string{"wait_p99"}},
			{Title: "Waiting", Figures: []string{"wait_p50", "wait_p99", "late"}},
		},
	}
	restart := suite.Suite{
		Name: "restart", Question: "Does a rolling restart lose anything?", Rounds: 3,
		Tables: []suite.Table{{Title: "Restart", Figures: []string{"event_took", "p99"}}},
	}
	for i, c := range synthetic {
		cost.Cells = append(cost.Cells, suite.Cell{Name: c.cell, Spec: c.spec, Steps: loads})
		if i > 0 && i < 4 {
			tail.Cells = append(tail.Cells, suite.Cell{Name: c.cell, Spec: c.spec, Steps: fractions})
		}
	}
	restart.Cells = []suite.Cell{{Name: "prefork 2×3 reuseport", Spec: synthetic[1].spec, Steps: []suite.Step{{Name: "restart"}}}}
	return []suite.Suite{cost, tail, restart, {Name: "idle", Question: "Not in this run."}}
}

func syntheticRun() record.Run {
	return record.Run{
		Format: record.Format, Started: time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC), Command: []string{"cluster", "bench", "cost", "tail"}, Seed: 42,
		Version: "v1.2.3", Commit: "0123abc", Go: "go1.26.0", Kernel: "6.18.1", CPU: "Example 9000 @ 3 GHz", CPUs: 2, Memory: 8 << 30,
		Sysctls: map[string]string{"net.core.somaxconn": "4096", "net.ipv4.ip_local_port_range": "1024 65535"}, Host: "Debian 13",
	}
}

// syntheticTrials are plausible and the same for the same seed. With effect all costs are multiplied.
func syntheticTrials(tb testing.TB, seed uint64, effect float64) []record.Trial {
	tb.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	var trials []record.Trial
	for round := 1; round <= 10; round++ {
		machine := math.Exp(0.1 * r.NormFloat64())
		for i, c := range synthetic {
			for again := range 2 {
				if again == 1 && i > 0 {
					continue
				}
				for step, name := range []string{"plaintext", "10k"} {
					µs := 20 * c.cost * effect * (1 + 0.4*float64(step)) * machine * math.Exp(0.02*r.NormFloat64())
					t := closed(tb, r, c.spec, c.workers, µs)
					t.Suite, t.Cell, t.Step, t.Round, t.Order, t.Again = "cost", c.cell, name, round, i+1, again == 1
					trials = append(trials, t)
				}
			}
		}
	}
	for round := 1; round <= 5; round++ {
		for i, c := range synthetic[1:4] {
			for _, share := range []float64{0.5, 0.7, 0.9} {
				t := open(r, c.spec, c.workers, share, effect)
				t.Suite, t.Cell, t.Step, t.Round, t.Order = "tail", c.cell, fmt.Sprintf("%.0f%%", 100*share), round, i+1
				trials = append(trials, t)
			}
		}
	}
	// What does not go well: a target dies, the generator is too slow, requests are lost, the machine or a tool does not tell.
	for i := range trials {
		t := &trials[i]
		switch {
		case t.Cell == "prefork 2×3 shared" && t.Step == "10k" && (t.Round == 3 || t.Round == 4):
			t.Failed, t.Result = "the target died: exit status 2", nil
		case t.Cell == "nginx":
			t.Result.Bottleneck = t.Step == "plaintext" && t.Round > 2
			t.After.Serving.RunQueue, t.After.Serving.Note = 0, "no run-queue wait: this kernel has no schedstat"
		case t.Cell == "inprocess 2×3" && t.Suite == "cost" && t.Step == "plaintext" && t.Round == 7:
			t.Result.Outcomes["reset"], t.Result.First = 3, "read tcp 127.0.0.1:40000->127.0.0.1:9292: connection reset by peer"
		}
	}
	for round := 1; round <= 3; round++ {
		t := closed(tb, r, synthetic[1].spec, 2, 20)
		t.Suite, t.Cell, t.Step, t.Round, t.Order = "restart", synthetic[1].cell, "restart", round, 1
		t.Events = []record.Event{{What: "restart", At: time.Second, Took: time.Duration(1800+100*round) * time.Millisecond}}
		if round == 2 {
			t.Events[0].Took, t.Events[0].Error = 0, "slot 1 did not become ready within 60s"
		}
		trials = append(trials, t)
	}
	return trials
}

func closed(tb testing.TB, r *rand.Rand, spec target.Spec, workers int, µs float64) record.Trial {
	tb.Helper()
	h := hdrhistogram.New(1, 60_000_000, 3)
	for range 3000 {
		if err := h.RecordValue(int64(50 + 20*µs*math.Exp(0.6*r.NormFloat64()))); err != nil {
			tb.Fatal(err)
		}
	}
	encoded, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		tb.Fatal(err)
	}
	elapsed := 5 * time.Second
	answered := int64(1.6 * elapsed.Seconds() * 1e6 / µs)
	at := func(p float64) time.Duration { return time.Duration(h.ValueAtPercentile(p)) * time.Microsecond }
	t := record.Trial{Target: spec, Ready: time.Duration(40+r.IntN(20)) * time.Millisecond}
	t.Result = &load.Result{
		Elapsed: elapsed, Answered: answered, Outcomes: map[string]int64{"ok": answered}, CPU: time.Duration(float64(answered)*8) * time.Microsecond,
		Latency: load.Distribution{
			Count: answered, Mean: time.Duration(h.Mean()) * time.Microsecond, P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: at(100),
			HDR: string(encoded),
		},
	}
	n := float64(answered)
	t.After.Serving = proc.Usage{
		CPU: time.Duration(n*µs) * time.Microsecond, RunQueue: time.Duration(n*µs/5) * time.Microsecond,
		Voluntary: answered / 3, Involuntary: answered / 50,
	}
	servers := float64(max(workers, 1))
	for memory, size := range map[*target.Memory]float64{&t.Idle: 4, &t.Loaded: 9, &t.Rest: 8} {
		*memory = target.Memory{Serving: proc.Memory{Processes: max(workers, 1), Threads: 6 * max(workers, 1)}}
		memory.Serving.Private = int64(size * servers * (1 << 20))
		memory.Serving.PSS = memory.Serving.Private + 5<<20
		memory.Serving.RSS = memory.Serving.Private + int64(5*servers)<<20
	}
	t.Loaded.Serving.PSS += int64(r.IntN(1 << 20))
	if spec.Kind == target.Cluster {
		t.After.Master.CPU = time.Duration(n*0.1) * time.Microsecond
		t.Idle.Master = proc.Memory{Processes: 1, PSS: 3 << 20, RSS: 9 << 20}
		t.Loaded.Master, t.Rest.Master = t.Idle.Master, t.Idle.Master
		t.Before.Counters = target.Counters{Known: true, Slots: make([]int64, workers)}
		t.After.Counters = target.Counters{Known: true, GC: time.Duration(n*µs/25) * time.Microsecond, Slots: make([]int64, workers)}
		for slot := range workers {
			t.After.Counters.Slots[slot] = answered/int64(workers) + int64(slot)*answered/50
		}
	}
	return t
}

// open is a queue: the wait grows as 1/(1 − load).
func open(r *rand.Rand, spec target.Spec, workers int, share, effect float64) record.Trial {
	wait := func(nines float64) time.Duration {
		ms := effect * nines * share / (1 - share) * (1 + 0.3*float64(workers)) * math.Exp(0.05*r.NormFloat64())
		return time.Duration(ms * float64(time.Millisecond))
	}
	d := load.Distribution{Count: 9000, P50: wait(0.7), P90: wait(2.3), P99: wait(4.6), P999: wait(6.9), Max: wait(9)}
	return record.Trial{Target: spec, Ready: 50 * time.Millisecond, Load: load.Plan{Rate: 1000 * share}, Result: &load.Result{
		Elapsed: 10 * time.Second, Answered: 9000, Outcomes: map[string]int64{"ok": 9000}, Latency: d, Wait: &d,
		Late: &load.Late{Sent: 9000, Late: int64(r.IntN(30))},
	}}
}
