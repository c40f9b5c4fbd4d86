package merge

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"
)

// parse makes a copy of the text format. Rules are lines `#RULE name rule`.
func parse(t testing.TB, text string) *Copy {
	t.Helper()
	c := &Copy{Rules: map[string]Rule{}}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "#RULE "); ok {
			name, rule, _ := strings.Cut(rest, " ")
			c.Rules[name] = Rule(rule)
		}
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(strings.TrimSpace(text) + "\n"))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		c.Families = append(c.Families, families[name])
	}
	return c
}

// text is what a set shows, without help texts.
func text(t testing.TB, s *Set) string {
	t.Helper()
	var b bytes.Buffer
	for _, f := range s.Gather() {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	var lines []string
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "# HELP") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}

func TestMerge(t *testing.T) {
	const counter, gauge = "# TYPE c counter\n", "# TYPE g gauge\n"
	const two = `# TYPE h histogram
		h_bucket{le="1"} 2
		h_bucket{le="10"} 5
		h_bucket{le="+Inf"} 6
		h_sum 30
		h_count 6`
	// A step is "worker: copy"; an empty copy is one without metrics, "leaves" the end of the worker. Worker n is in slot n modulo 10.
	for name, tt := range map[string]struct {
		steps     []string
		want      string
		conflicts string
	}{
		"nothing":                        {[]string{"1: "}, "", ""},
		"counters are summed":            {[]string{"1: " + counter + "c 2", "2: " + counter + "c 3"}, counter + "c 5", ""},
		"and by label":                   {[]string{"1: " + counter + `c{a="x"} 2`, "2: " + counter + `c{a="x"} 3` + "\n" + `c{a="y"} 1`}, counter + `c{a="x"} 5` + "\n" + `c{a="y"} 1`, ""},
		"in any order of labels":         {[]string{"1: " + counter + `c{a="x",b="y"} 2`, "2: " + counter + `c{b="y",a="x"} 3`}, counter + `c{a="x",b="y"} 5`, ""},
		"labels that seem alike are not": {[]string{"1: " + counter + `c{a="x",b=""} 2`, "2: " + counter + `c{a="xb"} 3`}, counter + `c{a="xb"} 3` + "\n" + `c{a="x",b=""} 2`, ""},
		"a copy replaces the last one":   {[]string{"1: " + counter + "c 2", "1: " + counter + "c 7"}, counter + "c 7", ""},
		"one that leaves takes nothing":  {[]string{"1: " + counter + "c 2", "2: " + counter + "c 3", "1: leaves"}, counter + "c 5", ""},
		"the next one adds to it":        {[]string{"1: " + counter + "c 2", "1: leaves", "11: " + counter + "c 3"}, counter + "c 5", ""},
		"a counter that begins anew":     {[]string{"1: " + counter + "c 5", "1: " + counter + "c 2"}, counter + "c 7", ""},
		"a counter that was away":        {[]string{"1: " + counter + "c 5", "1: ", "1: " + counter + "c 6"}, counter + "c 6", ""},
		"a counter that went":            {[]string{"1: " + counter + "c 5", "1: "}, counter + "c 5", ""},
		"not a number":                   {[]string{"1: " + counter + "c 5", "1: " + counter + "c NaN", "1: " + counter + "c 6", "2: " + counter + "c +Inf"}, counter + "c 6", ""},
		"histograms":                     {[]string{"1: " + two, "2: " + two, "1: leaves"}, strings.NewReplacer("2\n", "4\n", "5\n", "10\n", "6\n", "12\n", "30", "60").Replace(two+"\n") + "", ""},
		"histograms with other bounds": {
			[]string{"1: " + two, `2: # TYPE h histogram
				h_bucket{le="5"} 1
				h_bucket{le="10"} 1
				h_bucket{le="+Inf"} 2
				h_sum 20
				h_count 2`},
			`# TYPE h histogram
			h_bucket{le="1"} 2
			h_bucket{le="5"} 3
			h_bucket{le="10"} 6
			h_bucket{le="+Inf"} 8
			h_sum 50
			h_count 8`, "h buckets 1",
		},
		"a histogram that begins anew": {
			[]string{"1: " + two, "1: " + strings.Replace(two, `h_bucket{le="1"} 2`, `h_bucket{le="1"} 1`, 1)},
			`# TYPE h histogram
			h_bucket{le="1"} 3
			h_bucket{le="10"} 10
			h_bucket{le="+Inf"} 12
			h_sum 60
			h_count 12`, "",
		},
		"summaries, without quantiles": {
			[]string{"1: # TYPE s summary\ns{quantile=\"0.5\"} 9\ns_sum 4\ns_count 2", "2: # TYPE s summary\ns_sum 1\ns_count 1", "1: leaves"},
			"# TYPE s summary\ns_sum 5\ns_count 3", "",
		},
		"gauges are summed":        {[]string{"1: " + gauge + "g 2", "2: " + gauge + "g 3"}, gauge + "g 5", ""},
		"a gauge that leaves":      {[]string{"1: " + gauge + "g 2", "2: " + gauge + "g 3", "1: leaves"}, gauge + "g 3", ""},
		"the last gauge":           {[]string{"1: " + gauge + "g 2", "1: leaves"}, "", ""},
		"a gauge that went":        {[]string{"1: " + gauge + "g 2", "1: "}, "", ""},
		"a gauge of no type":       {[]string{"1: u 2", "2: u 3"}, "# TYPE u untyped\nu 5", ""},
		"max":                      {[]string{"1: #RULE g max\n" + gauge + "g 2", "2: #RULE g max\n" + gauge + "g 3"}, gauge + "g 3", ""},
		"min":                      {[]string{"1: #RULE g min\n" + gauge + "g 2", "2: #RULE g min\n" + gauge + "g 3"}, gauge + "g 2", ""},
		"by slot":                  {[]string{"12: #RULE g slot\n" + gauge + `g{z="x"} 2`, "9: #RULE g slot\n" + gauge + `g{z="x"} 3`, "2: #RULE g slot\n" + gauge + `g{z="x"} 4`}, gauge + `g{slot="2",z="x"} 6` + "\n" + `g{slot="9",z="x"} 3`, ""},
		"slot is taken":            {[]string{"1: #RULE g slot\n" + gauge + `g{slot="x"} 2`}, "", "g slot_label 1"},
		"slot of others":           {[]string{"1: " + gauge + `g{slot="x"} 2`}, gauge + `g{slot="x"} 2`, ""},
		"a name of the cluster":    {[]string{"1: # TYPE cluster_x counter\ncluster_x 1"}, "", "cluster_x reserved_name 1"},
		"two metrics":              {[]string{"1: # TYPE c counter\nc 1\n# TYPE s summary\ns_sum 1\ns_count 1"}, "# TYPE c counter\nc 1\n# TYPE s summary\ns_sum 1\ns_count 1", ""},
		"other rules":              {[]string{"1: #RULE g max\n" + gauge + "g 2", "2: #RULE g min\n" + gauge + "g 3"}, gauge + "g 3", "g rule 1"},
		"the rule of those left":   {[]string{"1: #RULE g max\n" + gauge + "g 2", "2: #RULE g min\n" + gauge + "g 3", "1: leaves", "2: #RULE g min\n" + gauge + "g 3", "3: #RULE g min\n" + gauge + "g 1"}, gauge + "g 1", "g rule 1"},
		"other help":               {[]string{"1: # HELP g first\n" + gauge + "g 2", "2: # HELP g second\n" + gauge + "g 3"}, gauge + "g 5", "g help 1"},
		"other type":               {[]string{"1: " + counter + "c 2", "2: # TYPE c gauge\nc 9"}, counter + "c 2", "c type 1"},
		"the other type comes":     {[]string{"1: " + counter + "c 2", "2: # TYPE c gauge\nc 9", "1: leaves"}, "# TYPE c gauge\nc 9", "c type 1"},
		"a type changes":           {[]string{"1: " + counter + "c 2", "1: # TYPE c gauge\nc 9"}, "# TYPE c gauge\nc 9", ""},
		"nobody has the old type":  {[]string{"1: " + counter + "c 2", "1: leaves", "2: # TYPE c gauge\nc 9"}, "# TYPE c gauge\nc 9", ""},
		"a line of another metric": {[]string{"1: # TYPE s summary\ns_sum 1\ns_count 1", "2: # TYPE s_sum counter\ns_sum 4"}, "# TYPE s summary\ns_sum 1\ns_count 1", "s_sum type 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, workers := New(MaxSeries), map[string]*Worker{}
			for _, step := range tt.steps {
				who, does, _ := strings.Cut(step, ": ")
				w := workers[who]
				if w == nil {
					w = s.Join(who[len(who)-1:])
					workers[who] = w
				}
				if does == "leaves" {
					w.Leave()
					continue
				}
				w.Take(parse(t, does))
			}
			got, want := text(t, s), ""
			for line := range strings.Lines(strings.TrimSpace(tt.want)) {
				want += strings.TrimSpace(line) + "\n"
			}
			if got != strings.TrimSpace(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			stats, lines := s.Stats(), 0
			for line := range strings.Lines(got) {
				if !strings.HasPrefix(line, "#") {
					lines++
				}
			}
			if name != "by slot" && stats.Series != lines { // there two workers of a slot count as two
				t.Errorf("%d series are counted, %d shown", stats.Series, lines)
			}
			var conflicts []string
			for c, n := range stats.Conflicts {
				conflicts = append(conflicts, fmt.Sprint(c.Metric, " ", c.Reason, " ", n))
			}
			if c := strings.Join(conflicts, ", "); c != tt.conflicts {
				t.Errorf("conflicts %q, want %q", c, tt.conflicts)
			}
		})
	}
}

