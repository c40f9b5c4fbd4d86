package configs

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestTake(t *testing.T) {
	running := Default()
	running.Workers, running.MaxWorkers, running.Threads = 4, 8, 3
	for name, test := range map[string]struct {
		change func(*Config)
		want   Changes
		taken  func(*Config) // from the running one
	}{
		"nothing": {func(*Config) {}, Changes{}, func(*Config) {}},
		"live": {
			func(c *Config) { c.Workers, c.Threads, c.IdleTimeout, c.LogLevel = 6, 5, time.Minute, "debug" },
			Changes{Live: []string{"workers", "threads", "idle-timeout", "log-level"}},
			func(c *Config) { c.Workers, c.Threads, c.IdleTimeout, c.LogLevel = 6, 5, time.Minute, "debug" },
		},
		"for the workers": {
			func(c *Config) { c.Program, c.Pool, c.Umask = []string{"./app"}, "queue", "027" },
			Changes{Restart: []string{"pool", "program", "umask"}},
			func(c *Config) { c.Program, c.Pool, c.Umask = []string{"./app"}, "queue", "027" },
		},
		"for another master": {
			func(c *Config) { c.Binds, c.Metrics, c.Backlog = []Bind{{Scheme: "tcp", Address: ":80"}}, "off", 7 },
			Changes{Kept: []string{"bind", "backlog", "metrics"}},
			func(*Config) {},
		},
		"more than there is room for": {
			func(c *Config) { c.MaxWorkers, c.Workers, c.Threads, c.MaxThreads = 100, 50, 100, 200 },
			Changes{Kept: []string{"max-workers", "max-threads", "workers", "threads"}},
			func(*Config) {},
		},
		"of each": {
			func(c *Config) { c.Surge, c.Chdir, c.Name = 2, "/", "other" },
			Changes{Live: []string{"surge"}, Restart: []string{"chdir"}, Kept: []string{"name"}},
			func(c *Config) { c.Surge, c.Chdir = 2, "/" },
		},
	} {
		wanted, want := running, running
		test.change(&wanted)
		test.taken(&want)
		before := wanted
		taken, changes := Take(running, wanted)
		sort := func(c *Changes) {
			for _, list := range []*[]string{&c.Live, &c.Restart, &c.Kept} {
				slices.Sort(*list)
			}
		}
		sort(&changes)
		sort(&test.want)
		if !reflect.DeepEqual(changes, test.want) {
			t.Errorf("%s: %+v, want %+v", name, changes, test.want)
		}
		if changes.Empty() != (name == "nothing") {
			t.Errorf("%s: empty %v", name, changes.Empty())
		}
		if !reflect.DeepEqual(taken, want) {
			t.Errorf("%s: took %+v, want %+v", name, taken, want)
		}
		if !reflect.DeepEqual(wanted, before) {
			t.Errorf("%s: the wanted configuration was changed", name)
		}
		if err := taken.Check(); err != nil && name != "for the workers" {
			t.Errorf("%s: what was taken is wrong: %v", name, err)
		}
	}
}

// What a new start can change only decides which pools there can be.
func TestTakeKeepsPoolsThatDoNotGoWithWhatIsKept(t *testing.T) {
	for name, test := range map[string]struct {
		running, wanted func(*Config)
		kept            []string
	}{
		"lanes after handoff":     {func(c *Config) { c.Dispatch = "handoff" }, func(c *Config) { c.Pool, c.OSThreads = "lanes", true }, []string{"dispatch", "os-threads", "pool"}},
		"unbounded after handoff": {func(c *Config) { c.Dispatch = "handoff" }, func(c *Config) { c.Pool = "unbounded" }, []string{"dispatch", "pool"}},
		"batches after handoff":   {func(c *Config) { c.Dispatch = "handoff" }, func(c *Config) { c.Pool, c.Batch = "queue", 4 }, []string{"batch", "dispatch", "pool"}},
		"unbounded in process":    {func(c *Config) { c.Mode = "inprocess" }, func(c *Config) { c.Pool = "unbounded" }, []string{"mode", "pool"}},
		"lanes in process":        {func(c *Config) { c.Mode = "inprocess" }, func(c *Config) { c.Pool = "lanes" }, []string{"mode"}},
		"lanes":                   {func(*Config) {}, func(c *Config) { c.Pool = "lanes" }, nil},
	} {
		running, wanted := Default(), Default()
		test.running(&running)
		test.wanted(&wanted)
		taken, changes := Take(running, wanted)
		if slices.Sort(changes.Kept); !slices.Equal(changes.Kept, test.kept) {
			t.Errorf("%s: kept %q, want %q", name, changes.Kept, test.kept)
		}
		if err := taken.Check(); err != nil {
			t.Errorf("%s: what was taken is wrong: %v", name, err)
		}
	}
}

// In one process threads are counted by their number, so other ones need another process: workers do not.
func TestTakeInProcess(t *testing.T) {
	running := Default()
	running.Mode, running.Workers, running.Threads = "inprocess", 2, 3
	wanted := running
	wanted.Workers, wanted.Threads, wanted.Mode = 4, 5, "prefork"
	taken, changes := Take(running, wanted)
	want := Changes{Live: []string{"workers"}, Restart: []string{"threads"}, Kept: []string{"mode"}}
	if !reflect.DeepEqual(changes, want) || taken.Workers != 4 || taken.Threads != 5 || taken.Mode != "inprocess" {
		t.Errorf("%+v, want %+v; taken: %d workers with %d threads, %s", changes, want, taken.Workers, taken.Threads, taken.Mode)
	}
	if back := Undo(taken, running); back.Threads != 3 || back.Workers != 4 {
		t.Errorf("taken back: %d workers with %d threads, want 4 with 3", back.Workers, back.Threads)
	}
	running.Mode, taken.Mode = "prefork", "prefork"
	if back := Undo(taken, running); back.Threads != 5 {
		t.Errorf("threads that were taken over at once are taken back: %d", back.Threads)
	}
}

func TestOwnVariables(t *testing.T) {
	own := OwnVariables()
	for _, variable := range []string{"CLUSTER_WORKERS", "CLUSTER_BIND", "CLUSTER_CONFIG", "CLUSTER_DRAIN_TIMEOUT"} {
		if !slices.Contains(own, variable) {
			t.Errorf("%s is missing", variable)
		}
	}
	for _, variable := range []string{"WEB_CONCURRENCY", "MAX_THREADS", "CLUSTER_DEMO_DATA"} {
		if slices.Contains(own, variable) {
			t.Errorf("%s is another's", variable)
		}
	}
}
