package target

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// clusterLauncher is one for real clusters.
func clusterLauncher(t *testing.T) *Launcher {
	t.Helper()
	path, err := command()
	if err != nil {
		t.Fatal(err)
	}
	l := launcher(t)
	l.Self = path
	return l
}

// What is read of a cluster is what the test has asked of it.
func TestClusterReading(t *testing.T) {
	t.Parallel()
	r := started(t, clusterLauncher(t), Spec{Kind: Cluster, Workers: 2, Threads: 2, Output: true, Args: []string{"--log-requests"}})
	before, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	ask(t, r, "/plaintext", 37, 200)
	ask(t, r, "/nothing", 5, 404)
	after, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	b, a := before.Counters, after.Counters
	maps.DeleteFunc(a.Requests, func(class string, n int64) bool {
		a.Requests[class] = n - b.Requests[class]
		return a.Requests[class] == 0
	})
	if want := map[string]int64{"2xx": 37, "4xx": 5}; !a.Known || !maps.Equal(a.Requests, want) {
		t.Errorf("requests: %v, want %v", a.Requests, want)
	}
	if len(a.Slots) != 2 || a.Slots[0]+a.Slots[1] != 42 {
		t.Errorf("requests of the slots: %v, want 42 in two", a.Slots)
	}
	if len(a.SchedBounds) == 0 || len(a.SchedBounds) != len(a.SchedCounts) || !slices.IsSorted(a.SchedCounts) || slices.Max(a.SchedCounts) == 0 {
		t.Errorf("scheduling latencies: %v %v", a.SchedBounds, a.SchedCounts)
	}
	if h := a.Handoff; h == nil || len(h.Moved) != 3 || len(h.Stayed) != 7 {
		t.Errorf("handoffs: %+v, want 3 reasons for them and 7 against", h)
	}
	if after.Serving.CPU <= before.Serving.CPU || after.Master.CPU <= before.Master.CPU || after.Time.Before(before.Time) {
		t.Errorf("42 requests took no CPU:\n%+v\n%+v", before, after)
	}
	m, err := r.Memory()
	if err != nil || m.Serving.Processes != 2 || m.Master.Processes != 1 {
		t.Errorf("memory: %+v, %v", m, err)
	}
	eventually(t, "the access log is in the file", func() bool { return strings.Contains(r.lastWords(), "/nothing") })
}

func TestClusterEvents(t *testing.T) {
	t.Parallel()
	r := started(t, clusterLauncher(t), Spec{Kind: Cluster, Workers: 2, Threads: 1, Args: []string{"--settle", "100ms"}})
	workers := func() []int {
		t.Helper()
		s, err := r.status(t.Context())
		if err == nil {
			err = s.settled()
		}
		if err != nil {
			t.Fatal(err)
		}
		var pids []int
		for _, w := range s.Slots {
			pids = append(pids, w.PID)
		}
		return pids
	}
	last, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range []struct {
		what       string
		kept, then int // workers of before, and all
	}{
		{"crash", 1, 2},
		{"scale +1", 2, 3},
		{"scale -1", 2, 2},
		{"restart", 0, 2},
	} {
		before := workers()
		took, err := r.Event(t.Context(), event.what)
		if err != nil || took <= 0 {
			t.Fatalf("%s: %v, %v", event.what, took, err)
		}
		if event.what == "restart" {
			eventually(t, "the old workers have left", func() bool { s, err := r.status(t.Context()); return err == nil && s.settled() == nil })
		}
		after := workers()
		kept := 0
		for _, pid := range before {
			if slices.Contains(after, pid) {
				kept++
			}
		}
		if kept != event.kept || len(after) != event.then {
			t.Errorf("%s: workers %v, then %v; want %d kept of then %d", event.what, before, after, event.kept, event.then)
		}
		now, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		if now.Serving.CPU < last.Serving.CPU || now.Serving.RunQueue < last.Serving.RunQueue || now.Serving.Voluntary < last.Serving.Voluntary {
			t.Errorf("%s: went back:\n%+v\n%+v", event.what, last.Serving, now.Serving)
		}
		last = now
	}
	if _, err := r.Event(t.Context(), "eclipse"); err == nil || !strings.Contains(err.Error(), `unknown event "eclipse"`) {
		t.Errorf("eclipse: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := r.Event(short, "crash"); err == nil {
		t.Error("a crash was over before it began")
	}
}

func TestClusterFails(t *testing.T) {
	t.Parallel()
	l := clusterLauncher(t)
	r, err := l.Start(t.Context(), Spec{Kind: Cluster, Workers: 1, Args: []string{"--worker"}})
	if err == nil {
		_ = r.Stop(t.Context())
		t.Fatal("it started with a flag that is not known")
	}
	if want := "cluster died: exit status 2; its last words:\ncluster: unknown flag --worker"; !strings.Contains(err.Error(), want) {
		t.Errorf("error %q, want %q", err, want)
	}
	r = started(t, l, Spec{Kind: Cluster, Workers: 1})
	if _, err := r.verb(t.Context(), "scale", "0"); err == nil || !strings.Contains(err.Error(), "cluster scale 0: exit status 2: scale") {
		t.Errorf("a verb that fails: %v", err)
	}
}

// Without --metrics there are no counters.
func TestClusterWithoutMetrics(t *testing.T) {
	t.Parallel()
	l := clusterLauncher(t)
	r := started(t, l, Spec{Kind: Cluster, Workers: 1, Binary: l.Self, Args: []string{"--metrics", "off"}, Program: []string{l.Self, "worker"}, Env: []string{"X=1"}})
	reading, err := r.Read()
	if err != nil || reading.Counters.Known || reading.Serving.CPU == 0 {
		t.Errorf("reading: %+v, %v", reading, err)
	}
	if _, err := os.Stat(r.control); err != nil {
		t.Error(err)
	}
}
