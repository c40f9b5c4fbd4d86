package record

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/target"
)

func example() (Run, []Trial) {
	run := Run{
		Started: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Command: []string{"cluster", "bench", "cost"}, Seed: 7, CPUs: 2,
		Sysctls: map[string]string{"net.core.somaxconn": "4096"},
	}
	return run, []Trial{
		{Suite: "cost", Cell: "bare", Step: "plaintext", Round: 1, Order: 2, Result: &load.Result{Answered: 10, Outcomes: map[string]int64{"ok": 10}}},
		{
			Suite: "cost", Cell: "bare", Again: true, Step: "plaintext", Round: 1, Order: 1, Failed: "it \"died\"\nat once",
			Target: target.Spec{Kind: target.Bare}, Events: []Event{{What: "restart", At: time.Second}},
		},
	}
}

func text(t *testing.T) string {
	t.Helper()
	run, trials := example()
	var b bytes.Buffer
	if err := Write(&b, run, trials); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFileReadsWhatItWrote(t *testing.T) {
	t.Parallel()
	wantRun, wantTrials := example()
	wantRun.Format = Format
	run, trials, err := Read(strings.NewReader(text(t)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(run, wantRun) || !reflect.DeepEqual(trials, wantTrials) {
		t.Errorf("read\n%+v\n%+v\nwant\n%+v\n%+v", run, trials, wantRun, wantTrials)
	}
}

func TestFileErrors(t *testing.T) {
	t.Parallel()
	whole := text(t)
	lines := strings.SplitAfter(whole, "\n")
	tests := []struct {
		name, text string
		trials     int
		want       string // part of the error; empty: none
		cut        bool
	}{
		{"whole", whole, 2, "", false},
		{"without the last newline", strings.TrimSuffix(whole, "\n"), 2, "", false},
		{"no trials", lines[0], 0, "", false},
		{"cut in the last line", whole[:len(whole)-20], 1, "line 3", true},
		{"broken in the middle", lines[0] + lines[1][:9] + "\n" + lines[2], 0, "line 2 is not a trial", false},
		{"an empty line", lines[0] + "\n" + lines[1], 0, "line 2 is not a trial", false},
		{"a trial of wrong types", lines[0] + `{"suite":1}` + "\n", 0, "line 2 is not a trial", false},
		{"empty", "", 0, "the file is empty", false},
		{"not JSON", "BenchmarkX 1 2 ns/op\n", 0, "no result file", false},
		{"cut in the first line", lines[0][:30], 0, "no result file", false},
		{"begins with a trial", lines[1], 0, "no format", false},
		{"a later format", strings.Replace(whole, `"format":1`, `"format":2`, 1), 0, "format 2, and this program reads format 1", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			run, trials, err := Read(strings.NewReader(test.text))
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("error %v, want %q in it", err, test.want)
			}
			if errors.Is(err, ErrCut) != test.cut {
				t.Errorf("cut off: %v (%v), want %v", !test.cut, err, test.cut)
			}
			if len(trials) != test.trials {
				t.Errorf("%d trials, want %d", len(trials), test.trials)
			}
			if (err == nil || test.cut) && run.Seed != 7 {
				t.Errorf("the run was not read: %+v", run)
			}
		})
	}
}

// Each line is one write, so that what is in the file ends with a whole line unless the kernel itself cuts one.
func TestWriterWritesWholeLines(t *testing.T) {
	t.Parallel()
	run, trials := example()
	var writes pieces
	file, err := NewWriter(&writes, run)
	if err != nil {
		t.Fatal(err)
	}
	for _, trial := range trials {
		if err := file.Add(trial); err != nil {
			t.Fatal(err)
		}
	}
	if len(writes) != 3 {
		t.Fatalf("%d writes, want 3", len(writes))
	}
	for _, piece := range writes {
		if strings.Count(piece, "\n") != 1 || !strings.HasSuffix(piece, "\n") {
			t.Errorf("a write is not one line: %q", piece)
		}
	}
}

type pieces []string

func (p *pieces) Write(b []byte) (int, error) {
	*p = append(*p, string(b))
	return len(b), nil
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestWriterReports(t *testing.T) {
	t.Parallel()
	run, trials := example()
	if err := Write(full{}, run, trials); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("error %v", err)
	}
}
