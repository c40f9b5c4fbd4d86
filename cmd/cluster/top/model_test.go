package top

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/metrics/rates"
)

// fake notes what it is asked.
type fake struct {
	asked  []string
	status *api.Status
	events []journal.Event
	refuse error
	gone   error
}

func (f *fake) Status(context.Context) (*api.Status, error) {
	f.asked = append(f.asked, "status")
	if f.gone != nil {
		return nil, f.gone
	}
	return f.status, nil
}

func (f *fake) Events(_ context.Context, since uint64) ([]journal.Event, error) {
	f.asked = append(f.asked, fmt.Sprint("events ", since))
	i := slices.IndexFunc(f.events, func(e journal.Event) bool { return e.ID > since })
	if i < 0 {
		return nil, nil
	}
	return f.events[i:], nil
}

func (f *fake) Restart(_ context.Context, slot *int) error {
	what := "restart"
	if slot != nil {
		what = fmt.Sprint("restart slot ", *slot)
	}
	f.asked = append(f.asked, what)
	return f.refuse
}

func (f *fake) Scale(_ context.Context, workers int) error {
	f.asked = append(f.asked, fmt.Sprint("scale ", workers))
	return f.refuse
}

// round lets the model ask and gives it the answer, as the program does. It reports whether there was anything to ask.
func round(m *model, f *fake) bool {
	r := m.ask()
	if r == nil {
		return false
	}
	if again := m.ask(); again != nil {
		panic("two requests under way")
	}
	m.take(perform(context.Background(), f, *r))
	return true
}

// Keys, the question that they lead to, what the master is asked then and what the last line says of it.
func TestKeys(t *testing.T) {
	t.Parallel()
	refused := errors.New("the cluster is stopping")
	for _, test := range []struct {
		keys     string // one after the other
		refuse   error
		question string
		asked    string // without status and events
		says     string
	}{
		{keys: "r", question: "a restart to generation 4 is under way: supersede it, replace all 3 workers"},
		{keys: "r y", asked: "restart", says: "restart: begun"},
		{keys: "r n", says: "restart: not done"},
		{keys: "r esc", says: "restart: not done"},
		{keys: "r x", question: "a restart to generation 4 is under way: supersede it, replace all 3 workers"},
		{keys: "r x y", asked: "restart", says: "restart: begun"},
		{keys: "r y", refuse: refused, asked: "restart", says: "restart: the cluster is stopping"},
		{keys: "y"},
		{keys: "R", question: "restart: replace the worker of slot 0 (pid 4005), new before old"},
		{keys: "R y", asked: "restart slot 0", says: "restart of slot 0: begun"},
		{keys: "j R", question: "restart: replace the worker of slot 1 (pid 4001), new before old"},
		{keys: "enter j j R y", asked: "restart slot 0", says: "restart of slot 0: begun"}, // on a thread
		{keys: "end R", question: "restart: replace the worker of slot 2, new before old"},
		{keys: "+", question: "scale: start a worker, 4 instead of 3"},
		{keys: "+ y", asked: "scale 4", says: "scale: 4 workers wanted"},
		{keys: "-", question: "scale: drain the worker of the highest slot, 2 instead of 3"},
		{keys: "- y", asked: "scale 2", says: "scale: 2 workers wanted"},
		{keys: "- q", says: "scale: not done"},
		{keys: "+ y", refuse: refused, asked: "scale 4", says: "scale: the cluster is stopping"},
		{keys: "+ y - y", asked: "scale 4", says: "scale: 4 workers wanted"}, // the first has not been sent yet
		{keys: "x"},
	} {
		t.Run(test.keys, func(t *testing.T) {
			t.Parallel()
			m, f := modelOf(blog(), Look{}, 80, 24, 0), &fake{status: blog(), refuse: test.refuse}
			for _, k := range strings.Fields(test.keys) {
				m.key(k)
			}
			if got, asks := strings.CutSuffix(m.screen()[23], "? y/n"); asks != (test.question != "") || asks && got != test.question {
				t.Fatalf("the last line is %q, want the question %q", got, test.question)
			}
			round(m, f)
			asked := slices.DeleteFunc(f.asked, func(s string) bool { return s == "status" || strings.HasPrefix(s, "events") })
			if got := strings.Join(asked, ", "); got != test.asked {
				t.Errorf("the master was asked %q, want %q", got, test.asked)
			}
			if m.note.text != test.says {
				t.Errorf("says %q, want %q", m.note.text, test.says)
			}
			if m.quit {
				t.Error("it quits")
			}
		})
	}
}

