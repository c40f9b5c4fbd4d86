package report

import (
	"math"
	"slices"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/suite"
)

func pictures(t *testing.T, def suite.Table, trials []record.Trial) []picture {
	t.Helper()
	def.Title = "T"
	tables, err := sorted(trials).tables(small(), def)
	if err != nil {
		t.Fatal(err)
	}
	var all []picture
	for _, table := range tables {
		all = append(all, table.Pictures...)
	}
	return all
}

func points(p picture) []object { return p.Spec["data"].(object)["values"].([]object) }

func TestPicturesOfATable(t *testing.T) {
	t.Parallel()
	trial := full()
	trial.Suite, trial.Cell, trial.Step, trial.Round = "small", "a", "light", 1
	heavy := trial
	heavy.Step = "heavy"
	trials := []record.Trial{trial, heavy}
	tests := []struct {
		name string
		def  suite.Table
		want []string
	}{
		{"bars", suite.Table{Steps: []string{"light"}, Figures: []string{"rate", "cpu", "gc"}}, []string{"rate, requests/s", "CPU, µs/request"}},
		{"bars of each step", suite.Table{Figures: []string{"cpu"}}, []string{"CPU, µs/request", "CPU, µs/request"}},
		{"no histogram, no distribution", suite.Table{Steps: []string{"light"}, Figures: []string{"p99"}}, nil},
		{"memory", suite.Table{Steps: []string{"light"}, Figures: []string{"idle_pss", "sum_pss"}}, []string{"memory (PSS), MiB"}},
		{"across", suite.Table{Across: true, Figures: []string{"wait_p99"}}, []string{"wait p99, ms"}},
		{"nothing to draw", suite.Table{Cells: []string{"b"}, Steps: []string{"light"}, Figures: []string{"rate"}}, nil},
	}
	for _, test := range tests {
		var got []string
		for _, p := range pictures(t, test.def, trials) {
			got = append(got, p.Title)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestPictureOfBars(t *testing.T) {
	t.Parallel()
	trials := append(measured("a", "light", 100, 101, 102, 103, 104, 105), measured("b", "light", 7)...)
	values := points(pictures(t, suite.Table{Steps: []string{"light"}, Figures: []string{"rate"}}, trials)[0])
	a, b := values[0], values[1]
	if a["cell"] != "a" || a["value"] != 102.5 || a["lo"] != 100. || a["hi"] != 105. {
		t.Errorf("six rounds: %v", a)
	}
	if _, known := b["lo"]; b["cell"] != "b" || b["value"] != 7. || known {
		t.Errorf("one round: %v", b)
	}
}

// The parts of the stack add up to the PSS.
func TestPictureOfMemory(t *testing.T) {
	t.Parallel()
	trial := full()
	trial.Suite, trial.Cell, trial.Step = "small", "a", "light"
	p := pictures(t, suite.Table{Steps: []string{"light"}, Figures: []string{"sum_pss"}}, []record.Trial{trial})[0]
	var sizes []float64
	for _, v := range points(p) {
		sizes = append(sizes, v["value"].(float64))
	}
	if !slices.Equal(sizes, []float64{28, 12, 8}) {
		t.Errorf("private, shared and master are %v MiB, want 28, 12 and 8, which are the 48 of the PSS", sizes)
	}
}

func histogram(t *testing.T, values ...int64) *load.Result {
	t.Helper()
	h := hdrhistogram.New(1, 60_000_000, 3)
	for _, value := range values {
		if err := h.RecordValues(value, 500); err != nil {
			t.Fatal(err)
		}
	}
	text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		t.Fatal(err)
	}
	return &load.Result{Answered: 1, Latency: load.Distribution{HDR: string(text), P50: 1}}
}

// The curve is of the values of all rounds together, not of the medians of percentiles.
func TestPictureOfTheDistribution(t *testing.T) {
	t.Parallel()
	// 2000 values in two rounds: half of them 1 ms, a quarter 2 ms, a quarter 4 ms.
	trials := []record.Trial{
		{Suite: "small", Cell: "a", Step: "light", Round: 1, Result: histogram(t, 1000, 1000)},
		{Suite: "small", Cell: "a", Step: "light", Round: 2, Result: histogram(t, 2000, 4000)},
	}
	all := pictures(t, suite.Table{Steps: []string{"light"}, Figures: []string{"p99"}}, trials)
	if len(all) != 1 {
		t.Fatalf("%d pictures, want 1", len(all))
	}
	for _, v := range points(all[0]) {
		above, want := 1/v["rank"].(float64), 1.
		switch {
		case above < 0.25-1e-9:
			want = 4
		case above < 0.5-1e-9:
			want = 2
		}
		if got := v["value"].(float64); math.Abs(got-want) > 0.01 {
			t.Errorf("%.4f of the values are above %v ms, want %v", above, got, want)
		}
		if above*2000 < 10 {
			t.Errorf("the curve goes on to where only %v values lie above", above*2000)
		}
	}
	if got := all[0].Rows[0]; !slices.Equal(got, []string{"a", "1.000", "4.001", "4.001", unknown, unknown}) {
		t.Errorf("the table of the picture is %q", got)
	}
}

func TestPictureOfTimesWithAZeroIsLinear(t *testing.T) {
	t.Parallel()
	scale := func(values ...object) any { return logarithmic(values)["scale"].(object)["type"] }
	if got := scale(object{"value": 1.}, object{"value": 2., "lo": 0.5}); got != "log" {
		t.Errorf("of positive values: %v", got)
	}
	for _, zero := range []object{{"value": 0.}, {"value": 1., "lo": 0.}} {
		if got := scale(object{"value": 1.}, zero); got != nil {
			t.Errorf("with %v: %v", zero, got)
		}
	}
}
