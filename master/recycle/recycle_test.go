package recycle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/plan"
)

var epoch = time.Date(2025, 11, 22, 10, 0, 0, 0, time.UTC)

const mib = 1 << 20

// ready is a worker of generation 1 that was ready at the epoch; its slot and spawn are the number.
func ready(n int, change ...func(*Seen)) Seen {
	s := Seen{ID: plan.SeatID{Slot: n, Spawn: uint64(n)}, Generation: 1, Ready: true, ReadyAt: epoch, Threads: 3}
	for _, f := range change {
		f(&s)
	}
	return s
}

func requests(n int64) func(*Seen)      { return func(s *Seen) { s.Requests = n } }
func size(n int64) func(*Seen)          { return func(s *Seen) { s.PSS, s.Anonymous = n*mib, n*mib } }
func stuck(d time.Duration) func(*Seen) { return func(s *Seen) { s.Stuck = d } }
func spawn(n uint64) func(*Seen)        { return func(s *Seen) { s.ID.Spawn = n } }
func since(d time.Duration) func(*Seen) { return func(s *Seen) { s.ReadyAt = epoch.Add(d) } }
func renewing(s *Seen)                  { s.Renewing = true }
func starting(s *Seen)                  { s.Ready, s.ReadyAt = false, time.Time{} }
func second(s *Seen)                    { s.Generation = 2 }

// look is one look: what is seen so long after the epoch, and what comes of it, "slot reason" or "slot!" for a warning.
type look struct {
	after time.Duration
	seen  []Seen
	want  string
}

func TestLook(t *testing.T) {
	one := func(s Seen) []Seen { return []Seen{s} }
	tests := []struct {
		name   string
		config configs.Config
		looks  []look
	}{
		{"nothing is set", configs.Config{}, []look{
			{0, one(ready(0)), ""},
			{1000 * time.Hour, one(ready(0, requests(1<<40), size(1<<20), stuck(time.Hour))), ""},
		}},
		{"requests, from those that the row had before", configs.Config{RecycleRequests: 100}, []look{
			{0, one(ready(0, requests(5000), starting)), ""},
			{time.Second, one(ready(0, requests(5089))), ""},
			{2 * time.Second, one(ready(0, requests(5090))), "0 recycle_requests"},
			{3 * time.Second, one(ready(0, requests(5095), renewing)), ""},
			{4 * time.Second, one(ready(0, requests(5100))), ""}, // given up: after as many again
			{5 * time.Second, one(ready(0, requests(5180))), "0 recycle_requests"},
			{6 * time.Second, one(ready(0, spawn(9), requests(5200))), ""}, // the next one
			{7 * time.Second, one(ready(0, spawn(9), requests(5290))), "0 recycle_requests"},
		}},
		{"fewer requests than can be divided", configs.Config{RecycleRequests: 1}, []look{
			{0, one(ready(0)), ""},
			{time.Second, one(ready(0, requests(1))), "0 recycle_requests"},
		}},
		{"age", configs.Config{RecycleAge: 10 * time.Minute}, []look{
			{0, one(ready(0, starting)), ""},
			{9*time.Minute - 1, one(ready(0)), ""},
			{9 * time.Minute, one(ready(0)), "0 recycle_age"},
			{10 * time.Minute, one(ready(0)), ""},
			{18 * time.Minute, one(ready(0)), "0 recycle_age"},
		}},
		{"memory of each", configs.Config{RecycleMemory: 100 * mib}, []look{
			{0, []Seen{ready(0, size(89)), ready(1, size(10))}, ""},
			{time.Second, []Seen{ready(0, size(90)), ready(1, size(10))}, "0 recycle_memory"},
			{2 * time.Second, []Seen{ready(0, size(95), renewing), ready(1, size(10))}, ""},
			{3 * time.Second, []Seen{ready(0, size(95)), ready(1, size(10))}, ""}, // given up
			{4 * time.Second, []Seen{ready(0, size(80)), ready(1, size(10))}, ""},
			{5 * time.Second, []Seen{ready(0, size(90)), ready(1, size(10))}, "0 recycle_memory"},
		}},
		{"as large soon again", configs.Config{RecycleMemory: 100 * mib}, []look{
			{0, one(ready(0, size(150))), "0 recycle_memory"},
			{time.Second, one(ready(0, spawn(5), since(time.Second), size(91))), "0!"},
			{2 * time.Minute, one(ready(0, spawn(6), since(2*time.Minute), size(300))), ""},
			{time.Hour, one(ready(0, spawn(7), since(2*time.Minute), size(300))), ""},
			{time.Hour, one(ready(0, spawn(8), since(time.Hour), size(300), second)), "0 recycle_memory"},
		}},
		{"as large after a while", configs.Config{RecycleMemory: 100 * mib}, []look{
			{0, one(ready(0, size(100))), "0 recycle_memory"},
			{time.Second, one(ready(0, spawn(5), since(time.Second), size(50))), ""},
			{2 * time.Minute, one(ready(0, spawn(5), since(time.Second), size(100))), "0 recycle_memory"},
		}},
		{"memory of all", configs.Config{Memory: 200 * mib}, []look{ // 20 MiB are the master's
			{0, []Seen{ready(0, size(80)), ready(1, size(90))}, ""},
			{time.Second, []Seen{ready(0, size(80)), ready(1, size(91)), ready(2, starting)}, ""}, // meanwhile memory counts twice
			{2 * time.Second, []Seen{ready(0, size(80)), ready(1, size(91), renewing)}, ""},
			{3 * time.Second, []Seen{ready(0, size(80)), ready(1, size(91))}, "1 recycle_memory"},
			{4 * time.Second, []Seen{ready(0, size(80)), ready(1, size(91))}, "0 recycle_memory"}, // given up: the next one
			{5 * time.Second, []Seen{ready(0, size(80)), ready(1, size(91))}, ""},
			{6 * time.Second, []Seen{ready(0, size(20)), ready(1, size(91))}, ""},
			{7 * time.Second, []Seen{ready(0, size(90)), ready(1, size(91))}, "1 recycle_memory"},
		}},
		{"memory of all that is too little", configs.Config{Memory: 200 * mib}, []look{
			{0, []Seen{ready(0, size(100)), ready(1, size(90))}, "0 recycle_memory"},
			{time.Second, []Seen{ready(0, spawn(5), since(time.Second), size(100)), ready(1, size(90))}, "1 recycle_memory 0!"},
			{2 * time.Second, []Seen{ready(0, spawn(5), since(time.Second), size(100)), ready(1, spawn(6), since(2*time.Second), size(90))}, "1!"},
			{time.Hour, []Seen{ready(0, spawn(5), size(100)), ready(1, spawn(6), size(90))}, ""},
		}},
		{"one cause at a time", configs.Config{Memory: 200 * mib, RecycleAge: time.Hour, RecycleRequests: 10}, []look{
			{0, []Seen{ready(0), ready(1)}, ""},
			{2 * time.Hour, []Seen{ready(0, size(100), requests(50)), ready(1, size(150))}, "0 recycle_requests 1 recycle_age"},
			{2*time.Hour + 1, []Seen{ready(0, size(100), requests(50)), ready(1, size(150))}, "0 recycle_age"},
			{2*time.Hour + 2, []Seen{ready(0, size(100), requests(50)), ready(1, size(150))}, "1 recycle_memory"},
		}},
		{"stuck", configs.Config{RequestTimeout: 10 * time.Second}, []look{
			{0, one(ready(0, stuck(10*time.Second))), ""},
			{time.Second, one(ready(0, stuck(11*time.Second))), "0 request_stuck"},
			{2 * time.Second, one(ready(0, stuck(12*time.Second))), ""}, // given up
			{3 * time.Second, one(ready(0)), ""},
			{20 * time.Second, one(ready(0, stuck(11*time.Second))), "0 request_stuck"},
			{20 * time.Second, one(ready(1, stuck(time.Hour), starting)), ""},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := New(func() float64 { return 0.5 }) // 90% of each setting
			for i, l := range tt.looks {
				causes, warnings := w.Look(&tt.config, l.seen, 20*mib, epoch.Add(l.after))
				var got []string
				for _, c := range causes {
					if got = append(got, fmt.Sprint(c.Slot, " ", c.Reason)); c.Detail == "" {
						t.Errorf("look %d: no detail", i)
					}
				}
				for _, w := range warnings {
					got = append(got, fmt.Sprint(w.Slot, "!"))
				}
				if got := strings.Join(got, " "); got != l.want {
					t.Errorf("look %d: %q, want %q; %+v %+v", i, got, l.want, causes, warnings)
				}
			}
			if last := tt.looks[len(tt.looks)-1].seen; len(w.workers) != len(last) {
				t.Errorf("%d workers are remembered, and %d are there", len(w.workers), len(last))
			}
		})
	}
}