func TestQuit(t *testing.T) {
	t.Parallel()
	for keys, want := range map[string]bool{"q": true, "ctrl+c": true, "r ctrl+c": true, "r q": false, "? q": true, "x": false} {
		m := modelOf(blog(), Look{}, 80, 24, 0)
		for _, k := range strings.Fields(keys) {
			m.key(k)
		}
		if m.quit != want {
			t.Errorf("%s: quits %v, want %v", keys, m.quit, want)
		}
	}
}

// Where the cursor is after some keys: slot, seat and thread.
func TestMove(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		keys string
		want place
	}{
		{"", place{0, 1, -1}},
		{"k", place{0, 1, -1}},
		{"down", place{1, 0, -1}},
		{"j j", place{1, 1, -1}},
		{"j j j j j", place{2, 0, -1}},
		{"end", place{2, 0, -1}},
		{"G g", place{0, 1, -1}},
		{"pgdown", place{2, 0, -1}},
		{"pgdown pgup", place{0, 1, -1}},
		{"enter j j", place{0, 1, 0}},
		{"enter j j j", place{0, 1, 1}},
		{"enter j j j j", place{1, 0, -1}},
		{"enter j j space", place{0, 1, -1}}, // the thread's line goes, and the cursor to its worker
		{"enter j j a a", place{0, 1, -1}},
		{"s", place{0, 1, -1}}, // it stays on its worker, which is not the first any more
		{"S k", place{1, 1, -1}},
	} {
		m := modelOf(blog(), Look{}, 120, 40, 0)
		for _, k := range strings.Fields(test.keys) {
			m.key(k)
		}
		if m.cursor != test.want {
			t.Errorf("%q: at %v, want %v", test.keys, m.cursor, test.want)
		}
	}
	// Its worker goes: the cursor is on the one that has come there.
	m := modelOf(blog(), Look{}, 120, 40, 0)
	m.key("end")
	s := blog()
	s.Slots = s.Slots[:2]
	m.take(answer{status: s})
	m.key("R")
	if m.question == nil || !strings.Contains(m.question.question, "slot 1 ") {
		t.Errorf("asks %+v", m.question)
	}
	m.take(answer{status: &api.Status{}})
	m.key("n")
	m.key("j")
	m.screen() // of no worker at all
}

func TestSort(t *testing.T) {
	t.Parallel()
	for column, want := range map[string]string{
		"SLOT": "0/1 1/0 1/1 2/0", "GEN": "0/1 1/1 1/0 2/0", "STATE": "2/0 1/0 0/1 1/1", "UP": "1/0 0/1 1/1 2/0", "REQ/S": "1/0 0/1 1/1 2/0",
		"P99": "1/0 0/1 1/1 2/0", "BACKL": "0/1 1/0 1/1 2/0", "PID": "2/0 1/0 0/1 1/1",
	} {
		m := modelOf(blog(), Look{}, 80, 24, 0)
		for i := 0; columns[m.sort].head != column; i++ {
			if m.key("s"); i > len(columns) {
				t.Fatalf("no column %s", column)
			}
		}
		order := func() string {
			var seats []string
			for _, r := range m.rows() {
				seats = append(seats, fmt.Sprintf("%d/%d", r.Slot, r.Seat))
			}
			return strings.Join(seats, " ")
		}
		if got := order(); got != want {
			t.Errorf("by %s: %s, want %s", column, got, want)
		}
		if m.key("S"); order() == want {
			t.Errorf("by %s: S does not reverse", column)
		}
		if last := m.screen()[23]; !strings.Contains(last, "s sort: "+strings.ToLower(column)+" reversed") {
			t.Errorf("by %s: the last line is %q", column, last)
		}
	}
}

