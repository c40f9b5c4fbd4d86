package report

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/stats"
	"github.com/prefork/cluster/bench/suite"
)

// small is a suite of two cells under two loads.
func small(tables ...suite.Table) suite.Suite {
	steps := []suite.Step{{Name: "light"}, {Name: "heavy"}}
	return suite.Suite{Name: "small", Question: "?", Cells: []suite.Cell{{Name: "a", Steps: steps}, {Name: "b", Steps: steps[:1]}}, Tables: tables}
}

// measured are trials of rounds in each of which so many requests were answered in a second.
func measured(cell, step string, rates ...int64) []record.Trial {
	var trials []record.Trial
	for i, n := range rates {
		trials = append(trials, record.Trial{Suite: "small", Cell: cell, Step: step, Round: i + 1, Result: &load.Result{
			Elapsed: 1e9, Answered: n, Outcomes: map[string]int64{"ok": n},
		}})
	}
	return trials
}

func again(trials []record.Trial) []record.Trial {
	for i := range trials {
		trials[i].Again = true
	}
	return trials
}

func TestTables(t *testing.T) {
	t.Parallel()
	few := []string{"Fewer than 6 rounds: medians without interval, and no verdict."}
	losing := measured("a", "heavy", 10, 10)
	losing[1].Result.Outcomes["reset"], losing[1].Result.First = 2, "connection reset"
	failed := measured("b", "light", 90)
	failed[0].Failed = "it died"
	busy := measured("b", "light", 5, 5)
	busy[0].Result.Bottleneck = true
	base := slices.Concat(
		measured("a", "light", 100, 101, 102, 103, 104, 105), again(measured("a", "light", 100, 101, 102, 103, 104, 105)),
		measured("b", "light", 200, 202, 204, 206, 208, 210))
	tests := []struct {
		name   string
		def    suite.Table
		trials []record.Trial
		title  string
		head   []string
		rows   [][]string
		notes  []string
	}{
		{
			"a row a cell",
			suite.Table{Title: "T", Steps: []string{"light"}, Figures: []string{"rate"}},
			append(measured("a", "light", 1, 3), measured("b", "light", 7)...),
			"T",
			[]string{"", "rate, requests/s"},
			[][]string{{"a", "2"}, {"b", "7"}},
			few,
		},
		{
			"only one of the steps was measured, which b does not go through",
			suite.Table{Title: "T", Figures: []string{"rate"}},
			measured("a", "heavy", 5),
			"T: heavy",
			[]string{"", "rate, requests/s"},
			[][]string{{"a", "5"}},
			few,
		},
		{
			"across the steps",
			suite.Table{Title: "T", Across: true, Figures: []string{"rate"}},
			append(measured("a", "light", 1), measured("a", "heavy", 2)...),
			"T",
			[]string{"rate, requests/s", "light", "heavy"},
			[][]string{{"a", "1", "2"}, {"b", "-", "-"}},
			[]string{"No measurement: b.", "Fewer than 6 rounds (a): medians without interval, and no verdict."},
		},
		{
			"losses are shown",
			suite.Table{Title: "T", Steps: []string{"heavy"}, Figures: []string{"rate"}},
			losing,
			"T",
			[]string{"", "rate, requests/s", "lost"},
			[][]string{{"a", "10", "2"}},
			append(few, "The first loss of a (heavy, round 2): connection reset"),
		},
		{
			"losses of one step are shown across",
			suite.Table{Title: "T", Across: true, Cells: []string{"a"}, Figures: []string{"rate"}},
			append(measured("a", "light", 9), losing...),
			"T",
			[]string{"rate, requests/s", "light", "heavy", "lost"},
			[][]string{{"a", "9", "10", "2"}},
			append(few, "The first loss of a (heavy, round 2): connection reset"),
		},
		{
			"a failed trial is no measurement",
			suite.Table{Title: "T", Steps: []string{"light"}, Figures: []string{"rate"}},
			append(measured("a", "light", 1), failed...),
			"T",
			[]string{"", "rate, requests/s"},
			[][]string{{"a", "1"}, {"b", "-"}},
			[]string{"No measurement: b.", "Fewer than 6 rounds (a): medians without interval, and no verdict."},
		},
		{
			"the generator was too slow",
			suite.Table{Title: "T", Steps: []string{"light"}, Cells: []string{"b"}, Figures: []string{"rate"}},
			busy,
			"T",
			[]string{"", "rate, requests/s"},
			[][]string{{"b †", "5"}},
			append(few, "† In 1 of 2 trials the load generator had no CPU time left: the server could perhaps do more."),
		},
		{
			"against a base that was measured twice",
			suite.Table{Title: "T", Steps: []string{"light"}, Base: "a", Compare: "rate", Figures: []string{"rate", "ok"}},
			base,
			"T",
			[]string{"", "rate, requests/s", "rate ÷ base", "ok"},
			[][]string{
				{"a (base)", "102 ±2%", "-", "615"}, {"a, again (A/A)", "102 ±2%", "1.000", "615"}, {"b", "205 ±2%", "2.000 better", "1230"},
			},
			nil,
		},
		{
			"compared by what is no column",
			suite.Table{Title: "T", Steps: []string{"light"}, Base: "a", Compare: "rate", Figures: []string{"ok"}},
			base,
			"T",
			[]string{"", "ok", "rate ÷ base"},
			[][]string{{"a (base)", "615", "-"}, {"a, again (A/A)", "615", "1.000"}, {"b", "1230", "2.000 better"}},
			nil,
		},
		{
			"compared across",
			suite.Table{Title: "T", Steps: []string{"light"}, Across: true, Base: "a", Compare: "rate", Figures: []string{"rate"}},
			base,
			"T",
			[]string{"rate, requests/s", "light"},
			[][]string{
				{"a (base)", "102 ±2%"}, {"a, again (A/A)", "102 ±2%, ×1.000"}, {"b", "205 ±2%, ×2.000 better"},
			},
			nil,
		},
		{
			"what is unknown says why",
			suite.Table{Title: "T", Steps: []string{"heavy"}, Figures: []string{"gc", "share_max", "rate"}},
			measured("a", "heavy", 1),
			"T",
			[]string{"", "GC, % of CPU", "fullest slot ÷ mean", "rate, requests/s"},
			[][]string{{"a", "-", "-", "1"}},
			append(few, "“-” for GC, fullest slot ÷ mean: known only of a cluster under load, which counts it itself."),
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tables, err := sorted(test.trials).tables(small(), test.def)
			if err != nil {
				t.Fatal(err)
			}
			if len(tables) != 1 {
				t.Fatalf("%d tables, want 1: %v", len(tables), tables)
			}
			got := tables[0]
			if got.Title != test.title || !slices.Equal(got.Head, test.head) || fmt.Sprintf("%q", got.Rows) != fmt.Sprintf("%q", test.rows) {
				t.Errorf("%q %q\n%q\nwant %q %q\n%q", got.Title, got.Head, got.Rows, test.title, test.head, test.rows)
			}
			if !slices.Equal(got.Notes, test.notes) {
				t.Errorf("notes\n%q, want\n%q", got.Notes, test.notes)
			}
		})
	}
}

func TestTablesErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		def  suite.Table
		want string
	}{
		{suite.Table{Figures: []string{"rte"}}, `there is no figure "rte"`},
		{suite.Table{Figures: []string{"rate"}, Base: "a", Compare: "speed"}, `compared with a: there is no figure "speed"`},
		{suite.Table{Figures: []string{"rate"}, Base: "c", Compare: "rate"}, `no cell "c"`},
		{suite.Table{Figures: []string{"rate"}, Cells: []string{"d"}}, `no cell "d"`},
		{suite.Table{Figures: []string{"rate"}, Steps: []string{"medium"}}, `no step "medium"`},
		{suite.Table{Figures: []string{"rate", "cpu"}, Across: true}, "needs one figure, and has 2"},
	}
	trials := measured("a", "light", 1)
	for _, test := range tests {
		test.def.Title = "T"
		var b bytes.Buffer
		err := Markdown(&b, record.Run{}, trials, []suite.Suite{small(test.def)})
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), `suite small, table "T"`) {
			t.Errorf("error %v, want %q in it", err, test.want)
		}
		if b.Len() > 0 {
			t.Errorf("half of a report was written:\n%s", &b)
		}
	}
	trials[0].Result.Latency.HDR = "HISTF"
	err := HTML(new(bytes.Buffer), record.Run{}, trials, []suite.Suite{small(suite.Table{Figures: []string{"p99"}})})
	if err == nil || !strings.Contains(err.Error(), "a, light, round 1 cannot be read") {
		t.Errorf("a broken histogram: error %v", err)
	}
	if err := Markdown(fullDisk{}, record.Run{}, nil, nil); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("a full disk: error %v", err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// What is in no table is told.
func TestMarkdownTells(t *testing.T) {
	t.Parallel()
	old := measured("gone", "light", 1, 2)
	var b bytes.Buffer
	if err := Markdown(&b, record.Run{Options: suite.Options{Quick: true}}, append(old, measured("a", "light", 1)...), []suite.Suite{small()}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a quick run", "2 trials are of suites, cells or steps that this version does not have"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &b)
		}
	}
}

// What programs say does not break a table, and cannot become a mark.
func TestMarkdownTable(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	markdownTable(&b, []string{"", "µs", "of"}, [][]string{{"a|b", "1", "<x>\n*y*"}, {"long name", "123.4", "-"}}, 1)
	want := `
|           |    µs |           of |
| --------- | ----: | -----------: |
| a\|b      |     1 | &lt;x> \*y\* |
| long name | 123.4 |            - |
`
	if got := "\n" + b.String(); got != want {
		t.Errorf("%s\nwant%s", got, want)
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	tests := []struct {
		summary stats.Summary
		digits  int
		want    string
	}{
		{stats.Summary{}, 2, "-"},
		{stats.Summary{N: 3, Median: 1.5}, 2, "1.50"},
		{stats.Summary{N: 6, Median: 20, Lo: 19, Hi: 20.2, Known: true}, 2, "20.00 ±5%"},
		{stats.Summary{N: 6, Median: 20, Lo: 19.9, Hi: 25, Known: true}, 2, "20.00 ±25%"},
		{stats.Summary{N: 6, Median: 0.2, Lo: 0.1, Hi: 1.4, Known: true}, 1, "0.2 (0.1–1.4)"},
		{stats.Summary{N: 6, Median: 0, Lo: 0, Hi: 3, Known: true}, 0, "0 (0–3)"},
		{stats.Summary{N: 6, Median: 7, Lo: 7, Hi: 7, Known: true}, 0, "7"},
		{stats.Summary{N: 1, Median: 123456.7}, 3, "123457"},
		{stats.Summary{N: 1, Median: 123.456}, 3, "123.5"},
		{stats.Summary{N: 1, Median: 12.3456}, 3, "12.35"},
	}
	for _, test := range tests {
		if got := median(test.summary, test.digits); got != test.want {
			t.Errorf("%+v: %q, want %q", test.summary, got, test.want)
		}
	}
}
