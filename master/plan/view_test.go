package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// at finds the process of a seat.
func (w *world) at(id SeatID) *process {
	for _, p := range w.processes {
		if p.id == id {
			return p
		}
	}
	w.Fatalf("%v: no process in %+v: %s", w.since(), id, w.view())
	return nil
}

// in finds the process of a slot that runs a generation.
func (w *world) in(slot, generation int) *process {
	for _, p := range w.processes {
		if p.id.Slot == slot && p.generation == generation && w.s.At(p.id).State != Draining {
			return p
		}
	}
	for _, p := range w.processes {
		if p.id.Slot == slot && p.generation == generation {
			return p
		}
	}
	w.Fatalf("%v: no worker of generation %d in slot %d: %s", w.since(), generation, slot, w.view())
	return nil
}

func (w *world) since() time.Duration { return w.now.Sub(epoch) }

func (w *world) act(format string, args ...any) {
	w.acts = append(w.acts, fmt.Sprintf(format, args...))
}

// did returns what was done since the last look.
func (w *world) did() string {
	did := strings.Join(w.acts, ", ")
	w.acts = nil
	return did
}

// view shows the slots, separated by blanks, and in each its workers, the older generation first: the number of the
// generation and s for starting, r ready, R settled, d draining, D draining and acknowledged, with ! if stalled. An empty
// slot is -, and . if it is in backoff.
func (w *world) view() string {
	var slots []string
	for i := range w.s.Slots {
		var seats []string
		empty := "-"
		for j := range w.s.Slots[i].Seats {
			k := &w.s.Slots[i].Seats[j]
			if !k.Alive() {
				if k.State == Waiting && w.now.Before(k.Until) {
					empty = "."
				}
				continue
			}
			letter := string("-srd"[k.State])
			if k.Settled && k.State == Ready || k.Acked && k.State == Draining {
				letter = strings.ToUpper(letter)
			}
			if k.Stalled && k.State == Ready {
				letter += "!"
			}
			seats = append(seats, fmt.Sprintf("%d%s", k.Generation, letter))
		}
		if len(seats) == 0 {
			seats = []string{empty}
		}
		slices.Sort(seats)
		slots = append(slots, strings.Join(seats, "+"))
	}
	return strings.Join(slots, " ")
}

// is checks what stands in the slots.
func (w *world) is(view string) {
	w.Helper()
	if got := w.view(); got != view {
		w.Fatalf("%v: %s; want %s", w.since(), got, view)
	}
}

// has done checks what was done since the last look.
func (w *world) hasDone(acts string) {
	w.Helper()
	if got := w.did(); got != acts {
		w.Fatalf("%v: it did %q; want %q", w.since(), got, acts)
	}
}

// leftFor sums a counter over the slots.
func (w *world) leftFor(r Reason) (n int64) {
	for i := range w.s.Slots {
		n += w.s.Slots[i].Left[r]
	}
	return n
}

// adoptions returns what was adopted and released since the last look.
func (w *world) adoptions() string {
	var adoptions []string
	for _, act := range w.acts {
		if strings.Contains(act, " adopts ") || strings.Contains(act, " releases ") {
			adoptions = append(adoptions, act)
		}
	}
	w.acts = nil
	return strings.Join(adoptions, ", ")
}
