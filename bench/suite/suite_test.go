package suite

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/target"
)

func TestEverySuiteIsSound(t *testing.T) {
	for _, o := range []Options{{}, {Quick: true}, {Peers: []string{"puma", "puma-yjit", "nginx"}, AltBinary: "alt"}, {Quick: true, Peers: []string{"puma", "nginx"}}} {
		for _, s := range All(o) {
			if s.Question == "" || !strings.HasSuffix(s.Question, "?") || len(s.Tables) == 0 || s.Rounds < 1 {
				t.Errorf("%s: question %q, %d tables, %d rounds", s.Name, s.Question, len(s.Tables), s.Rounds)
			}
			steps := map[string]bool{}
			names := map[string]bool{}
			for _, c := range s.Cells {
				if names[c.Name] {
					t.Errorf("%s: two cells are called %q", s.Name, c.Name)
				}
				names[c.Name] = true
				for _, step := range c.Steps {
					steps[step.Name] = true
					if step.Load.Path == "" && len(step.Events) == 0 {
						t.Errorf("%s, %s: step %q does nothing", s.Name, c.Name, step.Name)
					}
					if step.Load.Path != "" && (step.Load.Connections < 1 || step.Load.Duration <= 0 && step.Load.Requests <= 0) {
						t.Errorf("%s, %s: load %+v", s.Name, c.Name, step.Load)
					}
				}
			}
			for _, table := range s.Tables {
				for _, name := range append(slices.Clone(table.Cells), table.Base) {
					if name != "" && !names[name] {
						t.Errorf("%s, %s: no cell is called %q", s.Name, table.Title, name)
					}
				}
				for _, name := range table.Steps {
					if !steps[name] {
						t.Errorf("%s, %s: no step is called %q", s.Name, table.Title, name)
					}
				}
				if (table.Base == "") != (table.Compare == "") {
					t.Errorf("%s, %s: compares %q with %q", s.Name, table.Title, table.Compare, table.Base)
				}
			}
		}
	}
}

// What the suites of dispatch and waiting compare; a way that the command comes to allow is measured by itself.
func TestWaysAreMeasured(t *testing.T) {
	made, err := Make([]string{"dispatch", "pool", "tail"}, Options{Peers: []string{"puma", "node", "nginx"}})
	if err != nil {
		t.Fatal(err)
	}
	cells := map[string][]string{
		"dispatch": {"reuseport", "shared", "handoff", "passed", "copied"},
		"pool":     {"lease", "handoff lease", "inprocess lease", "queue", "handoff queue", "inprocess queue", "lanes", "inprocess lanes", "unbounded", "queue, batches of 4", "queue, OS threads"},
		"tail":     {"one process, one queue", "reuseport", "shared", "handoff", "passed", "puma", "node"}, // nginx cannot wait
	}
	for _, s := range made {
		var names []string
		for _, c := range s.Cells {
			names = append(names, c.Name)
			if handoff := strings.Contains(c.Name, "handoff"); handoff != (c.Spec.Dispatch == "handoff") || handoff && c.Spec.Mode != "" {
				t.Errorf("%s: %s is %+v", s.Name, c.Name, c.Spec)
			}
		}
		if !slices.Equal(names, cells[s.Name]) {
			t.Errorf("%s measures %q, want %q", s.Name, names, cells[s.Name])
		}
		for _, figure := range []string{"share_max", "handoffs", "hinted", "stayed"} {
			if !slices.Contains(s.Tables[0].Figures, figure) {
				t.Errorf("%s, %s does not show %s", s.Name, s.Tables[0].Title, figure)
			}
		}
	}
}

// Loads of the suite tail, each in every way, and a curve over the loads of each service time.
func TestTail(t *testing.T) {
	made, err := Make([]string{"tail"}, Options{Workers: 8, Threads: 3, Connections: 64, Rounds: 12, Duration: 7 * time.Second, Peers: []string{"puma"}})
	if err != nil {
		t.Fatal(err)
	}
	s := made[0]
	type point struct {
		rate        float64
		connections int
	}
	want := map[string]point{"fixed 60%, few connections": {2880, 24}}
	for _, service := range []string{"fixed", "exponential", "two-point"} {
		want[service+" 50%"], want[service+" 70%"], want[service+" 85%"] = point{2400, 128}, point{3360, 128}, point{4080, 128}
	}
	for _, c := range s.Cells {
		for _, step := range c.Steps {
			p := step.Load
			if got := (point{math.Round(p.Rate), p.Connections}); got != want[step.Name] || p.Duration != 7*time.Second || p.Service.Mean != 5*time.Millisecond {
				t.Errorf("%s, %s: %+v", c.Name, step.Name, p)
			}
		}
		if len(c.Steps) != len(want) {
			t.Errorf("%s goes through %d loads, want %d", c.Name, len(c.Steps), len(want))
		}
	}
	if s.Rounds != 12 {
		t.Errorf("%d rounds, want 12", s.Rounds)
	}
	var curves []string
	for _, table := range s.Tables {
		if table.Across {
			curves = append(curves, table.Title+": "+strings.Join(table.Steps, ", "))
		}
	}
	if len(curves) != 6 || curves[2] != "p99 of waiting, exponential service: exponential 50%, exponential 70%, exponential 85%" {
		t.Errorf("curves are %q", curves)
	}
}

