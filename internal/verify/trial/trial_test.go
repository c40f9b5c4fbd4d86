package trial

import (
	"errors"
	"strings"
	"testing"

	"github.com/prefork/cluster/internal/verify"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

// What is tolerated follows from what was done.
func TestFaults(t *testing.T) {
	type counts map[verify.Fate]int64
	tests := []struct {
		name     string
		dispatch string
		deadly   bool
		counts   counts
		severed  map[int]int64
		moved    int64
		want     string // part of the only fault; empty: none
	}{
		{"closing by restarts", "reuseport", false, counts{verify.Closing: 3, verify.Dismissed: 2}, nil, 0, ""},
		{"closing although handoff", "handoff", false, counts{verify.Closing: 3}, nil, 1, "closed"},
		{"dismissed although handoff", "handoff", false, counts{verify.Dismissed: 3}, nil, 1, "dismissed"},
		{"moved", "handoff", false, nil, nil, 1, ""},
		{"not moved", "handoff", false, nil, nil, 0, "no connection changed workers"},
		{"moved although not handoff", "shared", false, nil, nil, 1, "changed workers"},
		{"wrong", "reuseport", true, counts{verify.Wrong: 1}, nil, 0, "1 answers were wrong"},
		{"foreign", "reuseport", true, counts{verify.Foreign: 1}, nil, 0, "1 answers were wrong"},
		{"lost by nothing", "reuseport", false, counts{verify.Unanswered: 1}, nil, 0, "no worker was killed"},
		{"lost by a kill", "reuseport", true, counts{verify.Unanswered: 9}, map[int]int64{11: 4, 0: 1}, 0, ""},
		{"more severed than the killed one had", "reuseport", true, nil, map[int]int64{11: 6}, 0, "only 5"},
		{"severed by one that lives", "reuseport", true, nil, map[int]int64{12: 1}, 0, "worker 12"},
		{"severed after it had moved", "handoff", true, nil, map[int]int64{12: 1}, 1, ""},
		{"timed out", "reuseport", true, counts{verify.TimedOut: 1}, nil, 0, "not by a connection"},
		{"refused", "reuseport", true, counts{verify.Refused: 1}, nil, 0, "not by a connection"},
		{"unavailable", "reuseport", true, counts{verify.Unavailable: 1}, nil, 0, "not by a connection"},
	}
	for _, test := range tests {
		o := Outcome{dispatch: test.dispatch, deadly: test.deadly, Events: Events{Open: 5, killed: map[int]bool{11: true}}}
		o.Report.Moved, o.Report.SeveredBy = test.moved, test.severed
		for fate, n := range test.counts {
			o.Report.Counts[fate] = n
		}
		for _, n := range test.severed {
			o.Report.Severed += n
		}
		got := strings.Join(o.Faults(), "; ")
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) || len(o.Faults()) > 1 {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		if !strings.Contains(o.String(), got) {
			t.Errorf("%s: %v has no %q", test.name, &o, got)
		}
	}
}

// A worker that dies by itself, and a verb that fails, end a trial.
func TestUpsetFails(t *testing.T) {
	death := api.DeathStatus{Slot: 1, Death: plan.Death{PID: 11, Reason: "crash", Detail: "exit code 2"}}
	broken := errors.New("exit code 1: it is broken")
	tests := []struct {
		name   string
		deaths []api.DeathStatus
		err    error
		want   string
	}{
		{"a death", []api.DeathStatus{death}, nil, "worker 11 (slot 1) died by itself: crash: exit code 2"},
		{"a verb", nil, broken, broken.Error()},
	}
	for _, test := range tests {
		_, err := Trial{
			Clients: verify.Clients{Addr: "127.0.0.1:1", Requests: 1 << 40}, // to which nothing listens
			Status:  func() (api.Status, error) { return api.Status{Deaths: test.deaths}, nil },
			Command: func(...string) error { return test.err },
			Least:   2, Most: 6,
		}.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}
