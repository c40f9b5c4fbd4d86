package suite

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/configs"
)

// Options are what a person may want otherwise. Zero values are defaults.
type Options struct {
	Workers     int           `json:"workers"`              // of the topology that most suites are about: 8
	Threads     int           `json:"threads"`              // the same: 3
	Connections int           `json:"connections"`          // open at a time, of loads that have no reason for a number of their own: 64
	Duration    time.Duration `json:"duration_ns"`          // of the counted part of a load: 3 s
	Warmup      time.Duration `json:"warmup_ns,omitempty"`  // a third of it, at most 1 s
	Rounds      int           `json:"rounds,omitempty"`     // as each suite says
	Quick       bool          `json:"quick,omitempty"`      // everything in a few minutes: fewer cells, short loads
	Tool        load.Tool     `json:"tool"`                 // of closed loops
	Peers       []string      `json:"peers,omitempty"`      // names of descriptions
	AltBinary   string        `json:"alt_binary,omitempty"` // a second build of the command, for the suite runtime
	Program     []string      `json:"program,omitempty"`    // a user's own program instead of the reference application
	Paths       []string      `json:"paths,omitempty"`      // what it is asked for: /
}

func (o *Options) complete() {
	set := func(n *int, value int) {
		if *n == 0 {
			*n = value
		}
	}
	set(&o.Workers, 8)
	set(&o.Threads, 3)
	set(&o.Connections, 64)
	if o.Duration == 0 {
		o.Duration = 3 * time.Second
	}
	if o.Warmup == 0 {
		o.Warmup = min(o.Duration/3, time.Second)
	}
	if o.Tool == load.Wrk || o.Tool == load.AB { // they know whole seconds only
		up := func(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }
		o.Duration, o.Warmup = up(o.Duration), up(o.Warmup)
	}
	if len(o.Paths) == 0 {
		o.Paths = []string{"/"}
	}
}

// maker makes a suite; own says that it can be made of a user's own program, too.
type maker struct {
	name string
	own  bool
	make func(Options) Suite
}

var makers = []maker{
	{"headline", true, headline},
	{"topology", true, topology},
	{"dispatch", true, dispatch},
	{"pool", true, pool},
	{"gvl", true, gvl},
	{"memory", true, memory},
	{"io", false, waits},
	{"cpu", false, cpu},
	{"logging", false, logging},
	{"runtime", true, runtimes},
	{"ab", true, ab},
	{"tail", false, tail},
	{"restart", true, restart},
	{"variance", true, variance},
	{"generator", false, generator},
}

// Names are those of all suites, in their order.
func Names() []string {
	names := make([]string, len(makers))
	for i, m := range makers {
		names[i] = m.name
	}
	return names
}

// All makes all suites, to be listed.
func All(o Options) []Suite {
	o.complete()
	var all []Suite
	for _, m := range makers {
		all = append(all, m.finish(o))
	}
	return all
}

// Make makes the suites of the names.
func Make(names []string, o Options) ([]Suite, error) {
	o.complete()
	var made []Suite
	for _, name := range names {
		i := slices.IndexFunc(makers, func(m maker) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no suite %q%s; the suites are %s", name, configs.DidYouMean(name, "", Names()), strings.Join(Names(), ", "))
		}
		m := makers[i]
		if len(o.Program) > 0 && !m.own {
			return nil, fmt.Errorf("the suite %s needs paths of the reference application, so it cannot measure %s: run it without a program", name, o.Program[0])
		}
		s := m.finish(o)
		if len(s.Cells) == 0 {
			return nil, errors.New("the suite " + name + " has nothing to measure")
		}
		made = append(made, s)
	}
	return made, nil
}

func (m maker) finish(o Options) Suite {
	s := m.make(o)
	s.Name = m.name
	if len(o.Program) > 0 {
		s.measureOwn(o)
	}
	switch {
	case o.Quick:
		budget := quickBudget
		if m.name == "variance" {
			budget = budget * 7 / 25
		}
		s.fit(budget)
	case o.Rounds > 0:
	case s.Rounds == 0:
		s.Rounds = 6
	}
	if o.Rounds > 0 {
		s.Rounds = o.Rounds
	}
	return s
}
