package merge

import (
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// process is a worker of the application: what it has counted, by label.
type process struct {
	worker  *Worker
	counted map[string]float64
	sizes   map[string][3]uint64 // observations up to 1, up to 2, and above
}

func (p *process) copy() *Copy {
	counter := &dto.MetricFamily{Name: proto.String("c"), Type: dto.MetricType_COUNTER.Enum()}
	histogram := &dto.MetricFamily{Name: proto.String("h"), Type: dto.MetricType_HISTOGRAM.Enum()}
	for _, label := range slices.Sorted(maps.Keys(p.counted)) {
		labels := []*dto.LabelPair{{Name: proto.String("l"), Value: &label}}
		counter.Metric = append(counter.Metric, &dto.Metric{Label: labels, Counter: &dto.Counter{Value: proto.Float64(p.counted[label])}})
		n := p.sizes[label]
		histogram.Metric = append(histogram.Metric, &dto.Metric{Label: labels, Histogram: &dto.Histogram{
			SampleCount: proto.Uint64(n[0] + n[1] + n[2]), SampleSum: proto.Float64(float64(n[0] + 2*n[1] + 3*n[2])),
			Bucket: []*dto.Bucket{
				{UpperBound: proto.Float64(1), CumulativeCount: proto.Uint64(n[0])},
				{UpperBound: proto.Float64(2), CumulativeCount: proto.Uint64(n[0] + n[1])},
				{UpperBound: proto.Float64(math.Inf(1)), CumulativeCount: proto.Uint64(n[0] + n[1] + n[2])},
			},
		}})
	}
	return &Copy{Families: []*dto.MetricFamily{counter, histogram}}
}

// values are all lines that never may fall.
func values(s *Set) map[string]float64 {
	all := map[string]float64{}
	for _, f := range s.Gather() {
		for _, m := range f.GetMetric() {
			label := f.GetName() + m.GetLabel()[0].GetValue()
			if f.GetType() == dto.MetricType_COUNTER {
				all[label] = m.GetCounter().GetValue()
				continue
			}
			h := m.GetHistogram()
			all[label+" count"], all[label+" sum"] = float64(h.GetSampleCount()), h.GetSampleSum()
			for i, b := range h.GetBucket() {
				all[label+" "+string(rune('0'+i))] = float64(b.GetCumulativeCount())
			}
		}
	}
	return all
}

// Over any history of workers that come, count, send, leave or are killed, no sum falls; and each is what has been sent: all that
// was counted up to the last copy of each worker.
func TestNothingFalls(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := New(MaxSeries)
		var alive []*process
		last := map[string]float64{}
		sent := map[string]float64{} // by label, that was counted by those who have left
		told := map[*process]map[string]float64{}
		labels := rapid.SampledFrom([]string{"x", "y", "z"})
		one := func(t *rapid.T) *process {
			if len(alive) == 0 {
				t.Skip("nobody is there")
			}
			return rapid.SampledFrom(alive).Draw(t, "who")
		}
		t.Repeat(map[string]func(*rapid.T){
			"come": func(t *rapid.T) {
				alive = append(alive, &process{worker: s.Join(rapid.SampledFrom([]string{"0", "1"}).Draw(t, "slot")), counted: map[string]float64{}, sizes: map[string][3]uint64{}})
			},
			"count": func(t *rapid.T) {
				p, label := one(t), labels.Draw(t, "label")
				p.counted[label] += float64(rapid.IntRange(0, 9).Draw(t, "n"))
				n := p.sizes[label]
				n[rapid.IntRange(0, 2).Draw(t, "size")]++
				p.sizes[label] = n
			},
			"send": func(t *rapid.T) {
				p := one(t)
				p.worker.Take(p.copy())
				told[p] = maps.Clone(p.counted)
			},
			"leave": func(t *rapid.T) {
				p := one(t)
				p.worker.Leave()
				p.worker.Take(p.copy()) // too late
				for label, n := range told[p] {
					sent[label] += n
				}
				delete(told, p)
				alive = slices.DeleteFunc(alive, func(q *process) bool { return p == q })
			},
			"": func(t *rapid.T) {
				now := values(s)
				for series, before := range last {
					if value, ok := now[series]; !ok || value < before {
						t.Fatalf("%s went from %v to %v (%v)", series, before, value, ok)
					}
				}
				last = now
				want := maps.Clone(sent)
				for _, counted := range told {
					for label, n := range counted {
						want[label] += n
					}
				}
				for label, n := range want {
					if got := now["c"+label]; got != n {
						t.Fatalf("c of %s is %v, want %v", label, got, n)
					}
				}
			},
		})
	})
}

// The same copies make the same sums in whichever order they come, as long as each worker's own keep theirs.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		copies := make([][]*Copy, rapid.IntRange(1, 5).Draw(t, "workers"))
		for i := range copies {
			p := &process{counted: map[string]float64{}, sizes: map[string][3]uint64{}}
			for range rapid.IntRange(0, 5).Draw(t, "copies") {
				if rapid.IntRange(0, 4).Draw(t, "anew") == 0 {
					p.counted, p.sizes = map[string]float64{}, map[string][3]uint64{}
				}
				p.counted["x"] += float64(rapid.IntRange(0, 9).Draw(t, "n"))
				p.sizes["x"] = [3]uint64{p.sizes["x"][0] + 1, uint64(i)}
				copies[i] = append(copies[i], p.copy())
			}
		}
		shuffled := func() map[string]float64 {
			s, next := New(MaxSeries), make([]int, len(copies))
			workers := make([]*Worker, len(copies))
			var turns []int
			for i := range copies {
				workers[i] = s.Join("0")
				for range copies[i] {
					turns = append(turns, i)
				}
			}
			for _, i := range rapid.Permutation(turns).Draw(t, "turns") {
				data, err := copies[i][next[i]].Encode()
				if err != nil {
					t.Fatal(err)
				}
				c, err := Decode(data)
				if err != nil {
					t.Fatal(err)
				}
				workers[i].Take(c)
				next[i]++
				if next[i] == len(copies[i]) {
					workers[i].Leave()
				}
			}
			return values(s)
		}
		if a, b := shuffled(), shuffled(); !maps.Equal(a, b) {
			t.Errorf("%v in one order, %v in another", a, b)
		}
	})
}
