package bench

import (
	"time"

	"github.com/prefork/cluster/bench/suite"
)

// Progress is what is being measured, and how long the session will still take.
type Progress struct {
	Suite, Cell, Step string
	Round, Rounds     int
	Order, Cells      int // in the round
	Left              time.Duration
}

func (s *Session) tell(at place, step string) {
	if s.Progress == nil {
		return
	}
	cells, _ := at.suite.Runs()
	s.Progress(Progress{
		Suite: at.suite.Name, Cell: at.cell.Name, Step: step, Round: at.round, Rounds: at.suite.Rounds,
		Order: at.order, Cells: len(cells), Left: s.clock.left(),
	})
}

// progressClock estimates the time left: what the suites think they take, corrected by how wrong they were until now.
type progressClock struct {
	planned, done, took time.Duration
}

func newProgressClock(suites []suite.Suite) progressClock {
	var c progressClock
	for i := range suites {
		c.planned += time.Duration(suites[i].Rounds) * suites[i].RoundTime()
	}
	return c
}

// passed notes that a cell was measured: a round's time is taken to be spread evenly over its cells.
func (c *progressClock) passed(s *suite.Suite, took time.Duration) {
	cells, _ := s.Runs()
	c.done += s.RoundTime() / time.Duration(len(cells))
	c.took += took
}

func (c *progressClock) left() time.Duration {
	left := max(0, c.planned-c.done)
	if c.done == 0 {
		return left
	}
	return time.Duration(float64(left) * float64(c.took) / float64(c.done))
}
