package plan

import (
	"fmt"
	"testing"
	"time"
)

// Who reads an inbox follows from the state of its seat, reached by triggers as in the cluster.
func TestInboxes(t *testing.T) {
	stalled := func(s *Cluster, id SeatID, now time.Time) {
		s.Heard(map[SeatID]time.Duration{id: stalledAfter + 1}, now)
	}
	for _, test := range []struct {
		name             string
		state            State
		then             func(s *Cluster, id SeatID, now time.Time)
		deserted, takers string
	}{
		{"nobody", Empty, nil, "[0 1]", "[]"},
		{"starting", Starting, nil, "[0 1]", "[]"},
		{"starting, no heartbeat yet", Starting, stalled, "[0 1]", "[]"},
		{"ready", Ready, nil, "[1]", "[0]"},
		{"ready, stalled", Ready, stalled, "[0 1]", "[]"},
		{"ready, continued", Ready, func(s *Cluster, id SeatID, now time.Time) {
			stalled(s, id, now)
			s.Heard(map[SeatID]time.Duration{id: 0}, now)
		}, "[1]", "[0]"},
		{"draining", Draining, nil, "[1]", "[]"},
		{"draining, stalled", Draining, stalled, "[0 1]", "[]"},
		{"draining, never ready", Starting, func(s *Cluster, id SeatID, now time.Time) {
			_ = s.Trigger(id, DrainAsked, Happening{Reason: Restart}, now)
		}, "[0 1]", "[]"},
		{"dead", Ready, func(s *Cluster, id SeatID, now time.Time) { _ = s.Trigger(id, HasExited, happening(1), now) }, "[0 1]", "[]"},
		{"backoff", Waiting, nil, "[0 1]", "[]"},
		{"no inbox yet", Ready, func(s *Cluster, _ SeatID, _ time.Time) { s.Slots[0].Opened = false }, "[]", "[]"},
	} {
		s, id, now := seated(t, test.state)
		s.Slots[0].Opened = true
		if test.then != nil {
			test.then(s, id, now)
		}
		deserted, takers := s.Inboxes()
		if fmt.Sprint(deserted) != test.deserted || fmt.Sprint(takers) != test.takers {
			t.Errorf("%s: deserted %v, takers %v; want %s, %s", test.name, deserted, takers, test.deserted, test.takers)
		}
	}
}

// Seats are numbered through the slots; the old and the new worker of a slot have one each.
func TestInboxesOfARestart(t *testing.T) {
	w := booted(t, workers(3, 1))
	w.restart()
	w.is("1R+2s 1R 1R")
	if deserted, takers := w.s.Inboxes(); fmt.Sprint(deserted, takers) != "[1 3 5] [0 2 4]" {
		t.Errorf("deserted %v, takers %v", deserted, takers)
	}
	w.run(1500 * time.Millisecond)
	w.is("2R 1R+2r 1R")
	if deserted, takers := w.s.Inboxes(); fmt.Sprint(deserted, takers) != "[0 5] [1 2 3 4]" {
		t.Errorf("deserted %v, takers %v", deserted, takers)
	}
}
