package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSummarize(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	tests := []struct {
		name   string
		values []float64
		want   Summary
	}{
		{"none", nil, Summary{Median: nan}},
		{"one", []float64{3}, Summary{N: 1, Median: 3}},
		{"five have no interval", []float64{5, 1, 4, 2, 3}, Summary{N: 5, Median: 3}},
		{"six have their extremes", []float64{6, 5, 1, 4, 2, 3}, Summary{N: 6, Median: 3.5, Lo: 1, Hi: 6, Known: true}},
		// The 2nd and the 8th of 9 enclose the median with 96%, the 3rd and the 7th only with 82% (binomial distribution).
		{"nine", []float64{9, 8, 7, 6, 5, 4, 3, 2, 1}, Summary{N: 9, Median: 5, Lo: 2, Hi: 8, Known: true}},
		{"all the same", []float64{2, 2, 2, 2, 2, 2}, Summary{N: 6, Median: 2, Lo: 2, Hi: 2, Known: true}},
	}
	for _, test := range tests {
		before := slices.Clone(test.values)
		got := Summarize(test.values)
		if math.IsNaN(test.want.Median) && math.IsNaN(got.Median) {
			got.Median, test.want.Median = 0, 0
		}
		if got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
		if !slices.Equal(before, test.values) {
			t.Errorf("%s: the values were changed to %v", test.name, test.values)
		}
	}
}

// rounds of the same pair, a little different from round to round so that the medians have intervals.
func rounds(n int, cell, base, again float64) []Pair {
	var pairs []Pair
	for i := range n {
		wobble := 1 + float64(i%3-1)/100
		pairs = append(pairs, Pair{Cell: cell * wobble, Base: base, Again: again})
	}
	return pairs
}

func TestRatio(t *testing.T) {
	t.Parallel()
	// The noise goes from 0.9 to 1.1, the cell from 1.02 to 1.04.
	var noisy []Pair
	for i := range 6 {
		x := math.Sqrt(0.9 + 0.04*float64(i))
		noisy = append(noisy, Pair{Cell: 1.02 + 0.004*float64(i), Base: 1 / x, Again: x})
	}
	tests := []struct {
		name  string
		pairs []Pair
		lower bool
		ratio float64
		noise int
		want  Verdict
	}{
		{"more is worse", rounds(6, 12, 10, 10), true, 1.2, 6, Worse},
		{"more is better", rounds(6, 12, 10, 10), false, 1.2, 6, Better},
		{"less is better", rounds(6, 8, 10, 10), true, 0.8, 6, Better},
		{"less is worse", rounds(6, 8, 10, 10), false, 0.8, 6, Worse},
		{"the interval includes 1", rounds(6, 10, 10, 10), true, 1, 6, NoDifference},
		{"within the noise", noisy, true, 1.03, 6, NoDifference},
		{"too few", rounds(5, 12, 10, 10), true, 1.2, 5, TooFew},
		{"the base measured once", rounds(6, 12, 10, 0), true, 1.2, 0, Worse},
		{"the mean of both", rounds(6, 12, 9, 16), true, 1, 6, NoDifference},
		{"rounds without a base do not count", append(rounds(5, 12, 10, 10), Pair{Cell: 12}), true, 1.2, 5, TooFew},
		{"rounds without the cell do not count", append(rounds(5, 12, 10, 10), Pair{Base: 10, Again: 10}), true, 1.2, 6, TooFew},
		{"not numbers", []Pair{{Cell: math.NaN(), Base: 1}, {Cell: 1, Base: math.Inf(1)}, {Cell: -1, Base: 1}}, true, math.NaN(), 0, TooFew},
	}
	for _, test := range tests {
		got := Ratio(test.pairs, test.lower)
		if got.Verdict != test.want || got.Noise.N != test.noise {
			t.Errorf("%s: %+v, want %q and %d values of noise", test.name, got, test.want, test.noise)
		}
		if math.Abs(got.Ratio.Median-test.ratio) > 1e-3 || math.IsNaN(got.Ratio.Median) != math.IsNaN(test.ratio) {
			t.Errorf("%s: ratio %v, want %v", test.name, got.Ratio.Median, test.ratio)
		}
	}
	// Without the noise beside it the same ratio is a difference.
	for i := range noisy {
		noisy[i].Base, noisy[i].Again = 1, 0
	}
	if got := Ratio(noisy, true); got.Verdict != Worse {
		t.Errorf("without noise: %+v, want worse", got)
	}
}

