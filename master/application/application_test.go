package application

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/metrics/merge"
)

// fixture is a master's side, and what it has logged.
type fixture struct {
	*Metrics
	t   *testing.T
	log bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t}
	f.Metrics = New(slog.New(slog.NewTextHandler(&f.log, nil)))
	return f
}

// send gives a worker's copy the way that it comes, and makes sure that its descriptor is closed.
func (f *fixture) send(w *Worker, data []byte, failure string) {
	f.t.Helper()
	fd, err := ipc.NewMemfd("metrics", data)
	if err != nil {
		f.t.Fatal(err)
	}
	w.Take(ipc.Message{Type: ipc.Metrics, Failure: failure}, fd)
	if _, err := fd.Release(); err == nil {
		f.t.Error("the descriptor of a copy was left open")
	}
}

func (f *fixture) copyOf(text string) []byte {
	f.t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text + "\n"))
	if err != nil {
		f.t.Fatal(err)
	}
	c := &merge.Copy{}
	for _, family := range families {
		c.Families = append(c.Families, family)
	}
	data, err := c.Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	return data
}

func (f *fixture) check(when string, want ...string) {
	f.t.Helper()
	var text bytes.Buffer
	for _, family := range f.Families() {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			f.t.Fatal(err)
		}
	}
	var got []string
	for line := range strings.Lines(text.String()) {
		if !strings.HasPrefix(line, "#") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		f.t.Errorf("%s: %v, want %v", when, got, want)
	}
}

const both = "# TYPE c counter\nc %d\n# TYPE g gauge\ng %d"

func TestLeaveKeepsCounters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.check("before anybody is there")
	old, young := f.Join("0"), f.Join("1")
	f.send(old, f.copyOf(fmt.Sprintf(both, 5, 2)), "")
	f.send(young, f.copyOf(fmt.Sprintf(both, 1, 1)), "")
	f.check("two workers", "c 6", "g 3")
	old.Leave()
	f.check("one has left", "c 6", "g 1")
	old.Leave()
	f.send(old, f.copyOf(fmt.Sprintf(both, 50, 20)), "")
	f.check("a copy that comes after it", "c 6", "g 1")
	f.send(young, f.copyOf(fmt.Sprintf(both, 2, 4)), "")
	f.check("the other counts on", "c 7", "g 4")
}

func TestGarbled(t *testing.T) {
	t.Parallel()
	good := newFixture(t).copyOf(fmt.Sprintf(both, 5, 2))
	for name, data := range map[string][]byte{
		"garbage":   []byte("\xff\xfe garbage"),
		"cut":       good[:len(good)-3],
		"too large": make([]byte, ipc.MaxMetrics+1),
		"version":   []byte("\x0d{\"version\":2}"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			w, other := f.Join("3"), f.Join("4")
			f.send(w, good, "")
			f.send(other, good, "")
			for range 3 {
				f.send(w, data, "")
			}
			f.check("the last good copy stays", "c 10", "g 4")
			if n := f.View().Failures["unreadable"]; n != 3 {
				t.Errorf("%d copies were unreadable, want 3", n)
			}
			if n := strings.Count(f.log.String(), "event=metrics_unreadable"); n != 1 || !strings.Contains(f.log.String(), "slot=3") {
				t.Errorf("it was logged %d times, want once, with its slot:\n%s", n, f.log.String())
			}
			f.send(w, f.copyOf(fmt.Sprintf(both, 6, 2)), "")
			f.check("it goes on", "c 11", "g 4")
		})
	}
	t.Run("no memfd", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t)
		pair, theirs, err := ipc.NewChannelPair()
		if err != nil {
			t.Fatal(err)
		}
		defer pair.Close()
		f.Join("0").Take(ipc.Message{Type: ipc.Metrics}, theirs)
		if n := f.View().Failures["unreadable"]; n != 1 {
			t.Errorf("a socket was read: %d failures", n)
		}
	})
}

func TestFailures(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := f.Join("0")
	for _, failure := range []string{ipc.MetricsFailed, ipc.MetricsHang, ipc.MetricsHang, ipc.MetricsTooLarge, "of a later version"} {
		w.Take(ipc.Message{Type: ipc.Metrics, Failure: failure}, nil)
	}
	f.send(w, f.copyOf(fmt.Sprintf(both, 1, 1)), ipc.MetricsFailed)
	f.check("a copy that comes with a failure counts", "c 1", "g 1")
	want := map[string]int64{ipc.MetricsFailed: 3, ipc.MetricsHang: 2, ipc.MetricsTooLarge: 1, "unreadable": 0}
	if got := f.View().Failures; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("failures %v, want %v", got, want)
	}
}

// A conflict is counted at every copy and logged once, whichever worker has it.
func TestConflicts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first, second, third := f.Join("0"), f.Join("1"), f.Join("2")
	f.send(first, f.copyOf("# TYPE x gauge\nx 1"), "")
	for range 2 {
		f.send(second, f.copyOf("# TYPE x counter\nx 7\n# TYPE cluster_mine gauge\ncluster_mine 1"), "")
		f.send(third, f.copyOf("# TYPE x counter\nx 8"), "")
	}
	f.check("the first type stays", "x 1")
	v := f.View()
	if n := v.Conflicts[merge.Conflict{Metric: "x", Reason: merge.TypeConflict}]; n != 4 {
		t.Errorf("%d conflicts of the type, want 4: %v", n, v.Conflicts)
	}
	if n := v.Conflicts[merge.Conflict{Metric: "cluster_mine", Reason: merge.ReservedName}]; n != 2 || v.Series != 1 {
		t.Errorf("%d conflicts of the name, want 2, and %d series, want 1", n, v.Series)
	}
	for _, reason := range []string{"metric=x reason=type", "metric=cluster_mine reason=reserved_name"} {
		if n := strings.Count(f.log.String(), reason); n != 1 {
			t.Errorf("%s was logged %d times, want once:\n%s", reason, n, f.log.String())
		}
	}
	first.Leave()
	f.check("the others get the name when nobody has it", "x 15")
}
