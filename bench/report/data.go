package report

import (
	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/stats"
)

// data is the trials by what they measure.
type data struct {
	groups map[record.Key]group
	rounds map[string]int // of each suite
}

// group is the measurements of a cell under a load, without those that failed.
type group struct {
	trials []record.Trial
	again  []record.Trial // of a base that was measured a second time in each round
}

func sorted(trials []record.Trial) data {
	d := data{groups: map[record.Key]group{}, rounds: map[string]int{}}
	for _, t := range trials {
		d.rounds[t.Suite] = max(d.rounds[t.Suite], t.Round)
		if t.Failed != "" {
			continue
		}
		g := d.groups[t.Key()]
		if t.Again {
			g.again = append(g.again, t)
		} else {
			g.trials = append(g.trials, t)
		}
		d.groups[t.Key()] = g
	}
	return d
}

// values of the figure in the trials that have it.
func (f Figure) values(trials []record.Trial) []float64 {
	var values []float64
	for _, t := range trials {
		if value, ok := f.Of(t); ok {
			values = append(values, value)
		}
	}
	return values
}

// text is what a table shows of the trials.
func (f Figure) text(trials []record.Trial) string {
	values := f.values(trials)
	if !f.Total || len(values) == 0 {
		return median(stats.Summarize(values), f.Digits)
	}
	return number(sum(values), f.Digits)
}

func sum(values []float64) (sum float64) {
	for _, value := range values {
		sum += value
	}
	return sum
}

// ratio compares the trials of a group with those of the base in the same rounds.
func (f Figure) ratio(cell []record.Trial, base group) stats.Comparison {
	rounds := map[int]stats.Pair{}
	note := func(trials []record.Trial, put func(*stats.Pair, float64)) {
		for _, t := range trials {
			if value, ok := f.Of(t); ok {
				pair := rounds[t.Round]
				put(&pair, value)
				rounds[t.Round] = pair
			}
		}
	}
	note(cell, func(p *stats.Pair, value float64) { p.Cell = value })
	note(base.trials, func(p *stats.Pair, value float64) { p.Base = value })
	note(base.again, func(p *stats.Pair, value float64) { p.Again = value })
	var pairs []stats.Pair
	for _, pair := range rounds {
		pairs = append(pairs, pair)
	}
	return stats.Ratio(pairs, f.Lower)
}

// some says whether a trial is so.
func some(trials []record.Trial, is func(record.Trial) bool) (n int) {
	for _, t := range trials {
		if is(t) {
			n++
		}
	}
	return n
}