func TestCompareTable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		before, after []float64
		lower         bool
		delta         float64
		want          Verdict
	}{
		{"apart", []float64{1, 2, 3, 4, 5, 6}, []float64{11, 12, 13, 14, 15, 16}, true, 13.5/3.5 - 1, Worse},
		{"apart, more is better", []float64{1, 2, 3, 4, 5, 6}, []float64{11, 12, 13, 14, 15, 16}, false, 13.5/3.5 - 1, Better},
		{"mixed", []float64{1, 3, 5, 7, 9, 11}, []float64{2, 4, 6, 8, 10, 12}, true, 7./6 - 1, NoDifference},
		{"the same", []float64{2, 2, 2, 2, 2, 2}, []float64{2, 2, 2, 2, 2, 2}, true, 0, NoDifference},
		{"too few", []float64{1, 2, 3, 4, 5}, []float64{11, 12, 13, 14, 15, 16}, true, 3.5, TooFew},
		{"from nothing", []float64{0, 0, 0, 0, 0, 0}, []float64{1, 2, 3, 4, 5, 6}, true, math.NaN(), Worse},
		{"none", nil, nil, true, math.NaN(), TooFew},
	}
	for _, test := range tests {
		got := Compare(test.before, test.after, test.lower)
		if got.Verdict != test.want {
			t.Errorf("%s: %+v, want %q", test.name, got, test.want)
		}
		if math.Abs(got.Delta-test.delta) > 1e-9 || math.IsNaN(got.Delta) != math.IsNaN(test.delta) {
			t.Errorf("%s: delta %v, want %v", test.name, got.Delta, test.delta)
		}
	}
	// The exact p-value of six that all lie above six others: 2 of the C(12,6) = 924 orders.
	if p := Compare(tests[0].before, tests[0].after, true).P; math.Abs(p-2./924) > 1e-12 {
		t.Errorf("p = %v, want 2/924", p)
	}
}

// The machine of the simulations: each round is as fast as the machine is just then (±15%), each trial has noise of its own,
// and some are disturbed and take half as long again.
func trial(r *rand.Rand, round float64) float64 {
	value := 20 * round * math.Exp(0.03*r.NormFloat64())
	if r.Float64() < 0.05 {
		value *= 1.5
	}
	return value
}

// verdicts of 2000 experiments of n rounds in which the cell takes effect times as long as the base.
func verdicts(seed uint64, n int, effect float64, twice bool) map[Verdict]float64 {
	const experiments = 2000
	r := rand.New(rand.NewPCG(seed, 1))
	share := map[Verdict]float64{}
	for range experiments {
		var pairs []Pair
		for range n {
			round := math.Exp(0.15 * r.NormFloat64())
			p := Pair{Cell: effect * trial(r, round), Base: trial(r, round)}
			if twice {
				p.Again = trial(r, round)
			}
			pairs = append(pairs, p)
		}
		share[Ratio(pairs, true).Verdict] += 1. / experiments
	}
	return share
}

// The verdicts are wrong about as often as the confidence says, and no more.
func TestRatioRarelySeesWhatIsNotThere(t *testing.T) {
	t.Parallel()
	for _, n := range []int{6, 10, 20} {
		for _, twice := range []bool{false, true} {
			got := verdicts(uint64(n), n, 1, twice)
			if wrong := got[Better] + got[Worse]; wrong > 0.06 {
				t.Errorf("%d rounds, base twice: %v: %.1f%% false verdicts, want at most 6%%", n, twice, 100*wrong)
			}
		}
	}
}

func TestRatioFindsTenPercent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rounds int
		effect float64
		least  float64 // of the experiments in which it is found
	}{{10, 0.9, 0.7}, {10, 1.1, 0.7}, {20, 0.9, 0.97}, {20, 1.1, 0.97}} {
		got := verdicts(3, test.rounds, test.effect, true)
		right, wrong := got[Worse], got[Better]
		if test.effect < 1 {
			right, wrong = wrong, right
		}
		if right < test.least || wrong > 0.001 {
			t.Errorf("%d rounds, effect %v: found in %.1f%%, the wrong way round in %.1f%% of experiments", test.rounds, test.effect, 100*right, 100*wrong)
		}
	}
}

// Two runs at different times, each on a machine that stays as it is.
func TestCompareSimulated(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 5))
	share := func(effect float64) (shown float64) {
		const experiments = 1000
		for range experiments {
			var before, after []float64
			for range 10 {
				before, after = append(before, trial(r, 1)), append(after, effect*trial(r, 1))
			}
			if Compare(before, after, true).Verdict == Worse || effect == 1 && Compare(before, after, true).Verdict == Better {
				shown += 1. / experiments
			}
		}
		return shown
	}
	if wrong := share(1); wrong > 0.06 {
		t.Errorf("%.1f%% false verdicts, want at most 6%%", 100*wrong)
	}
	if right := share(1.1); right < 0.9 {
		t.Errorf("10%% found in only %.1f%%", 100*right)
	}
}