// Each worker has limits of its own, between 80% and 100% of the settings.
func TestSpread(t *testing.T) {
	draws := []float64{0, 0.999, 0.5}
	w := New(func() float64 {
		d := draws[0]
		draws = draws[1:]
		return d
	})
	c := configs.Config{RecycleRequests: 1000}
	at := map[int]int64{}
	for n := range int64(1001) {
		var seen []Seen
		for slot := range 3 {
			s := ready(slot, requests(n))
			if _, done := at[slot]; done {
				s.Requests = at[slot]
			}
			seen = append(seen, s)
		}
		causes, _ := w.Look(&c, seen, 0, epoch)
		for _, cause := range causes {
			at[cause.Slot] = n
		}
	}
	if at[0] != 1000 || at[1] != 800 || at[2] != 900 {
		t.Errorf("renewed after %v requests, want 1000, 800 and 900", at)
	}
}

func TestDetails(t *testing.T) {
	c := configs.Config{RecycleMemory: 64 * mib, RequestTimeout: time.Second}
	w := New(func() float64 { return 0 })
	causes, _ := w.Look(&c, []Seen{ready(0, size(70)), ready(1, stuck(2*time.Second))}, 0, epoch)
	want := []string{
		"it has 70 MiB of anonymous memory, and may have 64 MiB (recycle-memory)",
		"each of its 3 threads has been running its request for longer than request-timeout (1s)",
	}
	for i, c := range causes {
		if c.Detail != want[i] {
			t.Errorf("%q, want %q", c.Detail, want[i])
		}
	}
	if len(causes) != 2 {
		t.Errorf("%+v", causes)
	}
}
