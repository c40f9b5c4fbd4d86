package merge

import (
	"slices"
	"strings"
	"sync"

	dto "github.com/prometheus/client_model/go"
)

// MaxSeries is how many series an application may have in all, a line of the exposition format each: a histogram has one for
// each bucket.
const MaxSeries = 50_000

// Set is the sum of all workers. Its methods may be called by any goroutine.
type Set struct {
	mu        sync.Mutex
	limit     int
	workers   []*Worker // that are there, in the order in which they came
	families  map[string]*family
	names     map[string]*family // by every name that their lines have
	lines     int
	dropped   int64
	conflicts map[Conflict]int64
}

// New makes an empty set that holds so many lines. Series beyond are dropped and counted.
func New(limit int) *Set {
	return &Set{limit: limit, families: map[string]*family{}, names: map[string]*family{}, conflicts: map[Conflict]int64{}}
}

// Worker is one process whose copies are added.
type Worker struct {
	set      *Set
	slot     string
	last     map[*series]*reading // also of series that a copy left out: they may come back
	instants map[*series]*family  // gauges of the last copy
	holds    map[string]*family
	refused  []offer // families of the last copy that another type has the name of
	gone     bool
}

type offer struct {
	family *dto.MetricFamily
	rule   Rule
}

// Join adds a worker that has sent nothing yet; slot is the value of the label for gauges by slot.
func (s *Set) Join(slot string) *Worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &Worker{set: s, slot: slot, last: map[*series]*reading{}, instants: map[*series]*family{}, holds: map[string]*family{}}
	s.workers = append(s.workers, w)
	return w
}

// Take replaces the worker's last copy, which from then on belongs to the set. It returns the conflicts that nobody has seen
// before. A copy that comes after Leave is left out.
func (w *Worker) Take(c *Copy) (news []Conflict) {
	s := w.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.gone {
		return nil
	}
	held, instants := w.holds, w.instants
	w.holds, w.instants, w.refused = map[string]*family{}, map[*series]*family{}, nil
	for _, f := range c.Families {
		news = s.add(w, offer{f, c.Rules[f.GetName()]}, news)
	}
	return s.letGo(w, held, instants, news)
}

// Leave ends the worker. What it has counted stays, its gauges go.
func (w *Worker) Leave() {
	s := w.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.gone {
		return
	}
	w.gone = true
	s.workers = slices.DeleteFunc(s.workers, func(other *Worker) bool { return other == w })
	held, instants := w.holds, w.instants
	w.holds, w.instants = nil, nil
	s.letGo(w, held, instants, nil)
}

// letGo takes back what a worker held and holds no longer. Where that leaves a name free, those who were refused it get it.
func (s *Set) letGo(w *Worker, held map[string]*family, instants map[*series]*family, news []Conflict) []Conflict {
	for one, f := range instants {
		if _, still := w.instants[one]; !still && s.families[f.name] == f {
			s.change(f, one, func() {
				one.parts = slices.DeleteFunc(one.parts, func(p part) bool { return p.worker == w })
			})
		}
	}
	free := false
	for name, f := range held {
		if w.holds[name] != f {
			delete(f.holders, w)
			free = free || len(f.holders) == 0
		}
	}
	if !free {
		return news
	}
	for _, other := range s.workers {
		again := other.refused
		other.refused = nil
		for _, o := range again {
			news = s.add(other, o, news)
		}
	}
	return news
}

// add takes one family of a copy in.
func (s *Set) add(w *Worker, o offer, news []Conflict) []Conflict {
	name := o.family.GetName()
	note := func(reason string) { news = s.note(name, reason, news) }
	if reason := unfit(o.family); reason != "" {
		note(reason)
		return news
	}
	f := s.families[name]
	if f == nil || f.kind != o.family.GetType() {
		if f = s.open(w, o); f == nil {
			w.refused = append(w.refused, o)
			note(TypeConflict)
			return news
		}
	}
	rule := o.rule
	if !f.instant() {
		rule = ""
	} else if rule == "" {
		rule = Sum
	}
	switch {
	case !f.heldByOthers(w):
		s.rule(f, rule)
		f.help = o.family.GetHelp()
	case f.rule != rule:
		note(RuleConflict)
	case f.help != o.family.GetHelp():
		note(HelpConflict)
	}
	f.holders[w] = true
	w.holds[name] = f
	for _, m := range o.family.GetMetric() {
		if reason := s.metric(w, f, m); reason != "" {
			note(reason)
		}
	}
	return news
}

