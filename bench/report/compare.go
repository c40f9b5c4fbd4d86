package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/stats"
)

// compared are the figures that two runs are compared by.
var compared = []string{"rate", "cpu", "p50", "p99", "sum_pss"}

// Compare writes what changed from one run to another, as Markdown: for each cell and load the medians of both and, if the
// Mann–Whitney test shows a difference, the change. Failed trials do not count, nor a base that was measured again in its round:
// the test takes values that do not depend on each other.
func Compare(w io.Writer, oldRun, newRun record.Run, old, new []record.Trial) error {
	var b bytes.Buffer
	b.WriteString("# Comparison\n\n")
	before, after := facts(oldRun), facts(newRun)
	rows := [][]string{}
	for _, fact := range before {
		rows = append(rows, []string{fact[0], fact[1], find(after, fact[0])})
	}
	for _, fact := range after {
		if find(before, fact[0]) == unknown {
			rows = append(rows, []string{fact[0], unknown, fact[1]})
		}
	}
	markdownTable(&b, []string{"", "old", "new"}, rows, 3)
	list(&b, warnings(oldRun, newRun))

	a, z := sorted(old), sorted(new)
	both, onlyOld, onlyNew := partition(a, z, old, new)
	suite := ""
	for _, key := range both {
		if key.Suite != suite {
			suite = key.Suite
			fmt.Fprintf(&b, "\n## %s\n", suite)
			compareSuite(&b, suite, both, a, z)
			list(&b, losses(suite, both, a, z))
		}
	}
	if len(both) == 0 {
		b.WriteString("\nThe runs have no cell and load in common.\n")
	}
	only(&b, "Only in the old run", onlyOld)
	only(&b, "Only in the new run", onlyNew)
	_, err := w.Write(b.Bytes())
	return err
}

func find(facts [][2]string, name string) string {
	for _, fact := range facts {
		if fact[0] == name {
			return fact[1]
		}
	}
	return unknown
}

// warnings say what else than the program differs.
func warnings(a, z record.Run) []string {
	lines := []string{
		"Two runs at different times on a shared machine differ by up to 30% even if nothing was changed. A smaller change means " +
			"something only if it is found again; cells of one run, measured in turn, tell more.",
		fmt.Sprintf("~: no difference shown (p ≥ %s). Of 20 lines without a difference about one shows one by chance.", number(stats.Alpha, 2)),
	}
	for _, fact := range []struct{ what, old, new string }{
		{"system", a.Host, z.Host},
		{"kernel", a.Kernel, z.Kernel},
		{"CPU", a.CPU, z.CPU},
		{"number of CPUs", strconv.Itoa(a.CPUs), strconv.Itoa(z.CPUs)},
		{"memory", memorySize(a), memorySize(z)},
		{"Go version", a.Go, z.Go},
	} {
		if fact.old != fact.new {
			lines = append(lines, fmt.Sprintf("WARNING: the %s differs (%s, %s): the runs cannot tell what the program changed.",
				fact.what, fact.old, fact.new))
		}
	}
	if a.Options.Quick || z.Options.Quick {
		lines = append(lines, "WARNING: a quick run is among them. Its numbers are worth little.")
	}
	return lines
}

// partition tells which cells and loads both runs have measured. Suites and loads are in the order of the old run; cells are
// in that of their names, because each run measures them in an order of its own.
func partition(a, z data, old, new []record.Trial) (both, onlyOld, onlyNew []record.Key) {
	seen := map[record.Key]bool{}
	for _, t := range append(append([]record.Trial(nil), old...), new...) {
		key := t.Key()
		if seen[key] {
			continue
		}
		seen[key] = true
		before, after := len(a.groups[key].trials) > 0, len(z.groups[key].trials) > 0
		switch {
		case before && after:
			both = append(both, key)
		case before:
			onlyOld = append(onlyOld, key)
		case after:
			onlyNew = append(onlyNew, key)
		}
	}
	suites := map[string]int{}
	for _, key := range both {
		if _, ok := suites[key.Suite]; !ok {
			suites[key.Suite] = len(suites)
		}
	}
	slices.SortStableFunc(both, func(x, y record.Key) int {
		return cmp.Or(cmp.Compare(suites[x.Suite], suites[y.Suite]), cmp.Compare(x.Cell, y.Cell))
	})
	return both, onlyOld, onlyNew
}

// compareSuite writes a table for each figure.
func compareSuite(b *bytes.Buffer, suite string, keys []record.Key, a, z data) {
	for _, name := range compared {
		f, _ := Lookup(name)
		var rows [][]string
		for _, key := range keys {
			if key.Suite != suite {
				continue
			}
			change := stats.Compare(f.values(a.groups[key].trials), f.values(z.groups[key].trials), f.Lower)
			if change.Old.N+change.New.N > 0 {
				rows = append(rows, []string{
					key.Cell, key.Step, median(change.Old, f.Digits), median(change.New, f.Digits), changeText(change), changeTest(change),
				})
			}
		}
		if len(rows) > 0 {
			fmt.Fprintf(b, "\n### %s\n\n", f.Column())
			markdownTable(b, []string{"cell", "load", "old", "new", "change", "test"}, rows, 2)
		}
	}
}

// losses are shown even where both runs lost the same.
func losses(suite string, keys []record.Key, a, z data) []string {
	f, _ := Lookup("lost")
	var lines []string
	for _, key := range keys {
		before, after := sum(f.values(a.groups[key].trials)), sum(f.values(z.groups[key].trials))
		if key.Suite == suite && before+after > 0 {
			lines = append(lines, fmt.Sprintf("Lost requests: %s, %s: %.0f in the old run, %.0f in the new one.", key.Cell, key.Step, before, after))
		}
	}
	return lines
}

func changeText(c stats.Change) string {
	switch {
	case c.Verdict == stats.TooFew && math.IsNaN(c.Delta):
		return unknown
	case c.Verdict == stats.NoDifference:
		return string(stats.NoDifference)
	case math.IsNaN(c.Delta):
		return string(c.Verdict)
	default:
		return strings.TrimSpace(fmt.Sprintf("%+.1f%% %s", 100*c.Delta, c.Verdict))
	}
}

func changeTest(c stats.Change) string {
	if c.Verdict == stats.TooFew {
		return fmt.Sprintf("too few rounds (%d, %d)", c.Old.N, c.New.N)
	}
	return fmt.Sprintf("p=%.3f n=%d+%d", c.P, c.Old.N, c.New.N)
}

func only(b *bytes.Buffer, title string, keys []record.Key) {
	if len(keys) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s\n", title)
	var lines []string
	for _, key := range keys {
		lines = append(lines, fmt.Sprintf("%s: %s, %s", key.Suite, key.Cell, key.Step))
	}
	list(b, lines)
}
