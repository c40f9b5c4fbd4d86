// Package record is the raw result of benchmarks, from which every table and picture is made: a file of JSON lines, the
// first about the machine and the run, each other one a measurement.
package record

import (
	"time"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/suite"
	"github.com/prefork/cluster/bench/target"
)

// Run is the first line of a file.
type Run struct {
	Format  int               `json:"format"` // Format
	Started time.Time         `json:"started"`
	Command []string          `json:"command"`
	Seed    uint64            `json:"seed"` // of the order of the cells
	Options suite.Options     `json:"options"`
	Version string            `json:"version"` // of cluster
	Commit  string            `json:"commit"`  // of its source; with +dirty if that was changed
	Go      string            `json:"go"`
	Kernel  string            `json:"kernel"`
	CPU     string            `json:"cpu"`  // model
	CPUs    int               `json:"cpus"` // that may be used
	Memory  int64             `json:"memory_bytes"`
	Sysctls map[string]string `json:"sysctls"` // that matter for what is measured
	Host    string            `json:"os"`
	Notes   []string          `json:"notes,omitempty"` // versions of peers, and what was not measured and why
}

// Format is the version of the files.
const Format = 1

// Trial is one measurement: a load on a freshly started target, or on one that has had the loads of the steps before.
type Trial struct {
	Suite  string        `json:"suite"`
	Cell   string        `json:"cell"`            // what was measured, as the tables call it
	Again  bool          `json:"again,omitempty"` // the base cell, a second time in the same round: the noise of the machine
	Step   string        `json:"step"`            // the load, as the tables call it
	Round  int           `json:"round"`           // from 1
	Order  int           `json:"order"`           // of the cell in its round, from 1
	Start  time.Time     `json:"start"`
	Target target.Spec   `json:"target"`
	Argv   []string      `json:"argv"`             // as it was started
	Ready  time.Duration `json:"ready_ns"`         // from its start to its being ready
	Failed string        `json:"failed,omitempty"` // why this is no measurement: the target died, …

	Load   load.Plan      `json:"load,omitzero"`
	Result *load.Result   `json:"result,omitempty"` // nil for a step without load
	Before target.Reading `json:"before,omitzero"`  // around what was counted
	After  target.Reading `json:"after,omitzero"`

	// Final is what the target's own counters say after the last answer, from its start on.
	Final target.Counters `json:"final,omitzero"`

	Idle   target.Memory `json:"memory_idle,omitzero"`   // ready, before the first load
	Loaded target.Memory `json:"memory_loaded,omitzero"` // in the last moments of the load
	Rest   target.Memory `json:"memory_rest,omitzero"`   // after the load, when the target has rested as the step wants

	Events []Event `json:"events,omitempty"` // of the step, such as a rolling restart
}

// Event is something that was done to a target.
type Event struct {
	What  string        `json:"what"`  // restart, crash, scale +1, scale -1
	At    time.Duration `json:"at_ns"` // from the beginning of the load
	Took  time.Duration `json:"took_ns"`
	Error string        `json:"error,omitempty"`
}

// Key says which trials are of the same cell and load.
type Key struct{ Suite, Cell, Step string }

// Key of the trial. That of a base that was measured again is that of the base.
func (t Trial) Key() Key { return Key{t.Suite, t.Cell, t.Step} }

// Serving is the CPU time of those that serve, of what was counted.
func (t Trial) Serving() time.Duration { return t.After.Serving.CPU - t.Before.Serving.CPU }

// CPU is that with the master's.
func (t Trial) CPU() time.Duration { return t.Serving() + t.After.Master.CPU - t.Before.Master.CPU }
