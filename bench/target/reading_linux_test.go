package target

import (
	"testing"
	"time"

	"github.com/prefork/cluster/bench/proc"
)

// Who serves and who is the master, by what the target is.
func TestReadingSplit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name            string
		role            string
		masterServes    bool
		serving, master int // processes
	}{
		{"one process", "serve", false, 1, 0},
		{"a master and its children", "family", false, 2, 1},
		{"a master that serves, too", "family", true, 3, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := launcher(t)
			l.Peers = func(name string, p Params) (Command, error) {
				c, err := peers(name, p)
				c.MasterServes = test.masterServes
				return c, err
			}
			r := started(t, l, Spec{Kind: Peer, Peer: test.role})
			m, err := r.Memory()
			if err != nil {
				t.Fatal(err)
			}
			if m.Serving.Processes != test.serving || m.Master.Processes != test.master || m.Serving.RSS < 1<<20 || (m.Master.RSS >= 1<<20) != (test.master > 0) {
				t.Errorf("memory: %+v", m)
			}
			reading, err := r.Read()
			if err != nil {
				t.Fatal(err)
			}
			if children := test.serving + test.master - 1; reading.Serving.CPU < burnt*time.Duration(children) {
				t.Errorf("%d children burnt %v each, but: %+v", children, burnt, reading.Serving)
			}
			if (reading.Master != proc.Usage{}) != (test.master > 0) {
				t.Errorf("the master used %+v", reading.Master)
			}
			if reading.Counters.Known || reading.Time.IsZero() {
				t.Errorf("reading: %+v", reading)
			}
		})
	}
}

// Children that end take nothing with them, and what they used is not the master's.
func TestReadingKeepsTheDead(t *testing.T) {
	t.Parallel()
	r := started(t, launcher(t), Spec{Kind: Peer, Peer: "family"})
	before, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	ask(t, r, "/reap", 1, 200)
	after, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	b, a := before.Serving, after.Serving
	if a.CPU < b.CPU || a.RunQueue < b.RunQueue || a.Voluntary < b.Voluntary || a.Involuntary < b.Involuntary || a.Faults < b.Faults {
		t.Errorf("went back:\n%+v\n%+v", b, a)
	}
	if grown := a.CPU - b.CPU; grown > burnt {
		t.Errorf("CPU of those that serve went from %v to %v when they ended", b.CPU, a.CPU)
	}
	if grown := after.Master.CPU - before.Master.CPU; grown < 0 || grown > burnt {
		t.Errorf("CPU of the master went from %v to %v when its children ended", before.Master.CPU, after.Master.CPU)
	}
	again, err := r.Read()
	if err != nil || again.Serving.Voluntary != a.Voluntary || again.Serving.RunQueue != a.RunQueue {
		t.Errorf("nobody is left who could use anything: %+v, then %+v, %v", a, again.Serving, err)
	}
}
