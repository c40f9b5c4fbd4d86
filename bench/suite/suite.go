// Package suite says what is measured, and which question each table answers. It is data: nothing here measures.
package suite

import (
	"time"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/target"
)

// Suite is a set of measurements that answer a question.
type Suite struct {
	Name     string
	Question string
	Rounds   int // each cell is started once a round
	Cells    []Cell
	Tables   []Table
}

// Cell is a target and the steps that it goes through after one start.
type Cell struct {
	Name  string
	Spec  target.Spec
	Steps []Step
}

// Step is a load, an event, or both: events of a load happen while it runs.
type Step struct {
	Name   string
	Load   load.Plan // zero: none
	Events []Event
	Rest   time.Duration // before memory is read once more
}

// Event is done to a target.
type Event struct {
	What string        // restart, crash, scale +1, scale -1
	At   time.Duration // from the beginning of the load's counted part
}

// Table is one of a suite's tables: a row for each cell, a column for each figure.
type Table struct {
	Title   string
	About   string   // what to read from it
	Steps   []string // a table for each; empty: for each step of the suite, in order
	Across  bool     // instead one table in which the steps are the columns, of the only figure
	Cells   []string // the rows; empty: all
	Base    string   // the cell that others are compared with; empty: nothing is compared
	Compare string   // the figure that is compared
	Figures []string // names of figures (bench/report)
}

// handedOff are the figures of dispatch handoff, and aboutHandoff is how to read them.
var handedOff = []string{"share_max", "handoffs", "hinted", "stayed"}

const aboutHandoff = "What the fullest worker served against the mean says how evenly connections are spread. Handoffs are connections that were passed on to a sibling, " +
	"on a hint those of them that the sibling asked for; stayed, times that one could not be: all per 1,000 requests (‰)."
