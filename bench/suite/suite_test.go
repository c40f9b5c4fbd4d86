package suite

import (
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

// Each pool that there is, and no topology that is refused.
func TestPools(t *testing.T) {
	made, err := Make([]string{"pool"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range made[0].Cells {
		names = append(names, c.Name)
	}
	want := "lease, inprocess lease, queue, inprocess queue, lanes, inprocess lanes, unbounded, queue, batches of 4, queue, OS threads"
	if got := strings.Join(names, ", "); got != want {
		t.Errorf("%s are measured, want %s", got, want)
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
