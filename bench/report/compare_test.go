package report

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/prefork/cluster/bench/record"
)

func compare(t *testing.T, oldRun, newRun record.Run, before, after []record.Trial) string {
	t.Helper()
	var b bytes.Buffer
	if err := Compare(&b, oldRun, newRun, before, after); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCompareWarns(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*record.Run)
		want   string // empty: no warning
	}{
		{"the same", func(*record.Run) {}, ""},
		{"another commit is what is compared", func(r *record.Run) { r.Commit, r.Seed = "89abcde", 1 }, ""},
		{"machine", func(r *record.Run) { r.Host = "Debian 14" }, "the system differs (Debian 13, Debian 14)"},
		{"kernel", func(r *record.Run) { r.Kernel = "7.0" }, "the kernel differs (6.18.1, 7.0)"},
		{"CPU", func(r *record.Run) { r.CPU = "Example 1" }, "the CPU differs"},
		{"CPUs", func(r *record.Run) { r.CPUs = 4 }, "the number of CPUs differs (2, 4)"},
		{"memory", func(r *record.Run) { r.Memory = 1 << 30 }, "the memory differs (8.0 GiB, 1.0 GiB)"},
		{"Go", func(r *record.Run) { r.Go = "go1.27" }, "the Go version differs (go1.26.0, go1.27)"},
		{"quick", func(r *record.Run) { r.Options.Quick = true }, "a quick run is among them"},
	}
	for _, test := range tests {
		other := syntheticRun()
		test.change(&other)
		text := compare(t, syntheticRun(), other, nil, nil)
		if !strings.Contains(text, "differ by up to 30% even if nothing was changed") {
			t.Errorf("%s: the noise between two runs is not told\n%s", test.name, text)
		}
		if n := strings.Count(text, "WARNING"); test.want == "" && n > 0 || test.want != "" && (n != 1 || !strings.Contains(text, "WARNING: "+test.want)) {
			t.Errorf("%s: want one warning of %q\n%s", test.name, test.want, text)
		}
	}
}

func TestCompareVerdicts(t *testing.T) {
	t.Parallel()
	losing := measured("a", "heavy", 1, 1)
	losing[0].Result.Outcomes["reset"] = 4
	failed := measured("a", "light", 9)
	failed[0].Failed = "it died"
	six := measured("a", "light", 100, 101, 102, 103, 104, 105)
	faster := measured("a", "light", 200, 202, 204, 206, 208, 210)
	tests := []struct {
		name          string
		before, after []record.Trial
		want          []string
	}{
		{"better", six, faster, []string{"| 102 ±2% | 205 ±2% | +100.0% better | p=0.002 n=6+6 |"}},
		{"worse", faster, six, []string{"| 205 ±2% | 102 ±2% | -50.0% worse | p=0.002 n=6+6 |"}},
		{"no difference", six, six, []string{"|      ~ | p=1.000 n=6+6 |"}},
		{"too few", six[:3], faster, []string{"+103.0% | too few rounds (3, 6) |"}},
		{
			"a base measured again and what failed do not count",
			slices.Concat(again(measured("a", "light", 7, 7)), six, failed), six,
			[]string{"p=1.000 n=6+6"},
		},
		{"losses", losing, measured("a", "heavy", 1), []string{"Lost requests: a, heavy: 4 in the old run, 0 in the new one."}},
		{"only in one", six, measured("b", "light", 1), []string{
			"no cell and load in common", "## Only in the old run\n\n- small: a, light\n", "## Only in the new run\n\n- small: b, light\n",
		}},
	}
	for _, test := range tests {
		text := compare(t, record.Run{}, record.Run{}, test.before, test.after)
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing in\n%s", test.name, want, text)
			}
		}
	}
}

// Runs measure their cells in different orders; the tables do not follow them.
func TestCompareOrder(t *testing.T) {
	t.Parallel()
	before := slices.Concat(measured("b", "light", 1), measured("a", "light", 1), measured("a", "heavy", 1))
	text := compare(t, record.Run{}, record.Run{}, before, slices.Concat(before[2:], before[:2]))
	a, heavy, b := strings.Index(text, "| a    | light"), strings.Index(text, "| a    | heavy"), strings.Index(text, "| b    | light")
	if a < 0 || !(a < heavy && heavy < b) {
		t.Errorf("want a light, a heavy, b light in\n%s", text)
	}
}