// open makes a family, in the place of others of the same names if nobody else holds those any more; nil if somebody does.
func (s *Set) open(w *Worker, o offer) *family {
	names := exposed(o.family.GetName(), o.family.GetType())
	for _, name := range names {
		if other := s.names[name]; other != nil && (other.heldByOthers(w) || w.holds[other.name] == other) {
			return nil
		}
	}
	for _, name := range names {
		if other := s.names[name]; other != nil {
			s.close(other)
		}
	}
	f := &family{name: o.family.GetName(), kind: o.family.GetType(), series: map[string]*series{}, holders: map[*Worker]bool{}}
	s.families[f.name] = f
	for _, name := range names {
		s.names[name] = f
	}
	return f
}

func (s *Set) close(f *family) {
	delete(s.families, f.name)
	for _, name := range exposed(f.name, f.kind) {
		delete(s.names, name)
	}
	for _, one := range f.series {
		s.lines -= f.lines(one)
		for _, w := range s.workers {
			delete(w.last, one)
			delete(w.instants, one)
		}
	}
}

// rule changes how a family's gauges are merged.
func (s *Set) rule(f *family, rule Rule) {
	if f.rule == rule {
		return
	}
	for _, one := range f.series {
		s.lines -= f.lines(one)
	}
	f.rule = rule
	for _, one := range f.series {
		s.lines += f.lines(one)
	}
}

// metric takes one series of a copy in; the reason says why it is not as the worker has it.
func (s *Set) metric(w *Worker, f *family, m *dto.Metric) (reason string) {
	labels, ok := sortedLabels(f, m)
	switch {
	case !ok:
		return LabelConflict
	case f.rule == PerSlot && slices.ContainsFunc(labels, func(l *dto.LabelPair) bool { return l.GetName() == slotLabel }):
		return SlotConflict
	}
	key := keyOf(labels)
	one := f.series[key]
	if one == nil {
		one = &series{key: key, labels: labels}
	}
	if f.instant() {
		value := m.GetGauge().GetValue()
		if f.kind == dto.MetricType_UNTYPED {
			value = m.GetUntyped().GetValue()
		}
		if !s.change(f, one, func() { one.set(w, value) }) {
			return ""
		}
		w.instants[one] = f
		return ""
	}
	now, before := read(f.kind, m), w.last[one]
	if before == nil {
		before = &reading{}
	}
	widened := false
	if !s.change(f, one, func() { widened = one.grow(f.kind, &now, before) }) {
		return ""
	}
	w.last[one] = &now
	switch h := m.GetHistogram(); {
	case f.kind == dto.MetricType_HISTOGRAM && h != nil && h.Schema != nil && len(now.buckets) == 0:
		return NativeHistogram
	case widened && f.heldByOthers(w):
		return BucketConflict
	}
	return ""
}

// change changes a series, counts its lines, and is false if there is no room for a new one.
func (s *Set) change(f *family, one *series, how func()) bool {
	_, there := f.series[one.key]
	if !there && s.lines >= s.limit {
		s.dropped++
		return false
	}
	if there {
		s.lines -= f.lines(one)
	}
	how()
	switch gone := f.instant() && len(one.parts) == 0; {
	case gone:
		delete(f.series, one.key)
		f.order = nil
		return true
	case !there:
		f.series[one.key] = one
		f.order = nil
	}
	s.lines += f.lines(one)
	return true
}

// set is what a worker says of a gauge.
func (s *series) set(w *Worker, value float64) {
	for i := range s.parts {
		if s.parts[i].worker == w {
			s.parts[i].value = value
			return
		}
	}
	s.parts = append(s.parts, part{w, value})
}

// keyOf makes one string of labels; no label has the byte 0xff, which is not UTF-8.
func keyOf(labels []*dto.LabelPair) string {
	var b strings.Builder
	for _, l := range labels {
		b.WriteString(l.GetName())
		b.WriteByte(0xff)
		b.WriteString(l.GetValue())
		b.WriteByte(0xff)
	}
	return b.String()
}
