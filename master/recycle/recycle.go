// Package recycle decides which workers are to be renewed, and why, from what is seen of them. It looks at nothing itself and has no clock.
//
// Invariant: a cause is named once. It is named again only when it has come anew, so that a renewal that was given up does not begin again
// at the next look.
package recycle

import (
	"fmt"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/plan"
)

const (
	spread   = 0.2         // of a setting: by so much at most a worker's own limit is lower
	pressure = 0.95        // of Config.Memory, above which the largest worker is to go
	asLarge  = 0.9         // of the size at which a worker was renewed, which is as large again
	soon     = time.Minute // of ready: whoever is as large again by then will always be
)

// Seen is what was seen of a worker at a look. Sizes are bytes, 0 if nobody has looked.
type Seen struct {
	ID         plan.SeatID
	Generation int
	Ready      bool // and settled; else it starts or leaves
	ReadyAt    time.Time
	Renewing   bool          // it is to be renewed already
	Requests   int64         // that the rows of its seat have counted, those of workers before it included
	Threads    int           // that it has
	Stuck      time.Duration // so long at least each of them has been running its request; 0: one is free
	PSS        int64
	Anonymous  int64
}

// Cause is why the worker of a slot is to be renewed.
type Cause struct {
	Slot   int
	Reason plan.Reason
	Detail string // the same for a person
}

// Warning is for the operator, about a slot.
type Warning struct {
	Slot int
	Text string
}

// Watch remembers what it needs to tell what is new. Only one goroutine may use it.
type Watch struct {
	random  func() float64
	workers map[uint64]*worker // by number of their spawn
	renewed map[int]*renewed   // by slot: the last one for its memory
}

type worker struct {
	part     float64   // of the settings, its own limits; 0: it has not been ready
	requests int64     // from which its own are counted
	since    time.Time // from which its age counts
	stuck    bool      // it was wanted renewed for it, and has been stuck since
	large    bool      // likewise
	pressed  bool      // it was wanted renewed for the memory of all, which has been too much since
}

type renewed struct {
	spawn        uint64
	generation   int
	memory, each int64 // the settings at the time
	size         int64 // PSS
	hopeless     bool  // the next one was as large
}

// New is a Watch that draws the limits of workers with random, which returns numbers from 0 up to 1.
func New(random func() float64) *Watch {
	return &Watch{random: random, workers: map[uint64]*worker{}, renewed: map[int]*renewed{}}
}

// Look names the workers that are to be renewed. rest is the PSS, in bytes, of the processes that are no workers.
func (w *Watch) Look(c *configs.Config, seen []Seen, rest int64, now time.Time) (causes []Cause, warnings []Warning) {
	calm, total := true, rest // calm: nobody starts or leaves
	there := map[uint64]*worker{}
	for i := range seen {
		s := &seen[i]
		k := w.meet(s)
		there[s.ID.Spawn] = k
		total += s.PSS
		if !s.Ready {
			calm = false
			continue
		}
		reason, detail, warning := w.due(c, s, k, now)
		if warning != "" {
			warnings = append(warnings, Warning{s.ID.Slot, warning})
		}
		if reason != plan.NoReason {
			causes = append(causes, Cause{s.ID.Slot, reason, detail})
		}
		calm = calm && !s.Renewing && reason == plan.NoReason
	}
	w.workers = there
	if c.Memory == 0 || float64(total) <= pressure*float64(c.Memory) {
		for _, k := range there {
			k.pressed = false
		}
		return causes, warnings
	}
	if calm {
		cause, more := w.relieve(c, seen, total, now)
		causes, warnings = append(causes, cause...), append(warnings, more...)
	}
	return causes, warnings
}

// meet finds what is remembered of a worker, and draws its limits once it is ready.
func (w *Watch) meet(s *Seen) *worker {
	k := w.workers[s.ID.Spawn]
	if k == nil {
		k = &worker{requests: s.Requests}
	}
	if s.Ready && k.part == 0 {
		k.part, k.since = 1-spread*w.random(), s.ReadyAt
	}
	return k
}

