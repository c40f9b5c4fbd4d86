package main

import (
	"fmt"
	"math"

	"golang.org/x/perf/benchmath"
)

// table prints the trials and remembers them for the summary.
type table struct {
	noise       []float64
	base        results
	against     []results
	names       []string
	nameColumns int
}

// results of a side, a value a trial.
type results struct{ perRequest, ratio, master, rate []float64 }

func newTable(against []side) *table {
	t := &table{against: make([]results, len(against)), nameColumns: len("side")}
	for _, s := range against {
		t.names = append(t.names, s.name)
		t.nameColumns = max(t.nameColumns, len(s.name))
	}
	fmt.Printf("round  %-*s    base    side    base  side/base  base/base  master  requests/s\n", t.nameColumns, "side")
	return t
}

// add takes the run of a side, which is compared with the mean of the base's runs on both sides of it: a drift of the
// machine cancels.
func (t *table) add(side, round int, before, got, after trial) {
	a, b, c := before.perRequest(), got.perRequest(), after.perRequest()
	ratio, noise := 2*b/(a+c), c/a
	t.noise = append(t.noise, noise)
	r := &t.against[side]
	r.note(got)
	r.ratio = append(r.ratio, ratio)
	fmt.Printf("%5d  %-*s  %6.2f  %6.2f  %6.2f  %9.3f  %9.3f  %6.3f  %10.0f\n",
		round, t.nameColumns, t.names[side], a, b, c, ratio, noise, got.masterPerRequest(), rate(got))
}

func (r *results) note(t trial) {
	r.perRequest = append(r.perRequest, t.perRequest())
	r.master = append(r.master, t.masterPerRequest())
	r.rate = append(r.rate, rate(t))
}

func rate(t trial) float64 { return float64(t.Requests) / t.Length.Seconds() }

func (t *table) summary(base side, against []side) {
	fmt.Println("\nmedians with 95% intervals")
	for i, s := range against {
		r := t.against[i]
		fmt.Printf("%s / %s: %s, %d rounds\n", s.name, base.name, interval(r.ratio, 3), len(r.ratio))
		fmt.Printf("    µs per request %s, master besides %s; requests/s %s\n", interval(r.perRequest, 2), interval(r.master, 3), interval(r.rate, 0))
	}
	fmt.Printf("%s / %s (noise): %s, %d pairs\n", base.name, base.name, interval(t.noise, 3), len(t.noise))
	fmt.Printf("    µs per request %s, master besides %s; requests/s %s\n", interval(t.base.perRequest, 2), interval(t.base.master, 3), interval(t.base.rate, 0))
}

func interval(values []float64, digits int) string {
	s := benchmath.AssumeNothing.Summary(benchmath.NewSample(values, &benchmath.DefaultThresholds), 0.95)
	if math.IsInf(s.Lo, 0) || math.IsInf(s.Hi, 0) {
		return fmt.Sprintf("%.*f (too few for an interval)", digits, s.Center)
	}
	return fmt.Sprintf("%.*f (%.*f to %.*f)", digits, s.Center, digits, s.Lo, digits, s.Hi)
}
