package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

// settingsFile is a file of settings that a cluster reads.
type settingsFile struct {
	t    *testing.T
	path string
}

func newSettings(t *testing.T, text string) settingsFile {
	t.Helper()
	f := settingsFile{t, filepath.Join(t.TempDir(), "cluster.yaml")}
	f.write(text)
	return f
}

func (f settingsFile) write(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// settled waits until the restart of a generation, if there is one, is over and only its workers are left.
func (c *testCluster) settled(generation int) []int {
	c.t.Helper()
	c.Await(fmt.Sprintf("generation %d is all there is", generation), func(s api.Status) bool {
		return s.State == "ready" && !slices.ContainsFunc(s.Slots, func(w api.WorkerStatus) bool {
			return w.State != plan.Ready.String() || w.Generation != generation
		})
	})
	return c.Workers()
}

// What a changed file does, what the command says of it, what the status shows, and which workers are replaced.
func TestReloadOfAFile(t *testing.T) {
	t.Parallel()
	const base = "workers: 2\nsettle: 50ms\nprobation: 0s\ndrain-idle: 0s\n"
	file := newSettings(t, base)
	c := startCluster(t, "--config", file.path)
	generation, workers := 1, c.settled(1)
	for _, step := range []struct {
		text, says string
		code       int
		replaces   bool
		outcome    string
		status     string // a line of cluster status
	}{
		{text: base, says: "configuration unchanged\n", outcome: "unchanged"},
		{text: "# a comment\n" + base, says: "configuration unchanged\n", outcome: "unchanged"},
		{text: base + "surge: 2\nidle-timeout: 30s\n", says: "configuration taken over\n  in force: idle-timeout, surge\n", outcome: "done"},
		{
			text: base + "pool: queue\n", replaces: true, outcome: "done",
			says: "configuration taken over\n  in force: idle-timeout, surge\n  in force as the workers are replaced, generation 2: pool\n",
		},
		{text: base + "pool: queue\n", says: "configuration unchanged\n", outcome: "unchanged"},
		{
			text: base + "pool: queue\nbacklog: 77\nname: other\n", says: "configuration taken over\n  kept as it was, needs a new start: backlog, name\n",
			outcome: "partly", status: "kept until a new start: backlog, name",
		},
		{
			text: base + "backlog: 77\n", replaces: true, outcome: "partly", status: "kept until a new start: backlog",
			says: "configuration taken over\n  in force as the workers are replaced, generation 3: pool\n  kept as it was, needs a new start: backlog\n",
		},
		{
			text: base + "wrokers: 3\nthreads: many\n", code: plan.ExitConfig, outcome: "refused",
			says: "cluster: configuration refused, everything stays as it was:\n         FILE:5:1: unknown key \"wrokers\" (did you mean workers?)\n" +
				"         FILE:6:10: threads \"many\" is no whole number\n",
			status: "last reload: refused, ",
		},
		{
			text: "workers: 2\n\tthreads: 3\n", code: plan.ExitConfig, outcome: "refused", status: "FILE:2:1: a tab",
			says: "cluster: configuration refused, everything stays as it was:\n         FILE:2:1: a tab: YAML wants blanks before a key and before the dash of a list\n",
		},
		{
			text: base + "chdir: /nowhere\nsurge: 3\n", code: plan.ExitConfig, outcome: "refused", status: "last reload: refused",
			says: "cluster: configuration refused, everything stays as it was:\n         the working directory /nowhere does not exist: make it, or give another --chdir\n",
		},
		{
			text: base + "max-workers: 9\nthreads: 999\n", outcome: "partly", status: "kept until a new start: max-workers, threads",
			says: "configuration taken over\n  kept as it was, needs a new start: max-workers, threads\n",
		},
		{text: base, says: "configuration unchanged\n", outcome: "unchanged"},
	} {
		file.write(step.text)
		stdout, stderr, code := c.Command("reload")
		if says := strings.ReplaceAll(stdout+stderr, file.path, "FILE"); says != step.says || code != step.code {
			t.Errorf("with\n%sit says\n%swith exit code %d, want %d and\n%s", step.text, says, code, step.code, step.says)
		}
		if r := c.Status().Reload; r == nil || r.Outcome != step.outcome {
			t.Errorf("with\n%sthe status has %+v, want the outcome %s", step.text, r, step.outcome)
		}
		out := strings.ReplaceAll(c.Must("status"), file.path, "FILE")
		if step.status == "" && strings.Contains(out, "last reload") || !strings.Contains(out, step.status) {
			t.Errorf("with\n%sthe status is\n%swant %q", step.text, out, step.status)
		}
		if step.replaces {
			generation++
		}
		now := c.settled(generation)
		for _, pid := range now {
			if slices.Contains(workers, pid) == step.replaces {
				t.Errorf("with\n%sthe workers were %v and are %v", step.text, workers, now)
			}
		}
		workers = now
	}
}

// HUP does the same as the command. A file that has gone takes nothing back, wherever it was found.
func TestHangUp(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	file := settingsFile{t, filepath.Join(dir, "cluster.yaml")}
	file.write("workers: 1\nlog-level: error\n")
	c := &testCluster{t: t, Dir: dir, work: dir, log: filepath.Join(dir, "log"), env: environment(dir)}
	c.launch(nil)
	workers := c.settled(1)
	hangUp := func() *api.Reload {
		before := c.Status().Reload
		c.Signal(syscall.SIGHUP)
		return c.Await("the file is read", func(s api.Status) bool {
			return s.Reload != nil && (before == nil || s.Reload.At.After(before.At))
		}).Reload
	}
	if strings.Contains(c.Log(), "level=INFO") {
		t.Errorf("with log-level error it logs\n%s", c.Log())
	}
	file.write("workers: 3\nlog-level: info\n")
	if r := hangUp(); r.Outcome != api.ReloadDone || !slices.Equal(r.Live, []string{"workers", "log-level"}) {
		t.Errorf("%+v", r)
	}
	c.Await("3 workers are ready", func(s api.Status) bool { return s.State == "ready" && s.Workers == 3 && len(s.Slots) == 3 })
	if now := c.Workers(); !slices.Contains(now, workers[0]) {
		t.Errorf("worker %d is not among %v", workers[0], now)
	}
	if !strings.Contains(c.Log(), `level=INFO msg="configuration taken over"`) {
		t.Errorf("with log-level info it logs\n%s", c.Log())
	}
	if err := os.Remove(file.path); err != nil {
		t.Fatal(err)
	}
	if r := hangUp(); r.Outcome != api.ReloadRefused || len(r.Errors) != 1 || r.Errors[0] != "configuration file cluster.yaml: no such file or directory" {
		t.Errorf("without the file: %+v", r)
	}
	file.write("workers: 3\nlog-level: error\n")
	hangUp()
	quiet := len(c.Log())
	c.Must("scale", "4")
	c.settled(1)
	if more := c.Log()[quiet:]; more != "" {
		t.Errorf("with log-level error it logs\n%s", more)
	}
}

// Threads are live: a worker that has more of them handles more requests at once.
func TestReloadOfThreads(t *testing.T) {
	t.Parallel()
	file := newSettings(t, "workers: 1\nthreads: 1\ndrain-idle: 0s\n")
	c := startCluster(t, "--config", file.path)
	worker := c.settled(1)
	var clients sync.WaitGroup
	defer clients.Wait()
	for range 5 {
		clients.Go(func() {
			if res, err := http.Get(c.URL("/io?ms=60000")); err == nil {
				res.Body.Close()
			}
		})
	}
	busy := func(n int, waiting int64) func(api.Status) bool {
		return func(s api.Status) bool {
			return s.Threads == n && s.Slots[0].Threads == n && s.Slots[0].Busy == n && s.Slots[0].Waiting == waiting
		}
	}
	c.Await("one request runs", busy(1, 4))
	file.write("workers: 1\nthreads: 4\ndrain-idle: 0s\n")
	c.Must("reload")
	c.Await("four requests run", busy(4, 1))
	if now := c.Workers(); !slices.Equal(now, worker) {
		t.Errorf("worker %v became %v", worker, now)
	}
	c.Must("stop", "--now")
	c.Wait()
}
