package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/suite"
	"github.com/prefork/cluster/bench/target"
)

// fake is a world of targets that only write down what is done to them.
type fake struct {
	mu       sync.Mutex
	log      []string
	running  int
	refuse   map[string]error // by the mode of the target: it does not start
	diesIn   string           // step path: the target dies under this load
	stopErr  error
	loadTime time.Duration
}

func (f *fake) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, fmt.Sprintf(format, args...))
}

func (f *fake) start(_ context.Context, s target.Spec) (Target, error) {
	if err := f.refuse[s.Mode]; err != nil {
		return nil, err
	}
	f.running++
	f.note("start %s", s.Mode)
	return &fakeTarget{world: f, mode: s.Mode}, nil
}

func (f *fake) load(ctx context.Context, addr string, p load.Plan, o load.Observer) (load.Result, error) {
	o.Begin()
	if p.Path == f.diesIn {
		f.note("%s dies", addr)
	}
	select {
	case <-time.After(f.loadTime):
	case <-ctx.Done():
		return load.Result{}, ctx.Err()
	}
	o.End()
	return load.Result{Answered: 7}, nil
}

type fakeTarget struct {
	world *fake
	mode  string
}

func (t *fakeTarget) Addr() string         { return t.mode }
func (t *fakeTarget) Argv() []string       { return []string{"run", t.mode} }
func (t *fakeTarget) Ready() time.Duration { return time.Millisecond }
func (t *fakeTarget) Read() (target.Reading, error) {
	return target.Reading{Time: time.Now()}, nil
}
func (t *fakeTarget) Memory() (target.Memory, error) { return target.Memory{}, nil }
func (t *fakeTarget) Died() error {
	if slices.Contains(t.world.log, t.mode+" dies") {
		return errors.New("it died: exit status 1")
	}
	return nil
}

func (t *fakeTarget) Event(_ context.Context, what string) (time.Duration, error) {
	t.world.note("%s %s", t.mode, what)
	if what == "fail" {
		return 0, errors.New("cannot")
	}
	time.Sleep(time.Second)
	return time.Second, nil
}

func (t *fakeTarget) Stop(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	t.world.running--
	t.world.note("stop %s", t.mode)
	return t.world.stopErr
}

func (f *fake) session(suites ...suite.Suite) (*Session, *[]record.Trial) {
	var kept []record.Trial
	return &Session{
		Suites: suites, Seed: 1, Start: f.start, Load: f.load,
		Serves: func(_, path string) bool { return path != "/unknown" },
		Keep:   func(t record.Trial) error { kept = append(kept, t); return nil },
	}, &kept
}

func steps(paths ...string) (steps []suite.Step) {
	for _, p := range paths {
		steps = append(steps, suite.Step{Name: p, Load: load.Plan{Path: p, Connections: 1, Duration: time.Second}})
	}
	return steps
}

func cell(name string, s []suite.Step) suite.Cell {
	return suite.Cell{Name: name, Spec: target.Spec{Kind: target.Cluster, Mode: name}, Steps: s}
}

func TestRoundsAreInterleaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{loadTime: time.Second}
		s, kept := f.session(suite.Suite{
			Name: "s", Rounds: 20, Cells: []suite.Cell{cell("a", steps("/x", "/y")), cell("b", steps("/x"))}, Tables: []suite.Table{{Base: "a"}},
		})
		var last Progress
		s.Progress = func(p Progress) { last = p }
		if err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(*kept); n != 20*5 {
			t.Errorf("%d trials, not 100", n)
		}
		orders := map[string]int{}
		for round := 1; round <= 20; round++ {
			var names []string
			for _, k := range *kept {
				if k.Round == round && k.Step == "/x" {
					names = append(names, fmt.Sprintf("%s%v%d", k.Cell, k.Again, k.Order))
				}
			}
			orders[strings.Join(names, " ")]++
			slices.Sort(names)
			if len(names) != 3 || !strings.HasPrefix(names[0], "afalse") || !strings.HasPrefix(names[1], "atrue") || !strings.HasPrefix(names[2], "bfalse") {
				t.Fatalf("round %d measured %v", round, names)
			}
		}
		if len(orders) < 4 {
			t.Errorf("the order was always one of %v", orders)
		}
		if last.Round != 20 || last.Cells != 3 || last.Left <= 0 || last.Left > 10*time.Second {
			t.Errorf("the last progress was %+v", last)
		}
		if f.running != 0 {
			t.Errorf("%d targets still run", f.running)
		}
	})
}

