package suite

import (
	"slices"
	"time"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/target"
)

// quickBudget is how long a suite may take with Quick; variance has 42 s.
const quickBudget = 150 * time.Second

// What a trial takes beside its loads, for estimates: start and stop of a target, and the beginning and end of a load.
const (
	aroundTarget = 900 * time.Millisecond
	aroundLoad   = 120 * time.Millisecond
)

// The shortest and the longest counted part of a load with Quick.
const (
	shortest = 500 * time.Millisecond
	longest  = 3 * time.Second
)

// Bases are the cells that others are compared with. Each is measured twice in a round, to show the noise.
func (s *Suite) Bases() []string {
	var names []string
	for _, t := range s.Tables {
		if t.Base != "" && !slices.Contains(names, t.Base) {
			names = append(names, t.Base)
		}
	}
	return names
}

// Runs are the cells that a round starts: all, and the bases once more behind them.
func (s *Suite) Runs() (cells []Cell, again int) {
	cells, bases := slices.Clone(s.Cells), s.Bases()
	for _, c := range s.Cells {
		if slices.Contains(bases, c.Name) {
			cells = append(cells, c)
			again++
		}
	}
	return cells, again
}

// RoundTime is about how long one round takes.
func (s *Suite) RoundTime() time.Duration {
	sum, _ := s.cost(func(p load.Plan) time.Duration { return p.Warmup + p.Duration })
	return sum
}

// cost is the time of a round, and how many of its loads can be shortened: those take what of says.
func (s *Suite) cost(of func(load.Plan) time.Duration) (sum time.Duration, elastic int) {
	cells, _ := s.Runs()
	for _, c := range cells {
		sum += aroundTarget
		for _, step := range c.Steps {
			sum += aroundLoad + step.Rest
			if step.elastic() {
				elastic++
				sum += of(step.Load)
				continue
			}
			sum += max(step.Load.Warmup+step.Load.Duration, 2*time.Second)
		}
	}
	return sum, elastic
}

// elastic is false for loads whose length has a reason: events, a number of requests, a tool that knows whole seconds only.
func (s Step) elastic() bool {
	return s.Load.Path != "" && s.Load.Requests == 0 && len(s.Events) == 0 && (s.Load.Tool == load.Builtin || s.Load.Tool == "")
}

// fit shortens the loads so that six rounds take the time, which is the fewest that show an interval. Before loads become
// shorter than the shortest, there are fewer rounds.
func (s *Suite) fit(budget time.Duration) {
	fixed, loads := s.cost(func(load.Plan) time.Duration { return 0 })
	each := shortest
	for s.Rounds = 6; s.Rounds > 1; s.Rounds-- {
		left := budget/time.Duration(s.Rounds) - fixed
		if each = left / time.Duration(max(loads, 1)) * 4 / 5; each >= shortest { // a fifth is warm-up
			break
		}
	}
	each = min(max(each, shortest), longest).Round(10 * time.Millisecond)
	for i := range s.Cells {
		c := &s.Cells[i]
		c.Steps = slices.Clone(c.Steps) // cells share them
		for j := range c.Steps {
			step := &c.Steps[j]
			if !step.elastic() {
				continue
			}
			step.Load.Duration = each
			if c.Spec.Kind != target.Peer { // which need theirs
				step.Load.Warmup = each / 4
			}
		}
	}
}
