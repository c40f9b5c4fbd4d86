package report

import (
	"bytes"
	"math"
	"testing"

	"golang.org/x/perf/benchfmt"

	"github.com/prefork/cluster/bench/record"
)

// x/perf reads what was written, with units that it knows, and nothing is lost or wrong.
func TestBenchfmtIsReadBack(t *testing.T) {
	t.Parallel()
	trial := full()
	trial.Suite, trial.Cell, trial.Step = "cost", "2×3 with/without", "10 k"
	failed, again, empty := full(), full(), record.Trial{Suite: "x", Cell: "y", Step: "z"}
	failed.Failed, again.Again = "it died", true
	idle := full()
	idle.Suite, idle.Cell, idle.Step, idle.Result = "memory", "a-4", "idle", nil
	var b bytes.Buffer
	if err := Benchfmt(&b, syntheticRun(), []record.Trial{trial, failed, again, empty, idle}); err != nil {
		t.Fatal(err)
	}
	var results []*benchfmt.Result
	reader := benchfmt.NewReader(&b, "test")
	for reader.Scan() {
		switch r := reader.Result().(type) {
		case *benchfmt.Result:
			results = append(results, r.Clone())
		case *benchfmt.SyntaxError:
			t.Error(r)
		}
	}
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 {
		t.Fatalf("%d results, want those of the two trials that are measurements", len(results))
	}
	r := results[0]
	if r.Name.String() != "Cost/2×3_with_without/10_k-2" || r.Iters != 1000 {
		t.Errorf("%s with %d iterations", r.Name, r.Iters)
	}
	if _, parts := r.Name.Parts(); len(parts) != 3 || string(parts[2]) != "-2" {
		t.Errorf("the parts of the name are %q", parts)
	}
	for key, want := range map[string]string{"goos": "linux", "cpu": "Example 9000 @ 3 GHz", "commit": "0123abc", "go": "go1.26.0", "kernel": "6.18.1"} {
		if got := r.GetConfig(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	for unit, want := range map[string]float64{
		"sec/op": 0.002, "req/s": 500, "cpu-sec/op": 40e-6, "p50-sec": 0.005, "p99-sec": 0.010, "p99.9-sec": 0.011,
		"PSS-bytes": 48 << 20, "ready-sec": 0.045, "lost": 36,
	} {
		if got, ok := r.Value(unit); !ok || math.Abs(got-want) > 1e-9*want {
			t.Errorf("%s is %v, known: %v; want %v", unit, got, ok, want)
		}
	}
	for unit, want := range map[string]int{"sec/op": -1, "req/s": 1, "lost": -1} {
		if got := reader.Units().GetBetter(unit); got != want {
			t.Errorf("better of %s is %d, want %d", unit, got, want)
		}
	}
	if name := results[1].Name.String(); results[1].Iters != 1 || name != "Memory/a-4/idle-2" {
		t.Errorf("of a step without load: %s with %d iterations", name, results[1].Iters)
	}
	if _, ok := results[1].Value("req/s"); ok {
		t.Error("a step without load has a rate")
	}
}
