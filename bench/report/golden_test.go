package report

import (
	"bytes"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew")

// What the reports look like; after a change look at the difference in testdata.
func TestGolden(t *testing.T) {
	t.Parallel()
	trials := syntheticTrials(t, 1, 1)
	other := syntheticRun()
	other.Kernel, other.Seed, other.Commit = "6.19.0", 43, "4567def"
	changed := syntheticTrials(t, 2, 1.15)
	changed[0].Cell = "new cell"
	tests := []struct {
		file  string
		write func(io.Writer) error
	}{
		{"report.md", func(w io.Writer) error { return Markdown(w, syntheticRun(), trials, suites()) }},
		{"compare.md", func(w io.Writer) error { return Compare(w, syntheticRun(), other, trials, changed) }},
		{"bench.txt", func(w io.Writer) error { return Benchfmt(w, syntheticRun(), trials[:16]) }},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			if err := test.write(&b); err != nil {
				t.Fatal(err)
			}
			file := "testdata/" + test.file
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, want := strings.Split(b.String(), "\n"), strings.Split(string(text), "\n")
			line := func(lines []string, i int) string {
				return strings.Join(lines[min(i, len(lines)):min(i+1, len(lines))], "")
			}
			for i := range max(len(got), len(want)) {
				if line(got, i) != line(want, i) {
					t.Fatalf("%s:%d is not what is written now (go test ./bench/report -run TestGolden -update)\n%s\nnow\n%s",
						file, i+1, line(want, i), line(got, i))
				}
			}
		})
	}
}
