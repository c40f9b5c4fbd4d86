// Package journal keeps the last events of the cluster for those who ask, and hands new ones to those who follow. An event
// is a record of the log that has a name, so one call both logs and records; nobody who reads them makes the master wait.
package journal

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"
)

const (
	maxBytes = 4 << 20 // that all kept events take, roughly
	batch    = 64      // events that a follower holds while it hands them on
)

// Journal holds the last events. Its methods may be called by any goroutine.
type Journal struct {
	mu      sync.Mutex
	most    int
	kept    []Event // the oldest first; the IDs have no gaps
	bytes   int     // that they cost
	last    uint64  // ID of the newest event that there was
	changed chan struct{}
}

// New is an empty journal that keeps the last n events, fewer if they are very large.
func New(n int) *Journal {
	return &Journal{most: n, changed: make(chan struct{})}
}

// add gives the event its ID.
func (j *Journal) add(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	e.ID = j.last
	j.kept = append(j.kept, e)
	j.bytes += e.cost()
	for len(j.kept) > j.most || j.bytes > maxBytes && len(j.kept) > 1 {
		j.bytes -= j.kept[0].cost()
		j.kept[0] = Event{} // the array behind the slice would hold its fields
		j.kept = j.kept[1:]
	}
	close(j.changed)
	j.changed = make(chan struct{})
}

// Since returns the kept events with a higher ID, the oldest first; 0 is for all. If some of those are not kept any more, an
// event EventsLost stands in their place. An ID that there has not been yet comes from an earlier master: it counts as 0.
func (j *Journal) Since(id uint64) []Event {
	events, _ := j.after(id, j.most)
	return events
}

// Follow gives the events that Since returns, and then new ones as they happen, until the context ends: what has happened by
// then is given first. A follower that is so slow that events are not kept until it takes them gets EventsLost.
func (j *Journal) Follow(ctx context.Context, since uint64) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for {
			events, changed := j.after(since, batch)
			for _, e := range events {
				if !yield(e) {
					return
				}
				since = e.ID
			}
			if len(events) > 0 {
				continue
			}
			if ctx.Err() != nil {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}

// after returns at most n kept events with a higher ID, and what is closed when there is another.
func (j *Journal) after(id uint64, n int) ([]Event, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if id > j.last {
		id = 0
	}
	first := j.last + 1 - uint64(len(j.kept)) // ID of the oldest
	var events []Event
	switch {
	case id == 0:
		id = first - 1
	case id+1 < first:
		lost := first - 1 - id
		events = append(events, Event{
			ID: first - 1, Time: time.Now(), Level: "warn", Name: EventsLost,
			Message: fmt.Sprintf("%d events are not kept any more: they were asked for too late", lost), Fields: map[string]any{"lost": lost},
		})
		id = first - 1
	}
	rest := j.kept[id+1-first:]
	return append(events, rest[:min(n, len(rest))]...), j.changed
}
