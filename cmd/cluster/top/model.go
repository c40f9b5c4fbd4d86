// Package top shows a cluster in a terminal, as it is now and by keys. What is shown and what a key does are pure (Model);
// only program.go knows the terminal, and only Cluster the master. Never is more than one request under way, and no key
// waits for one.
package top

import (
	"context"
	"fmt"
	"time"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/journal"
)

// Cluster is the master, asked over its control socket. Every call ends in time, with an error for a person if the master
// does not answer or refuses.
type Cluster interface {
	// Status is GET /v1/status.
	Status(ctx context.Context) (*api.Status, error)
	// Events is GET /v1/events: those that are kept and newer than the one with the number since, in order; none if the
	// master keeps none.
	Events(ctx context.Context, since uint64) ([]journal.Event, error)
	// Restart is POST /v1/restart: of all workers, or of the one in a slot. It does not wait for the end.
	Restart(ctx context.Context, slot *int) error
	// Scale is POST /v1/scale: to so many workers.
	Scale(ctx context.Context, workers int) error
}

// eventsKept is more than fits on a screen.
const eventsKept = 200

// request is what the master is asked next.
type request struct {
	action *action // nil: only how things stand
	since  uint64  // the last event that is known
}

// answer is what became of a request.
type answer struct {
	action  *action
	refused error // of the action
	status  *api.Status
	events  []journal.Event
	err     error // why there is no status, or why there are no events
}

// perform asks the master, one thing after the other: what was confirmed, and how things stand then.
func perform(ctx context.Context, c Cluster, r request) answer {
	a := answer{action: r.action}
	if r.action != nil {
		a.refused = r.action.do(ctx, c)
	}
	if a.status, a.err = c.Status(ctx); a.err == nil {
		a.events, a.err = c.Events(ctx, r.since)
	}
	return a
}

// place is a line of the table: a worker's seat, or with thread >= 0 one of its threads.
type place struct{ slot, seat, thread int }

// note is what became of a key, shown instead of the keys for a while.
type note struct {
	text  string
	code  code
	until time.Time
}

// noteTime is how long a note stays.
const noteTime = 8 * time.Second

// model is all that the screen shows.
type model struct {
	Look
	width, height int // 0: no limit, and nothing that only a terminal needs
	interval      time.Duration
	now           time.Time

	status   *api.Status // the last one; there always is one
	answered time.Time   // when it came
	err      error       // of the last request; nil: it was answered
	events   []journal.Event
	history  history

	asking    bool      // a request is under way
	askedAt   time.Time // since when
	next      time.Time // when the next one is due
	confirmed *action   // to be done by the next one

	paused, help, quit bool
	question           *action // to be answered by y or n
	note               note
	sort               int // index of columns
	reverse            bool
	expanded           map[int]bool // slots
	cursor             place
	index              int // of the cursor among the lines, in case that its line goes
}

func newModel(k Look, interval time.Duration, now time.Time, first answer) *model {
	m := &model{
		Look: k, interval: interval, now: now, next: now.Add(interval),
		history:  history{length: max(bucketLength, interval)},
		expanded: map[int]bool{}, cursor: place{thread: -1},
	}
	m.take(first)
	if rows := m.rows(); len(rows) > 0 {
		m.cursor = rows[0].place()
	}
	return m
}

// ask says what to ask the master now; nil: nothing, for the moment.
func (m *model) ask() *request {
	due := m.confirmed != nil || !m.paused && !m.now.Before(m.next)
	if m.asking || !due {
		return nil
	}
	r := &request{action: m.confirmed}
	if n := len(m.events); n > 0 {
		r.since = m.events[n-1].ID
	}
	m.confirmed, m.asking, m.askedAt = nil, true, m.now
	return r
}

// take takes what the master has answered.
func (m *model) take(a answer) {
	m.asking, m.next = false, m.now.Add(m.interval)
	if m.askedAt.Add(m.interval).After(m.now) {
		m.next = m.askedAt.Add(m.interval) // the time that the answer took is no part of the interval
	}
	switch {
	case a.action == nil:
	case a.refused != nil:
		m.tell(red, fmt.Sprintf("%s: %v", a.action.name, a.refused))
	default:
		m.tell(green, a.action.done)
	}
	m.err = a.err
	if a.err != nil && m.confirmed != nil {
		m.tell(red, m.confirmed.name+": not sent, the master does not answer")
		m.confirmed = nil
	}
	if a.status == nil {
		return
	}
	if m.status != nil && (m.status.PID != a.status.PID || !m.status.Started.Equal(a.status.Started)) {
		m.tell(yellow, fmt.Sprintf("another master answers: pid %d", a.status.PID))
		m.events, a.events = nil, nil // it counts its own from 1, and was asked for those after the old one's
		m.next = m.now
	}
	m.status, m.answered = a.status, m.now
	m.events = append(m.events, a.events...)
	m.events = m.events[max(0, len(m.events)-eventsKept):]
	if r := a.status.Rates; r.Window > 0 {
		m.history.add(m.now, r.Requests, r.Duration.P99)
	}
}

// tell shows what has become of something.
func (m *model) tell(c code, text string) {
	m.note = note{text: text, code: c, until: m.now.Add(noteTime)}
}

func (m *model) noted() bool { return m.note.text != "" && m.now.Before(m.note.until) }

// slow is how long an answer may take before the picture is called old.
const slow = 2 * time.Second

// silence is how long the picture has been old because the master does not answer; 0: it does.
func (m *model) silence() time.Duration {
	if m.err != nil || m.asking && m.now.Sub(m.askedAt) > slow {
		return m.now.Sub(m.answered)
	}
	return 0
}
