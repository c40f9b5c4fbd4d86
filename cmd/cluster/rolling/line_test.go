package rolling

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

func slotStates(bar string) []string {
	var all []string
	for _, c := range bar {
		for state, char := range barOf {
			if char == string(c) {
				all = append(all, state)
			}
		}
	}
	return all
}

func progress(outcome plan.Outcome, replaced, workers int, bar string) api.RestartProgress {
	return api.RestartProgress{Rollout: plan.Rollout{Generation: 4, From: 3, Outcome: outcome, Reason: "boot_exit", Replaced: replaced}, Workers: workers, Surge: 1, Slots: slotStates(bar)}
}

func TestLiveText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		p    api.RestartProgress
		left time.Duration
		want string
	}{
		{progress(plan.Running, 3, 8, "###+...."), 5500 * time.Millisecond, "generation 4: 3 of 8 replaced [###+....] · slot 3 settling · about 6 s left"},
		{progress(plan.Running, 0, 2, "-."), 0, "generation 4: 0 of 2 replaced [-.] · slot 0 starting"},
		{progress(plan.Running, 1, 4, "#+-+"), 0, "generation 4: 1 of 4 replaced [#+-+] · slots 1, 3 settling · slot 2 starting"},
		{progress(plan.Running, 1, 6, "#-----"), 0, "generation 4: 1 of 6 replaced [#-----] · 5 slots starting"},
		{progress(plan.Running, 0, 40, strings.Repeat(".", 39)+"-"), 0, "generation 4: 0 of 40 replaced · slot 39 starting"},
		{progress(plan.Running, 0, 3, "+"), 0, "generation 4: 0 of 3 replaced · the process settling"},
		{progress(plan.Returning, 0, 2, "#-"), 0, "generation 4 failed (boot_exit): returning to generation 3 [#-] · slot 1 starting"},
		{progress(plan.Done, 2, 2, "##"), 0, "generation 4: all 2 workers replaced · the old ones leave"},
	} {
		if got := liveText(test.p, test.left); got != test.want {
			t.Errorf("%s\nwant %s", got, test.want)
		}
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		line    string
		columns int
		want    string
	}{
		{"a · b", 6, "a · b"},
		{"a · b", 5, "a ·…"},
		{"a · b", 1, "…"},
		{strings.Repeat("x", 79), 0, strings.Repeat("x", 79)},
		{strings.Repeat("x", 80), 0, strings.Repeat("x", 78) + "…"},
	} {
		if got := fit(test.line, test.columns); got != test.want {
			t.Errorf("%q in %d columns: %q, want %q", test.line, test.columns, got, test.want)
		}
	}
}

// The first slot alone, then surge at a time: what is left is as many steps as long as those that are done.
func TestPace(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	for _, test := range []struct {
		surge, workers int
		at             []float64 // when each slot was replaced, in seconds
		now            float64
		want           float64
	}{
		{1, 4, nil, 9, 0},                      // nothing is known
		{1, 4, []float64{2}, 2, 6},             // three more of 2 s
		{1, 4, []float64{2}, 3, 5},             // one second later
		{1, 4, []float64{2}, 8, 4},             // the second one takes long: two are to follow it
		{1, 4, []float64{2, 3}, 3, 3},          // 1.5 s each
		{1, 4, []float64{2, 3, 4}, 30, 1},      // never 0 before the end
		{3, 7, []float64{2}, 2, 4},             // two steps of three
		{3, 7, []float64{2, 3, 3.5}, 3.5, 2.5}, // the first step of three is not done
		{3, 7, []float64{2, 3, 3, 4}, 4, 2},    // now it is
		{1, 1, []float64{2}, 2, 0},
	} {
		var e pace
		p := progress(plan.Running, 0, test.workers, "")
		p.Surge, p.Started = test.surge, begun
		at := func(s float64) time.Time { return begun.Add(time.Duration(s * float64(time.Second))) }
		e.note(p, begun)
		for i, s := range test.at {
			p.Replaced = i + 1
			e.note(p, at(s))
		}
		if got := e.left(p, at(test.now)).Seconds(); got != test.want {
			t.Errorf("%+v: %v s left", test, got)
		}
	}
	// One that took over begins anew.
	e := pace{generation: 3, done: 5, at: begun}
	p := progress(plan.Running, 0, 8, "")
	if e.note(p, begun); e.left(p, begun) != 0 {
		t.Errorf("of another generation: %v left", e.left(p, begun))
	}
}

func TestRoughly(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		time.Millisecond: "1 s", 5500 * time.Millisecond: "6 s", 10 * time.Second: "10 s", 11 * time.Second: "15 s", time.Minute: "60 s",
		61 * time.Second: "2 min", time.Hour: "60 min", 100 * time.Minute: "2 h",
	} {
		if got := roughly(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// On a terminal one line is written anew and ends as the verdict; elsewhere each change is a line.
func TestRestartLine(t *testing.T) {
	t.Parallel()
	done := progress(plan.Done, 2, 2, "##")
	done.Final = true
	reports := []api.RestartProgress{progress(plan.Running, 0, 2, "-."), progress(plan.Running, 0, 2, "+."), progress(plan.Running, 1, 2, "#."), done}
	for _, test := range []struct {
		terminal bool
		want     string
	}{
		{false, "generation 4: 0 of 2 workers replaced\ngeneration 4: 1 of 2 workers replaced\ngeneration 4: all 2 workers replaced in 0s\n"},
		{true, "\r\x1b[Kgeneration 4: 0 of 2 replaced [-.] · slot 0 starting\r\x1b[Kgeneration 4: 0 of 2 replaced [+.] · slot 0 settling\r\x1b[Kgeneration 4: 1 of 2 replaced [#.] · about 5 s left\r\x1b[Kgeneration 4: all 2 workers replaced in 0s\n"},
	} {
		var out bytes.Buffer
		l := Line{out: &out, terminal: test.terminal}
		now := time.Now()
		for _, p := range reports {
			p.Started, p.Ended = now, now
			l.Show(p, now.Add(time.Duration(p.Replaced)*5*time.Second))
		}
		if got := out.String(); got != test.want {
			t.Errorf("terminal %v:\n%q\nwant\n%q", test.terminal, got, test.want)
		}
	}
}