// due is why a worker is to be renewed, for reasons of its own; NoReason if there are none, or it is to be renewed already.
func (w *Watch) due(c *configs.Config, s *Seen, k *worker, now time.Time) (reason plan.Reason, detail, warning string) {
	mine := func(setting int64) int64 { return max(1, int64(k.part*float64(setting))) }
	stuck := c.RequestTimeout > 0 && s.Stuck > c.RequestTimeout
	large := c.RecycleMemory > 0 && s.Anonymous >= mine(c.RecycleMemory)
	k.stuck, k.large = k.stuck && stuck, k.large && large
	if s.Renewing {
		return plan.NoReason, "", ""
	}
	requests, age := s.Requests-k.requests, now.Sub(k.since)
	switch {
	case stuck && !k.stuck:
		k.stuck = true
		return plan.RequestStuck, fmt.Sprintf("each of its %d threads has been running its request for longer than request-timeout (%v)", s.Threads, c.RequestTimeout), ""
	case c.RecycleRequests > 0 && requests >= mine(int64(c.RecycleRequests)):
		k.requests = s.Requests
		return plan.RecycleRequests, fmt.Sprintf("it has answered %d requests, and may answer %d (recycle-requests)", requests, mine(int64(c.RecycleRequests))), ""
	case c.RecycleAge > 0 && age >= time.Duration(mine(int64(c.RecycleAge))):
		k.since = now
		return plan.RecycleAge, fmt.Sprintf("it has been ready for %v, and may be for %v (recycle-age)", age.Round(time.Second), time.Duration(mine(int64(c.RecycleAge))).Round(time.Second)), ""
	case large && !k.large:
		k.large = true
		if warning, no := w.inVain(c, s, 0, now); no {
			return plan.NoReason, "", warning
		}
		w.remember(c, s)
		return plan.RecycleMemory, fmt.Sprintf("it has %s of anonymous memory, and may have %s (recycle-memory)", mebibytes(s.Anonymous), mebibytes(mine(c.RecycleMemory))), ""
	}
	return plan.NoReason, "", ""
}

// relieve names the largest worker, because all processes together have too much memory.
func (w *Watch) relieve(c *configs.Config, seen []Seen, total int64, now time.Time) (cause []Cause, warnings []Warning) {
	var largest *Seen
	for i := range seen {
		s := &seen[i]
		if w.workers[s.ID.Spawn].pressed {
			continue
		}
		warning, no := w.inVain(c, s, asLarge, now)
		if warning != "" {
			warnings = append(warnings, Warning{s.ID.Slot, warning})
		}
		if !no && (largest == nil || s.PSS > largest.PSS) {
			largest = s
		}
	}
	if largest == nil {
		return nil, warnings
	}
	w.workers[largest.ID.Spawn].pressed = true
	w.remember(c, largest)
	detail := fmt.Sprintf("all processes together have %s, more than %.0f%% of memory (%s), and it is the largest with %s", mebibytes(total), 100*pressure, mebibytes(c.Memory), mebibytes(largest.PSS))
	return []Cause{{largest.ID.Slot, plan.RecycleMemory, detail}}, warnings
}

// remember notes that the worker of a slot is renewed for its memory.
func (w *Watch) remember(c *configs.Config, s *Seen) {
	w.renewed[s.ID.Slot] = &renewed{spawn: s.ID.Spawn, generation: s.Generation, memory: c.Memory, each: c.RecycleMemory, size: s.PSS}
}

// inVain says whether to renew a worker for its memory would help nobody: the one before was, and this one has that part of its size, and
// is to go for it, soon after it was ready. The warning is for the first time.
func (w *Watch) inVain(c *configs.Config, s *Seen, part float64, now time.Time) (warning string, no bool) {
	r := w.renewed[s.ID.Slot]
	if r == nil || r.spawn == s.ID.Spawn || r.generation != s.Generation || r.memory != c.Memory || r.each != c.RecycleMemory {
		return "", false
	}
	if r.hopeless {
		return "", true
	}
	if now.Sub(s.ReadyAt) >= soon || float64(s.PSS) < part*float64(r.size) {
		return "", false
	}
	r.hopeless = true
	return fmt.Sprintf("worker is too large again (%s) soon after the one before was renewed for its memory: the limit is too small for it, so it is not renewed "+
		"for that again in this generation; raise memory or recycle-memory, or run fewer workers", mebibytes(s.PSS)), true
}

func mebibytes(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