func TestQuickIsQuick(t *testing.T) {
	for _, s := range All(Options{Quick: true}) {
		most := 3 * time.Minute
		if s.Name == "variance" {
			most = 50 * time.Second
		}
		if took := time.Duration(s.Rounds) * s.RoundTime(); took > most {
			t.Errorf("%s takes %v: %d rounds of %v", s.Name, took, s.Rounds, s.RoundTime())
		}
		for _, c := range s.Cells {
			if c.Spec.Kind == target.Peer {
				t.Errorf("%s measures the peer %s", s.Name, c.Name)
			}
			for _, step := range c.Steps {
				if step.elastic() && (step.Load.Duration < shortest || step.Load.Duration > longest) {
					t.Errorf("%s, %s: %s takes %v", s.Name, c.Name, step.Name, step.Load.Duration)
				}
			}
		}
	}
}

func TestBasesAreMeasuredTwice(t *testing.T) {
	s := Suite{
		Cells:  []Cell{{Name: "a"}, {Name: "b"}, {Name: "c"}},
		Tables: []Table{{Base: "b"}, {}, {Base: "b"}, {Base: "c"}},
	}
	runs, again := s.Runs()
	var names []string
	for _, c := range runs {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "a b c b c" || again != 2 {
		t.Errorf("a round starts %s, %d of them again", got, again)
	}
}

func TestUnknownSuite(t *testing.T) {
	_, err := Make([]string{"headlin"}, Options{})
	if err == nil || !strings.Contains(err.Error(), `did you mean headline`) && !strings.Contains(err.Error(), "headline") || !strings.Contains(err.Error(), "variance") {
		t.Errorf("error %v", err)
	}
}

// A user's own program is asked for its own paths, on the command's topologies only.
func TestOwnProgram(t *testing.T) {
	o := Options{Program: []string{"./app", "-x"}, Paths: []string{"/a", "/b"}, Peers: []string{"puma"}}
	for _, name := range Names() {
		made, err := Make([]string{name}, o)
		if name == "io" || name == "cpu" || name == "logging" || name == "tail" || name == "generator" {
			if err == nil || !strings.Contains(err.Error(), "./app") {
				t.Errorf("%s: error %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		bases := made[0].Bases()
		for _, c := range made[0].Cells {
			bases = slices.DeleteFunc(bases, func(name string) bool { return name == c.Name })
			if strings.Contains(c.Name, "net/http") {
				t.Errorf("%s: a program is called %s", name, c.Name)
			}
			if !slices.Equal(c.Spec.Program, o.Program) || c.Spec.Kind == target.Peer || c.Spec.Engine != "" {
				t.Errorf("%s, %s: %+v", name, c.Name, c.Spec)
			}
			for _, step := range c.Steps {
				if p := step.Load.Path; p != "" && p != "/a" && p != "/b" {
					t.Errorf("%s, %s, %s asks for %s", name, c.Name, step.Name, p)
				}
			}
		}
		if len(bases) > 0 {
			t.Errorf("%s: %q, which others are compared with, is not measured", name, bases)
		}
		for _, table := range made[0].Tables {
			for _, want := range table.Cells {
				if !slices.ContainsFunc(made[0].Cells, func(c Cell) bool { return c.Name == want }) {
					t.Errorf("%s, %s: row %q is not measured", name, table.Title, want)
				}
			}
		}
	}
}

// wrk and ab are asked for whole seconds.
func TestToolsThatKnowSeconds(t *testing.T) {
	for _, s := range All(Options{Tool: load.Wrk, Duration: 1200 * time.Millisecond}) {
		for _, c := range s.Cells {
			for _, step := range c.Steps {
				if p := step.Load; (p.Tool == load.Wrk || p.Tool == load.AB) && (p.Duration%time.Second != 0 || p.Warmup%time.Second != 0) {
					t.Errorf("%s, %s, %s: %s for %v after %v", s.Name, c.Name, step.Name, p.Tool, p.Duration, p.Warmup)
				}
			}
		}
	}
}
