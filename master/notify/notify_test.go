package notify

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)

// step is a look at a time, and what is to be said then.
type step struct {
	at    time.Duration
	state State
	said  string // messages with blanks between; EXTEND_TIMEOUT_USEC is extend
}

func TestTell(t *testing.T) {
	reload := start.Add(time.Hour)
	for name, steps := range map[string][]step{
		"a start that takes a while, and a stop": {
			{0, State{Text: "starting"}, "STATUS=starting extend"},
			{time.Second, State{Text: "starting", Serving: true}, ""},
			{5 * time.Second, State{Text: "starting"}, "extend"},
			{6 * time.Second, State{Started: true, Text: "ready"}, "READY=1 STATUS=ready"},
			{20 * time.Second, State{Started: true, Text: "ready"}, ""},
			{21 * time.Second, State{Started: true, Stopping: true, Text: "stopping"}, "STOPPING=1 STATUS=stopping extend"},
			{22 * time.Second, State{Started: true, Stopping: true, Text: "stopping"}, ""},
			{26 * time.Second, State{Started: true, Stopping: true, Text: "stopping"}, "extend"},
		},
		"a reload at once": {
			{0, State{Started: true}, "READY=1"},
			{time.Second, State{Started: true, Reloaded: reload, Monotonic: 7 * time.Second}, "RELOADING=1/MONOTONIC_USEC=7000000 READY=1"},
			{2 * time.Second, State{Started: true, Reloaded: reload}, ""},
		},
		"a reload that replaces the workers": {
			{0, State{Started: true}, "READY=1"},
			{time.Second, State{Started: true, Reloaded: reload, Changing: true, Monotonic: 7 * time.Second}, "RELOADING=1/MONOTONIC_USEC=7000000 extend"},
			{2 * time.Second, State{Started: true, Reloaded: reload, Changing: true}, ""},
			{6 * time.Second, State{Started: true, Reloaded: reload, Changing: true}, "extend"},
			{8 * time.Second, State{Started: true, Reloaded: reload}, "READY=1"},
		},
		"a restart before all were ready": {
			{0, State{Changing: true}, "extend"},
			{time.Second, State{Started: true, Changing: true}, "READY=1"},
			{2 * time.Second, State{Started: true}, ""},
		},
		"a stop during a restart": {
			{0, State{Started: true}, "READY=1"},
			{time.Second, State{Started: true, Changing: true}, "RELOADING=1/MONOTONIC_USEC=0 extend"},
			{2 * time.Second, State{Started: true, Changing: true, Stopping: true}, "STOPPING=1 extend"},
			{3 * time.Second, State{Started: true, Stopping: true}, ""},
		},
		"a status of two lines": {{0, State{Started: true, Text: "one\nWATCHDOG=trigger"}, "READY=1 STATUS=one_WATCHDOG=trigger"}},
	} {
		t.Run(name, func(t *testing.T) {
			var teller Teller
			for i, s := range steps {
				if got := words(teller.Tell(s.state, start.Add(s.at))); got != s.said {
					t.Errorf("look %d, after %v: %q, want %q", i, s.at, got, s.said)
				}
			}
		})
	}
}

func words(messages []string) string {
	said := make([]string, 0, len(messages))
	for _, m := range messages {
		if m == fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", 15_000_000) {
			m = "extend"
		}
		said = append(said, strings.NewReplacer(" ", "_", "\n", "/").Replace(m))
	}
	return strings.Join(said, " ")
}

// The watchdog hears that all is well three times in its interval, but not from a loop that hangs, and not if nobody has
// served for as long as it waits.
func TestWatchdog(t *testing.T) {
	const interval = 30 * time.Second
	for name, test := range map[string]struct {
		change func(s *State, at time.Duration)
		want   []int // seconds of the first minute and a half
	}{
		"well":                           {func(*State, time.Duration) {}, []int{0, 10, 20, 30, 40, 50, 60, 70, 80, 90}},
		"the loop hangs after 15 s":      {func(s *State, at time.Duration) { s.Turned = start.Add(min(at, 15*time.Second)) }, []int{0, 10, 20, 30, 40}},
		"nobody serves after 15 s":       {func(s *State, at time.Duration) { s.Serving = at <= 15*time.Second }, []int{0, 10, 20, 30, 40}},
		"nobody serves for 20 s":         {func(s *State, at time.Duration) { s.Serving = at < 15*time.Second || at > 35*time.Second }, []int{0, 10, 20, 30, 40, 50, 60, 70, 80, 90}},
		"it has not started yet":         {func(s *State, _ time.Duration) { s.Started, s.Serving = false, false }, []int{0, 10, 20, 30, 40, 50, 60, 70, 80, 90}},
		"the last worker left at a stop": {func(s *State, _ time.Duration) { s.Stopping, s.Serving = true, false }, []int{0, 10, 20, 30, 40, 50, 60, 70, 80, 90}},
	} {
		t.Run(name, func(t *testing.T) {
			teller := Teller{Watchdog: interval}
			var got []int
			for at := time.Duration(0); at <= 90*time.Second; at += interval / 6 {
				s := State{Started: true, Serving: true, Turned: start.Add(at)}
				test.change(&s, at)
				for _, m := range teller.Tell(s, start.Add(at)) {
					if m == "WATCHDOG=1" {
						got = append(got, int(at/time.Second))
					}
				}
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("at %v s, want %v", got, test.want)
			}
		})
	}
}
