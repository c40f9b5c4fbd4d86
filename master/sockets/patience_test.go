package sockets

import (
	"testing"
	"time"
)

// Who holds the address at each attempt, and how long after the start its answer came.
type attempt struct {
	after  time.Duration
	owners string // w: a worker of a dead master, p: another program
	again  bool
}

func TestPatience(t *testing.T) {
	const s = time.Second
	for name, attempts := range map[string][]attempt{
		"another program":                    {{0, "p", false}},
		"another program beside orphans":     {{0, "wp", false}},
		"orphans until they should be gone":  {{0, "ww", true}, {10 * s, "w", true}, {16*s - 1, "w", true}, {16 * s, "w", false}},
		"nobody is found for a second":       {{0, "", true}, {s / 2, "", true}, {s - 1, "", true}, {s, "", false}},
		"a search that took long":            {{5 * s, "", true}, {6*s - 1, "", true}, {6 * s, "", false}},
		"orphans that leave during a search": {{5 * s, "ww", true}, {15 * s, "", true}, {16*s - 1, "", true}, {16 * s, "", false}},
		"orphans that leave at the very end": {{15 * s, "w", true}, {17 * s, "", true}, {18 * s, "", false}},
		"orphans that were missed at first":  {{0, "", true}, {s / 2, "w", true}, {3 * s, "", true}, {4*s - 1, "", true}},
		"a program that came after orphans":  {{0, "w", true}, {3 * s, "p", false}},
		"orphans that were missed for long":  {{0, "", true}, {2 * s, "w", true}, {3 * s, "w", true}},
	} {
		begun := time.Now()
		p := NewPatience(begun.Add(16 * s))
		for i, a := range attempts {
			taken := &TakenError{}
			for _, kind := range a.owners {
				taken.Owners = append(taken.Owners, Owner{PID: 1, Worker: kind == 'w'})
			}
			if again := p.Again(taken, begun.Add(a.after)); again != a.again {
				t.Errorf("%s: attempt %d, %v after the start: again %v, want %v", name, i, a.after, again, a.again)
			}
		}
	}
}
