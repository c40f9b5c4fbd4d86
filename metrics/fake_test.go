package metrics

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// fake is a Source whose view the test holds.
type fake struct {
	mu       sync.Mutex
	view     View
	families []*dto.MetricFamily // of the application
}

func (f *fake) View() View {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view
}

func (f *fake) set(change func(v *View)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.view)
}

// Queue cannot read the third bind, as where the kernel does not tell of unix sockets.
func (f *fake) Queue(slot, bind int) (waiting, limit int, ok bool) {
	return 3 + slot + 100*bind, 4096 + bind, bind < 2
}

func (f *fake) Families() []*dto.MetricFamily {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.families)
}

const testNow = int64(1000 * time.Second)

// newFake is a cluster of a number of slots in which no worker has run yet.
func newFake(t testing.TB, slots, threads int) *fake {
	t.Helper()
	board, err := scoreboard.Create(max(slots, 8), threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(board.FD()) }) // it stays mapped
	f := &fake{view: View{
		Version: "1.2.3", Started: time.UnixMilli(1_700_000_000_250), Now: testNow, Board: board,
		Wanted: slots, Generation: 1,
		States:  []string{"starting", "ready", "draining", "waiting"},
		Reasons: []string{"crash", "restart"},
		Rollouts: []RolloutCount{
			{Outcome: "done"}, {Outcome: "superseded"}, {Outcome: "aborted", Reason: "boot_exit"}, {Outcome: "aborted", Reason: "rollback"},
		},
		Application: Application{Failures: map[string]int64{"error": 0, "hang": 0}},
		Binds:       []Bind{{Name: "tcp://127.0.0.1:9292"}, {Name: "tls://127.0.0.1:9443", Shared: true}, {Name: "unix:///run/app.sock", Shared: true}},
	}}
	f.grow(slots)
	return f
}

// grow adds slots as the master does.
func (f *fake) grow(slots int) {
	f.set(func(v *View) {
		for v.Slots < slots {
			v.Slots++
			v.OutputLost = append(v.OutputLost[:len(v.OutputLost):len(v.OutputLost)], 0)
			v.Left = append(v.Left[:len(v.Left):len(v.Left)], make([]int64, len(v.Reasons)))
		}
	})
}

// fill gives every word of a row a value of its own. All of them are doubled if n is.
func fill(r *scoreboard.Row, n int64) {
	for i, counter := range []interface{ Store(int64) }{
		&r.Open, &r.Waiting, &r.Heap, &r.Goroutines, &r.Accepted, &r.Refused, &r.Panics, &r.LogDropped,
		&r.Requests[0], &r.Requests[1], &r.Requests[2], &r.Requests[3], &r.Requests[4],
	} {
		counter.Store(n * int64(i+1))
	}
	counters := []*atomic.Int64{&r.Handoff.Received, &r.Handoff.Conflicts, &r.Handoff.Expired}
	r.TimedOut.Store(n * 14)
	for i := range r.Handoff.Moved {
		counters = append(counters, &r.Handoff.Moved[i])
	}
	for i := range r.Handoff.Stayed {
		counters = append(counters, &r.Handoff.Stayed[i])
	}
	for i, counter := range counters {
		counter.Store(n * int64(i+21))
	}
	r.CPU.Store(n * int64(1500*time.Millisecond))
	r.GCCPU.Store(n * int64(250*time.Millisecond))
	for i, h := range []*scoreboard.Histogram{&r.Duration, &r.Wait, &r.Sched} {
		for _, d := range []time.Duration{0, time.Second >> (2 * i), 129 * time.Second} { // the least, one between, above the last bound
			h.Add(int64(d), n, n*int64(d))
		}
	}
}

// noMemory has sampled this process, and all others at 0.
func noMemory(f *fake) *Sampler {
	s := NewSampler(func() []int { return nil })
	s.last[os.Getpid()] = Memory{PSS: 6 << 20, Anonymous: 4 << 20}
	for _, w := range f.View().Workers {
		s.last[w.PID] = Memory{PSS: int64(w.PID) << 20, Anonymous: int64(w.PID) << 19}
	}
	return s
}

// get asks the handler as Prometheus would.
func get(t testing.TB, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// sample is one scrape: values by name and labels, as in `requests_total{class="2xx",slot="0"}`. A histogram is its sum,
// its count and its buckets.
type sample map[string]float64

// family is what a scrape says of a name.
type family struct{ kind, help, labels string }

// scrape gathers, and fails the test where a registry would: if families or series are there twice or not sorted, or a series has other
// labels than its family.
func scrape(t testing.TB, f *fake) (sample, map[string]family) {
	t.Helper()
	gathered, err := NewCollector(f, noMemory(f)).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range gathered {
		if i > 0 && gathered[i-1].GetName() >= g.GetName() {
			t.Errorf("%s comes after %s", g.GetName(), gathered[i-1].GetName())
		}
		names, values := func(m *dto.Metric) (n []string) {
			for _, l := range m.GetLabel() {
				n = append(n, l.GetName())
			}
			return n
		}, func(m *dto.Metric) (v []string) {
			for _, l := range m.GetLabel() {
				v = append(v, l.GetValue())
			}
			return v
		}
		for j, m := range g.GetMetric() {
			if !slices.IsSorted(names(m)) || !slices.Equal(names(m), names(g.GetMetric()[0])) {
				t.Errorf("%s has the labels %v, and %v", g.GetName(), names(g.GetMetric()[0]), names(m))
			}
			if j > 0 && slices.Compare(values(g.GetMetric()[j-1]), values(m)) >= 0 {
				t.Errorf("%s: %v comes after %v", g.GetName(), values(m), values(g.GetMetric()[j-1]))
			}
		}
	}
	values, families := sample{}, map[string]family{}
	for _, g := range gathered {
		kind := strings.ToLower(g.GetType().String())
		for _, m := range g.GetMetric() {
			var names, labels []string
			for _, l := range m.GetLabel() {
				names = append(names, l.GetName())
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			series := func(suffix string, more ...string) string {
				return g.GetName() + suffix + "{" + strings.Join(append(labels[:len(labels):len(labels)], more...), ",") + "}"
			}
			families[g.GetName()] = family{kind, g.GetHelp(), strings.Join(names, ", ")}
			switch kind {
			case "counter":
				values[series("")] = m.GetCounter().GetValue()
			case "gauge":
				values[series("")] = m.GetGauge().GetValue()
			case "histogram":
				h := m.GetHistogram()
				values[series("_sum")] = h.GetSampleSum()
				values[series("_count")] = float64(h.GetSampleCount())
				for _, b := range h.GetBucket() {
					values[series("_bucket", fmt.Sprintf("le=%q", fmt.Sprint(b.GetUpperBound())))] = float64(b.GetCumulativeCount())
				}
			default:
				t.Errorf("%s is a %s", g.GetName(), kind)
			}
		}
	}
	return values, families
}

// counts says whether a series may never go back, by its name.
func (s sample) counts(series string) bool {
	name, _, _ := strings.Cut(series, "{")
	for _, end := range []string{"_total", "_sum", "_count", "_bucket"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}
