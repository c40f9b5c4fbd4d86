// Package stats says what repeated measurements show, and admits when they show nothing.
//
// Invariant: nothing is assumed about how the values are distributed. Summaries are medians with intervals of order
// statistics, comparisons are of ranks or of paired ratios, and with fewer than Enough values there is no interval and no verdict.
package stats

import (
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// Confidence of all intervals. It is at least this: with few values the next interval of order statistics is wider.
const Confidence = 0.95

// Enough is the number of values from which the interval of a median has ends: the extremes of n values enclose it with
// probability 1 − 2·½ⁿ, which is 94% for 5 and 97% for 6.
const Enough = 6

// Summary of values: their median and its confidence interval.
type Summary struct {
	N      int
	Median float64
	Lo, Hi float64 // the interval, if Known
	Known  bool    // there were Enough values
}

// Summarize finds the median and its interval. The interval is that of order statistics (David and Nagaraja, Order Statistics,
// 3rd edition, section 7.1), by benchmath.AssumeNothing, which benchstat uses. Of no values the median is NaN.
func Summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{Median: math.NaN()}
	}
	s := benchmath.AssumeNothing.Summary(sample(values), Confidence)
	if math.IsInf(s.Lo, 0) || math.IsInf(s.Hi, 0) {
		return Summary{N: len(values), Median: s.Center}
	}
	return Summary{N: len(values), Median: s.Center, Lo: s.Lo, Hi: s.Hi, Known: true}
}

// sample copies the values, because benchmath sorts them in place.
func sample(values []float64) *benchmath.Sample {
	return benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
}

// Verdict of a comparison.
type Verdict string

// The verdicts. NoDifference is not a proof that there is none.
const (
	Better       Verdict = "better"
	Worse        Verdict = "worse"
	NoDifference Verdict = "~"
	TooFew       Verdict = "" // values for any verdict
)

// Pair is what one round measured of a cell and of the base it is compared with.
type Pair struct {
	Cell  float64
	Base  float64
	Again float64 // the base, measured a second time in the round; 0: it was not
}

// Comparison of a cell with the base.
type Comparison struct {
	Ratio   Summary // cell ÷ base
	Noise   Summary // base again ÷ base: what the machine does without any difference (A/A)
	Verdict Verdict
}

// Ratio compares a cell with the base round by round, so that a drift of the machine from round to round cancels. Where the
// base was measured twice in a round, its geometric mean counts: that of the arithmetic one the ratio's median would be
// off by the skew of the values (the maximum of latencies, say), and cell ÷ base would not be the inverse of base ÷ cell.
//
// A difference is shown if the interval of the ratio's median does not include 1, and does not lie wholly within that of
// the noise. Rounds with a value that is not a positive number are left out.
func Ratio(pairs []Pair, lowerIsBetter bool) Comparison {
	var ratios, noise []float64
	for _, p := range pairs {
		base := p.Base
		if positive(p.Again) && positive(p.Base) {
			base = math.Sqrt(p.Base * p.Again)
			noise = append(noise, p.Again/p.Base)
		}
		if positive(p.Cell) && positive(base) {
			ratios = append(ratios, p.Cell/base)
		}
	}
	c := Comparison{Ratio: Summarize(ratios), Noise: Summarize(noise)}
	within := c.Noise.Known && c.Noise.Lo <= c.Ratio.Lo && c.Ratio.Hi <= c.Noise.Hi
	switch {
	case !c.Ratio.Known:
		c.Verdict = TooFew
	case c.Ratio.Lo <= 1 && 1 <= c.Ratio.Hi || within:
		c.Verdict = NoDifference
	default:
		c.Verdict = verdict(c.Ratio.Median < 1, lowerIsBetter)
	}
	return c
}

func positive(value float64) bool { return value > 0 && !math.IsInf(value, 1) }

func verdict(lower, lowerIsBetter bool) Verdict {
	if lower == lowerIsBetter {
		return Better
	}
	return Worse
}

// Change between two sets of values that have nothing to do with each other, such as those of two runs.
type Change struct {
	Old, New Summary
	Delta    float64 // new median ÷ old median − 1; NaN if the old one is 0
	P        float64 // of the test, if Verdict is not TooFew
	Verdict  Verdict
}

// Alpha is the p-value from which on a change is taken for chance: of 20 comparisons of equal things about one seems to differ.
const Alpha = 1 - Confidence

// Compare tells two sets apart by the Mann–Whitney U test (Annals of Mathematical Statistics 18, 1947; exact for small sets),
// by benchmath.AssumeNothing.
func Compare(before, after []float64, lowerIsBetter bool) Change {
	c := Change{Old: Summarize(before), New: Summarize(after), Delta: math.NaN(), P: math.NaN()}
	if c.Old.N > 0 && c.New.N > 0 && c.Old.Median != 0 {
		c.Delta = c.New.Median/c.Old.Median - 1
	}
	if !c.Old.Known || !c.New.Known {
		return c
	}
	c.P = benchmath.AssumeNothing.Compare(sample(before), sample(after)).P
	if c.P >= Alpha || c.New.Median == c.Old.Median {
		c.Verdict = NoDifference
	} else {
		c.Verdict = verdict(c.New.Median < c.Old.Median, lowerIsBetter)
	}
	return c
}
