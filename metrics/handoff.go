package metrics

import "github.com/prefork/cluster/ipc/scoreboard"

// Handoff is what happened to connections that were to be passed on to a sibling (dispatch handoff), since the cluster was
// started. The maps have all their keys, also those that never happened.
type Handoff struct {
	Moved     map[string]int64 `json:"connections"` // passed on, by reason: pushed, hinted, drained
	Received  int64            `json:"received"`
	Stayed    map[string]int64 `json:"stayed"` // times that a connection could not be passed on, by reason
	Conflicts int64            `json:"reservation_conflicts"`
	Expired   int64            `json:"reservations_expired"`
}

// HandoffOf adds what the workers of slots first to end-1 have counted, those that have left included.
func HandoffOf(b *scoreboard.Board, first, end int) Handoff {
	h := Handoff{Moved: map[string]int64{}, Stayed: map[string]int64{}}
	for seat := 2 * first; seat < 2*end; seat++ {
		row := &b.Row(seat).Handoff
		for i, reason := range moves {
			h.Moved[reason] += row.Moved[i].Load()
		}
		for i, reason := range stays {
			h.Stayed[reason] += row.Stayed[i].Load()
		}
		h.Received += row.Received.Load()
		h.Conflicts += row.Conflicts.Load()
		h.Expired += row.Expired.Load()
	}
	return h
}

// handoff sends what the workers of a slot have counted of connections that were passed on.
func (p pen) handoff(h Handoff, label string) {
	for reason, n := range h.Moved {
		p.counter(handedOff, float64(n), label, reason)
	}
	for reason, n := range h.Stayed {
		p.counter(stayed, float64(n), label, reason)
	}
	p.counter(received, float64(h.Received), label)
	p.counter(conflicts, float64(h.Conflicts), label)
	p.counter(expired, float64(h.Expired), label)
}