// What no registry of client_golang sends.
func TestUnfit(t *testing.T) {
	t.Parallel()
	label := func(pairs ...string) *dto.Metric {
		m := &dto.Metric{Counter: &dto.Counter{Value: proto.Float64(1)}, Histogram: &dto.Histogram{Schema: proto.Int32(0), SampleCount: proto.Uint64(2)}}
		for i := 0; i < len(pairs); i += 2 {
			m.Label = append(m.Label, &dto.LabelPair{Name: &pairs[i], Value: &pairs[i+1]})
		}
		return m
	}
	for name, tt := range map[string]struct {
		family string
		kind   dto.MetricType
		metric *dto.Metric
		want   string
	}{
		"fine":             {"x", dto.MetricType_COUNTER, label("a", "b"), ""},
		"no name":          {"", dto.MetricType_COUNTER, label(), BadName},
		"no UTF-8":         {"a\xff", dto.MetricType_COUNTER, label(), BadName},
		"gauge histogram":  {"x", dto.MetricType_GAUGE_HISTOGRAM, label(), Unmergeable},
		"native histogram": {"x", dto.MetricType_HISTOGRAM, label(), NativeHistogram},
		"label twice":      {"x", dto.MetricType_COUNTER, label("a", "b", "b", "c", "a", "d"), LabelConflict},
		"value no UTF-8":   {"x", dto.MetricType_COUNTER, label("a", "\xff"), LabelConflict},
		"label is a name":  {"x", dto.MetricType_COUNTER, label("__name__", "y"), LabelConflict},
		"too long":         {"x", dto.MetricType_COUNTER, label("a", strings.Repeat("x", maxLabels)), LabelConflict},
		"le":               {"x", dto.MetricType_HISTOGRAM, label("le", "1"), LabelConflict},
		"le of a counter":  {"x", dto.MetricType_COUNTER, label("le", "1"), ""},
		"quantile":         {"x", dto.MetricType_SUMMARY, label("quantile", "1"), LabelConflict},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(MaxSeries)
			c := &Copy{Families: []*dto.MetricFamily{{Name: &tt.family, Type: &tt.kind, Metric: []*dto.Metric{tt.metric}}}}
			news := s.Join("0").Take(c)
			switch {
			case tt.want == "" && len(news) == 0 && s.Stats().Series == 1:
			case len(news) != 1 || news[0].Reason != tt.want || s.Stats().Series != 0 && tt.want != NativeHistogram:
				t.Errorf("conflicts %v and %d series, want %q", news, s.Stats().Series, tt.want)
			}
			if again := s.Join("0").Take(c); len(again) > 0 {
				t.Errorf("%v is told twice", again)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	s := New(5)
	w := s.Join("0")
	w.Take(parse(t, "# TYPE g gauge\n"+`g{a="1"} 1`+"\n"+`g{a="2"} 1`+"\n"+`g{a="3"} 1`+"\n"+`g{a="4"} 1`+"\n"+`g{a="5"} 1`+"\n"+`g{a="6"} 1`+"\n"+`g{a="7"} 1`))
	if got := s.Stats(); got.Series != 5 || got.Dropped != 2 {
		t.Errorf("%+v, want 5 series and 2 dropped", got)
	}
	w.Take(parse(t, "# TYPE g gauge\n"+`g{a="7"} 1`))
	w.Take(parse(t, "# TYPE g gauge\n"+`g{a="6"} 1`+"\n"+`g{a="7"} 1`))
	if got := s.Stats(); got.Series != 2 {
		t.Errorf("%+v: what goes makes room", got)
	}
	for i := range 2 * maxConflicts {
		w.Take(parse(t, fmt.Sprintf("cluster_%d 1", i)))
	}
	if got := s.Stats().Conflicts; len(got) != maxConflicts+1 || got[Conflict{otherMetrics, ReservedName}] != maxConflicts {
		t.Errorf("%d conflicts are named, want %d: %v", len(got), maxConflicts+1, got)
	}
}

func TestCopyTravels(t *testing.T) {
	t.Parallel()
	c := parse(t, "#RULE g max\n# HELP g A gauge.\n# TYPE g gauge\ng 2\n# TYPE c counter\n"+`c{a="x"} 3`)
	data, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Encode(); err != nil || !bytes.Equal(data, again) {
		t.Error("the same copy has other bytes")
	}
	got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got.Rules, c.Rules) || len(got.Families) != 2 || !proto.Equal(got.Families[0], c.Families[0]) || !proto.Equal(got.Families[1], c.Families[1]) {
		t.Errorf("%v became %v", c, got)
	}
	if data, err := (&Copy{Rules: c.Rules}).Encode(); err != nil || len(data) > 0 {
		t.Errorf("no metrics are %q, %v", data, err)
	}
	for end := 1; end < len(data); end++ {
		if cut, err := Decode(data[:end]); err == nil && len(cut.Families) == 2 {
			t.Errorf("the first %d of %d bytes are taken for the whole", end, len(data))
		}
	}
	for _, garbage := range []string{"x", "\x02{}", "\x0d{\"version\":2}", "\xff\xff\xff\xff\xff\xff\xff\xff\x7fx", "\x0d{\"version\":1}\x02ab"} {
		if _, err := Decode([]byte(garbage)); err == nil {
			t.Errorf("%q is understood", garbage)
		}
	}
}

func FuzzDecode(f *testing.F) {
	data, err := parse(f, "#RULE g max\n# TYPE g gauge\ng 2\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 2\nh_sum 3").Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Decode(data)
		if err != nil {
			return
		}
		s := New(100)
		w := s.Join("0")
		w.Take(c)
		parser := expfmt.NewTextParser(model.UTF8Validation)
		if _, err := parser.TextToMetricFamilies(strings.NewReader(text(t, s) + "\n")); err != nil {
			t.Errorf("the scrape cannot be read: %v\n%s", err, text(t, s))
		}
		w.Leave()
		for _, family := range s.Gather() {
			if kind := family.GetType(); kind == dto.MetricType_GAUGE || kind == dto.MetricType_UNTYPED {
				t.Errorf("a gauge has stayed: %v", family)
			}
		}
		if n := s.Stats().Series; n < 0 {
			t.Errorf("%d series", n)
		}
	})
}