// All cells of a round get the same arrivals, and each round others.
func TestArrivalsOfARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{loadTime: time.Second}
		open := []suite.Step{
			{Name: "open", Load: load.Plan{Path: "/x", Rate: 100, Seed: 1}},
			{Name: "more", Load: load.Plan{Path: "/x", Rate: 200, Seed: 2}},
			{Name: "closed", Load: load.Plan{Path: "/x"}},
		}
		s, kept := f.session(suite.Suite{Name: "s", Rounds: 3, Cells: []suite.Cell{cell("a", open), cell("b", open)}})
		s.Progress = func(Progress) {}
		if err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		seeds := map[uint64][]string{}
		for _, k := range *kept {
			if at := fmt.Sprint(k.Step, k.Round); k.Load.Seed != 0 && !slices.Contains(seeds[k.Load.Seed], at) {
				seeds[k.Load.Seed] = append(seeds[k.Load.Seed], at)
			}
		}
		if len(*kept) != 18 || len(seeds) != 6 {
			t.Errorf("%d trials of the arrivals %v, want 18 of 6", len(*kept), seeds)
		}
		for seed, of := range seeds {
			if len(of) != 1 {
				t.Errorf("the arrivals %d are those of %v", seed, of)
			}
		}
	})
}

func TestFailuresAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{refuse: map[string]error{"broken": errors.New("not installed")}, diesIn: "/deadly", stopErr: errors.New("pid 7 is left")}
		s, kept := f.session(suite.Suite{Name: "s", Rounds: 1, Cells: []suite.Cell{
			cell("broken", steps("/x")),
			cell("dying", steps("/x", "/deadly", "/after")),
			cell("leaving", []suite.Step{{Name: "ev", Events: []suite.Event{{What: "fail"}}}}),
			cell("well", steps("/x")),
		}})
		if err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, k := range *kept {
			got[k.Cell+" "+k.Step] = k.Failed
		}
		want := map[string]string{
			"broken start": "not installed", "dying /x": "", "dying /deadly": "it died: exit status 1",
			"leaving ev": "fail: cannot", "leaving stop": "pid 7 is left", "well /x": "", "well stop": "pid 7 is left",
		}
		for key, text := range want {
			if failed, ok := got[key]; !ok || failed != text {
				t.Errorf("%s: %q (kept: %v), not %q", key, failed, ok, text)
			}
		}
		if len(got) != len(want) {
			t.Errorf("kept %v", got)
		}
	})
}

// An event that takes longer than the load is waited for; events are at their times and one after the other.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{loadTime: 1500 * time.Millisecond}
		step := steps("/x")[0]
		step.Events = []suite.Event{{What: "restart", At: 500 * time.Millisecond}, {What: "crash", At: 700 * time.Millisecond}}
		s, kept := f.session(suite.Suite{Name: "s", Rounds: 1, Cells: []suite.Cell{cell("a", []suite.Step{step})}})
		if err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []record.Event{{What: "restart", At: 500 * time.Millisecond, Took: time.Second}, {What: "crash", At: 1500 * time.Millisecond, Took: time.Second}}
		if got := (*kept)[0].Events; !slices.Equal(got, want) {
			t.Errorf("events %+v, not %+v", got, want)
		}
	})
}

func TestStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{loadTime: time.Minute}
		s, kept := f.session(suite.Suite{Name: "s", Rounds: 3, Cells: []suite.Cell{cell("a", steps("/x"))}})
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		if err := s.Run(ctx); !errors.Is(err, ErrStopped) {
			t.Errorf("error %v", err)
		}
		if len(*kept) != 1 || f.running != 0 {
			t.Errorf("%d trials kept, %d targets still run", len(*kept), f.running)
		}
	})
}

// A result that cannot be kept, and an address that is taken, end everything: the target is stopped all the same.
func TestInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		s, _ := f.session(suite.Suite{Name: "s", Rounds: 3, Cells: []suite.Cell{cell("a", steps("/x"))}})
		full := errors.New("disk full")
		s.Keep = func(record.Trial) error { return full }
		if err := s.Run(t.Context()); !errors.Is(err, full) || f.running != 0 {
			t.Errorf("error %v, %d targets still run", err, f.running)
		}
		f.refuse = map[string]error{"a": fmt.Errorf("127.0.0.1:80: %w", target.ErrTaken)}
		if err := s.Run(t.Context()); !errors.Is(err, target.ErrTaken) {
			t.Errorf("error %v", err)
		}
	})
}

func TestPeersSkipWhatTheyDoNotServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		peer := cell("nginx", steps("/x", "/unknown"))
		peer.Spec.Kind = target.Peer
		s, kept := f.session(suite.Suite{Name: "s", Rounds: 1, Cells: []suite.Cell{peer}})
		if err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(*kept) != 1 || (*kept)[0].Step != "/x" || (*kept)[0].Result.Answered != 7 {
			t.Errorf("kept %+v", *kept)
		}
	})
}
