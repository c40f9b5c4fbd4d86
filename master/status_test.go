package master

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/metrics/rates"
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

// threadStates are those of a worker's threads, in order.
func threadStates(w api.WorkerStatus) string {
	var all []string
	for _, t := range w.ThreadList {
		all = append(all, t.State)
	}
	return strings.Join(all, " ")
}

// Each thread is shown with what it does. One that the worker is to have no more is shown until it is free.
func TestStatusOfThreads(t *testing.T) {
	m := masterOf(t, &Snapshot{Wanted: 1, Slots: 1, Threads: 3, Workers: []WorkerView{
		{Seat: 1, PID: 1 << 30, Threads: 3, State: plan.Ready}, {Seat: 0, State: plan.Waiting},
	}})
	cell := func(i int) *scoreboard.Cell { return m.board.Cell(1, i) }
	cell(0).Take()
	cell(0).Begin(m.clock.Now()-int64(time.Minute), "GET", "/\x1b[2J")
	cell(1).Reserve(3, m.clock.Now(), 1)
	cell(5).Take()
	got := m.Status()
	if states := threadStates(got.Slots[0]); states != "running reserved free running" {
		t.Errorf("the threads are %s", states)
	}
	if first := got.Slots[0].ThreadList[0]; first.Method != "GET" || first.Path != "/\x1b[2J" || first.For < 60 || first.For > 600 {
		t.Errorf("the first: %+v", first)
	}
	if fourth := got.Slots[0].ThreadList[3]; fourth != (api.Thread{State: "running"}) {
		t.Errorf("the fourth, which was just taken: %+v", fourth)
	}
	if got.Slots[1].ThreadList != nil {
		t.Errorf("a slot that waits has %d threads", len(got.Slots[1].ThreadList))
	}
}

// The rates are those of the scoreboard, of each process and of all; what nobody has asked for has no parts.
func TestStatusOfRates(t *testing.T) {
	m := masterOf(t, &Snapshot{Wanted: 1, Slots: 1, Workers: []WorkerView{{PID: 1 << 30, Threads: 3, State: plan.Ready}, {Seat: 1, State: plan.Waiting}}})
	first := m.Status()
	for _, r := range []rates.Rates{first.Rates, first.Slots[0].Rates, first.Slots[1].Rates} {
		if r.Window != 0 || r.Time.Parts == nil {
			t.Errorf("at first: %+v", r)
		}
	}
	text, err := json.Marshal(first)
	if err != nil || !strings.Contains(string(text), `"parts":[]`) || strings.Contains(string(text), `"parts":null`) {
		t.Errorf("%s, %v", text, err)
	}
}
