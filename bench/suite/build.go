package suite

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/target"
	"github.com/prefork/cluster/configs"
)

// prefork is workers × threads of the command, on net/http.
func prefork(workers, threads int) target.Spec {
	return target.Spec{Kind: target.Cluster, Workers: workers, Threads: threads}
}

// inprocess is as many threads in one process, which take from one queue or, in each connection, from one semaphore.
func inprocess(workers, threads int, pool string) target.Spec {
	return target.Spec{Kind: target.Cluster, Mode: "inprocess", Workers: workers, Threads: threads, Pool: pool}
}

// bare is one process on an engine without anything of the command around it: the control.
func bare(engine string) target.Spec { return target.Spec{Kind: target.Bare, Peer: engine} }

func fasthttp(s target.Spec) target.Spec { s.Engine = "fasthttp"; return s }

func with(s target.Spec, args ...string) target.Spec { s.Args = args; return s }

func env(s target.Spec, variables ...string) target.Spec { s.Env = variables; return s }

// size is how people write workers × threads.
func size(workers, threads int) string { return fmt.Sprintf("%d×%d", workers, threads) }

// paths are steps of closed loops, one a path.
func (o Options) paths(paths ...string) []Step {
	steps := make([]Step, 0, len(paths))
	for _, p := range paths {
		steps = append(steps, Step{Name: p, Load: o.closed(p)})
	}
	return steps
}

func (o Options) closed(path string) load.Plan {
	return load.Plan{Tool: o.Tool, Path: path, Connections: o.Connections, Warmup: o.Warmup, Duration: o.Duration}
}

// cells are the specs with the same steps.
func cells(steps []Step, named ...any) []Cell {
	var all []Cell
	for i := 0; i < len(named); i += 2 {
		all = append(all, Cell{Name: named[i].(string), Spec: named[i+1].(target.Spec), Steps: steps})
	}
	return all
}

// peerWarmup is for peers whose language compiles what runs often: before it has, a request may cost many times as much.
const peerWarmup = 2 * time.Second

// peers are those that were asked for, with the steps, and with time to warm up.
func (o Options) peers(steps []Step, only ...string) []Cell {
	steps = slices.Clone(steps)
	for i := range steps {
		if p := &steps[i].Load; p.Path != "" && p.Requests == 0 {
			p.Warmup = max(p.Warmup, peerWarmup)
		}
	}
	var all []Cell
	for _, name := range o.Peers {
		if len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
		all = append(all, Cell{
			Name: name, Steps: steps,
			Spec: target.Spec{Kind: target.Peer, Peer: name, Workers: o.Workers, Threads: o.Threads},
		})
	}
	return all
}

// ways are what the command allows for a setting.
func ways(setting string) []string {
	for _, s := range configs.Settings() {
		if s.Name == setting {
			return s.Words
		}
	}
	panic("no setting " + setting)
}

// measureOwn makes the suite one of a user's own program: its paths instead of those of the reference application, and
// nothing that only the reference application can do. The control is the program when it is started by hand.
func (s *Suite) measureOwn(o Options) {
	s.Cells = slices.DeleteFunc(s.Cells, func(c Cell) bool {
		return c.Spec.Kind == target.Peer || c.Spec.Engine != "" || len(c.Spec.Env) > 0 && strings.HasPrefix(c.Spec.Env[0], "CLUSTER_DEMO_") ||
			c.Spec.Kind == target.Bare && c.Spec.Peer != "nethttp" || c.Spec.Binary != ""
	})
	for i := range s.Cells {
		c := &s.Cells[i]
		c.Spec.Program = o.Program
		if c.Spec.Kind == target.Bare {
			s.rename(c.Name, "program alone")
			c.Spec.Peer, c.Spec.Ready = "", o.Paths[0]
		}
		c.Steps = ownSteps(c.Steps, o)
	}
	measured := func(name string) bool {
		return slices.ContainsFunc(s.Cells, func(c Cell) bool { return c.Name == name })
	}
	s.Tables = slices.DeleteFunc(s.Tables, func(t Table) bool {
		return t.Base != "" && !measured(t.Base) || len(t.Cells) > 0 && !slices.ContainsFunc(t.Cells, measured)
	})
	for i := range s.Tables {
		t := &s.Tables[i]
		t.Cells = slices.DeleteFunc(slices.Clone(t.Cells), func(name string) bool { return !measured(name) })
		t.Steps = slices.DeleteFunc(slices.Clone(t.Steps), func(name string) bool { return strings.HasPrefix(name, "/") })
	}
}

// rename calls a cell otherwise, in the tables too.
func (s *Suite) rename(from, to string) {
	for i := range s.Cells {
		if s.Cells[i].Name == from {
			s.Cells[i].Name = to
		}
	}
	for i := range s.Tables {
		t := &s.Tables[i]
		if t.Base == from {
			t.Base = to
		}
		t.Cells = slices.Clone(t.Cells)
		for j, name := range t.Cells {
			if name == from {
				t.Cells[j] = to
			}
		}
	}
}

// ownSteps are the steps with the program's paths: each load that stands for a path of the reference application becomes
// one of each path, others keep their form.
func ownSteps(steps []Step, o Options) []Step {
	var own []Step
	plain := false
	for _, step := range steps {
		if step.Load.Path == "" {
			own = append(own, step)
			continue
		}
		if step.Name != step.Load.Path {
			step.Load.Path, step.Load.Service = o.Paths[0], load.Service{}
			own = append(own, step)
			continue
		}
		if !plain {
			plain = true
			own = append(own, o.paths(o.Paths...)...)
		}
	}
	return own
}

// event is a load, open so that it goes on whatever the server does, during which something happens.
func event(name, path string, rate float64, connections int, length time.Duration, events ...Event) Step {
	return Step{
		Name: name, Events: events,
		Load: load.Plan{Path: path, Connections: connections, Rate: rate, Warmup: 500 * time.Millisecond, Duration: length},
	}
}