// What is asked when: never two requests, none before its time, none while paused but what was confirmed.
func TestAsking(t *testing.T) {
	t.Parallel()
	s := blog()
	f := &fake{status: s, events: happened(3)}
	m := newModel(Look{}, time.Second, noon, perform(t.Context(), f, request{}))
	m.width, m.height = 80, 24
	if round(m, f) {
		t.Error("asks again at once")
	}
	m.now = m.now.Add(time.Second)
	f.events = append(f.events, journal.Event{ID: 4})
	if !round(m, f) || len(m.events) != 4 || f.asked[len(f.asked)-1] != "events 3" {
		t.Errorf("asked %q, knows %d events", f.asked, len(m.events))
	}

	m.key("p")
	m.now = m.now.Add(time.Minute)
	if round(m, f) || !strings.HasPrefix(m.screen()[0], "paused · blog is restarting") {
		t.Errorf("paused: %q", m.screen()[0])
	}
	m.key("+")
	m.key("y")
	if !round(m, f) || !slices.Contains(f.asked, "scale 4") {
		t.Errorf("paused, what is confirmed is not asked: %q", f.asked)
	}
	m.key("p")

	// A slow answer, and keys meanwhile.
	m.now = m.now.Add(time.Second)
	if m.ask() == nil {
		t.Fatal("does not ask")
	}
	m.key("-")
	m.key("y")
	m.now = m.now.Add(3 * time.Second)
	if m.ask() != nil {
		t.Error("two requests under way")
	}
	if first := m.screen()[0]; !strings.HasPrefix(first, "no answer for 4s · blog was") {
		t.Errorf("the first line is %q", first)
	}
	m.take(answer{err: errors.New("the master does not answer")})
	if m.confirmed != nil || m.note.text != "scale: not sent, the master does not answer" {
		t.Errorf("says %q", m.note.text)
	}

	// It is gone, and another one comes, whose events count from 1.
	f.gone = errors.New("no cluster is running")
	m.now = m.now.Add(2 * time.Second)
	if !round(m, f) || m.err == nil || m.status == nil {
		t.Fatal("does not go on")
	}
	if second := m.screen()[1]; second != "trying again: no cluster is running" {
		t.Errorf("the second line is %q", second)
	}
	f.gone, f.events = nil, []journal.Event{{ID: 1, Name: "new"}}
	f.status = blog()
	f.status.PID = 101
	m.now = m.now.Add(time.Second)
	if !round(m, f) || m.err != nil || m.note.text != "another master answers: pid 101" {
		t.Errorf("says %q", m.note.text)
	}
	if !round(m, f) || len(m.events) != 1 || m.events[0].Name != "new" {
		t.Errorf("knows %+v", m.events)
	}
	if round(m, f) {
		t.Error("asks again at once")
	}
}

func TestEventsAreBounded(t *testing.T) {
	t.Parallel()
	m := modelOf(blog(), Look{}, 80, 24, 3*eventsKept)
	if n := len(m.events); n != eventsKept || m.events[n-1].ID != 3*eventsKept {
		t.Errorf("%d events, the last is %d", n, m.events[n-1].ID)
	}
}

func TestSparkline(t *testing.T) {
	t.Parallel()
	gap := math.NaN()
	for _, test := range []struct {
		values []float64
		want   string
	}{
		{nil, ""},
		{[]float64{0, 0}, "▁▁"},
		{[]float64{0, 1, 2, 3, 4, 5, 6, 7, 8}, "▁▂▃▄▅▆▇██"},
		{[]float64{1, gap, 0.5, -1}, "█ ▅▁"},
		{[]float64{gap}, " "},
	} {
		if got := sparkline(test.values); got != test.want {
			t.Errorf("%v: %q, want %q", test.values, got, test.want)
		}
	}
}

func TestSplitBar(t *testing.T) {
	t.Parallel()
	part := func(name string, share float64) rates.Part { return rates.Part{Name: name, Share: share} }
	for _, test := range []struct {
		parts []rates.Part
		want  string
	}{
		{nil, ""},
		{[]rates.Part{part("io", 1)}, "iiiiiiiiii"},
		{[]rates.Part{part("io", 0.62), part("cpu", 0.2), part("gc", 0.18)}, "iiiiiiccgg"},
		{[]rates.Part{part("queue", 0.34), part("cpu", 0.33), part("io", 0.33)}, "qqqcccciii"},
		{[]rates.Part{part("io", 0.99), part("gc", 0.01)}, "iiiiiiiiii"},
		{[]rates.Part{part("io", 7), part("gc", 1)}, "iiiiiiiiii"},
		{[]rates.Part{part("io", -1), part("gc", 0.5)}, "ggggg"},
	} {
		if got := splitBar(test.parts, 10); got != test.want {
			t.Errorf("%v: %q, want %q", test.parts, got, test.want)
		}
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	h := history{length: 5 * time.Second}
	at := func(seconds int) time.Time { return time.Unix(1_000_000+int64(seconds), 0) }
	requests := func(b bucket) float64 { return b.requests }
	if v := h.last(at(0), 10, requests); len(v) != 0 {
		t.Errorf("of nothing: %v", v)
	}
	h.add(at(0), 1, 0)
	h.add(at(4), 3, 0)
	h.add(at(5), 2, 0)
	h.add(at(16), 4, 0)
	if got, want := fmt.Sprint(h.last(at(21), 10, requests)), "[3 2 NaN 4 NaN]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := fmt.Sprint(h.last(at(21), 3, requests)), "[NaN 4 NaN]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for i := range 10_000 {
		h.add(at(20+i), 1, 1)
	}
	if n := len(h.buckets); n != int(historyLength/h.length)+1 {
		t.Errorf("%d buckets are kept", n)
	}
	if v := h.last(at(-100), 5, requests); len(v) != 5 { // the clock was put back
		t.Errorf("%v", v)
	}
}
