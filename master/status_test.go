package master

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// With handoff the status says what was passed on and how even that made the workers, of all slots and both seats of each. Otherwise
// it says nothing of it.
func TestStatusOfHandoff(t *testing.T) {
	m := masterOf(t, &Snapshot{Wanted: 2, Slots: 3, Threads: 3})
	for _, dispatch := range []string{"reuseport", "shared"} {
		m.config.Dispatch = dispatch
		if s := m.Status(); s.Handoff != nil {
			t.Errorf("%s: %+v", dispatch, s.Handoff)
		}
	}
	m.config.Dispatch = "handoff"
	if s := m.Status(); !slices.Equal(s.Handoff.Shares, []float64{0, 0, 0}) {
		t.Errorf("before the first request the shares are %v", s.Handoff.Shares)
	}
	for seat, requests := range []int{2, 3, 4, 0, 0, 1} {
		row := m.board.Row(seat)
		for range requests {
			row.Answer(200)
		}
		row.Handoff.Moved[scoreboard.MovedPushed].Store(int64(seat))
		row.Handoff.Stayed[scoreboard.StayedFull].Store(1)
	}
	s := m.Status()
	if h := s.Handoff; h.Moved["pushed"] != 15 || h.Stayed["inbox_full"] != 6 || !slices.Equal(h.Shares, []float64{0.5, 0.4, 0.1}) {
		t.Errorf("%+v", h)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Handoff struct {
			Connections, Stayed map[string]int64
			Shares              []float64
		}
	}
	if err := json.Unmarshal(text, &read); err != nil || read.Handoff.Connections["pushed"] != 15 || read.Handoff.Stayed["inbox_full"] != 6 || len(read.Handoff.Shares) != 3 {
		t.Errorf("as JSON: %+v, %v\n%s", read, err, text)
	}
}
