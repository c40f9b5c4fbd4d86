package plan

import (
	"maps"
	"reflect"
	"slices"
	"time"
)

// watch is what a world remembers to check that each step keeps the promises.
type watch struct {
	left    [][reasons]int64 // of each slot, at the last look
	good    int
	spawns  map[uint64]bool
	dropped map[int]bool // generations that the loop has let go, because nobody ran them or was to go back to them
	settled map[int]bool // generations that had a settled worker
	covered bool         // each wanted slot has had a ready worker, and none was lost but by its own fault
	looks   int
	every   int // so many looks one compares the whole state, which is slow
}

func newWatch() watch {
	return watch{dropped: map[int]bool{}, settled: map[int]bool{}, spawns: map[uint64]bool{}, every: 2}
}

func (w *watch) thorough() bool {
	w.looks++
	return w.looks%w.every == 0
}

// clone copies all that a step could change by mistake.
func (s *Cluster) clone() *Cluster {
	c := *s
	c.Slots = slices.Clone(s.Slots)
	for i := range c.Slots {
		c.Slots[i].Deaths = slices.Clone(c.Slots[i].Deaths)
		for j := range c.Slots[i].Seats {
			k := &c.Slots[i].Seats[j]
			k.Adopted, k.ladder = maps.Clone(k.Adopted), slices.Clone(k.ladder)
		}
	}
	c.Failed = maps.Clone(s.Failed)
	c.Renewals = slices.Clone(s.Renewals)
	c.Rollouts = slices.Clone(s.Rollouts)
	for i, r := range c.Rollouts {
		copied := *r
		c.Rollouts[i] = &copied
	}
	return &c
}

// step calls Step, which must change nothing and use no chance, and checks what it wants to be done.
func (w *world) step(now time.Time) ([]Action, time.Time) {
	w.note()
	random := w.s.random
	w.s.random = nil
	var before *Cluster
	if w.thorough() {
		before = w.s.clone()
	}
	actions, next := Step(w.s, now)
	if before != nil && !reflect.DeepEqual(before, w.s) {
		w.Fatalf("%v: Step changed the state\nfrom %+v\nto   %+v", w.since(), before, w.s)
	}
	w.s.random = random
	if !next.IsZero() && !next.After(now) {
		w.Fatalf("%v: Step wants to be called again %v ago", w.since(), now.Sub(next))
	}
	begun := 0
	for _, a := range actions {
		switch a := a.(type) {
		case SpawnWorker:
			begun += w.checkSpawn(a)
		case DrainWorker:
			w.checkDrain(a)
		case AdoptSlot:
			w.checkAdoption(a.ID, a.Slot, true)
		case ReleaseSlot:
			w.checkAdoption(a.ID, a.Slot, false)
		case TakeMeasure:
			if k := w.s.At(a.ID); k.State != Draining || k.ladder[k.Rung].do != a.Do || now.Before(k.ladderFrom.Add(k.ladder[k.Rung].after)) {
				w.Fatalf("%v: measure %d is not due: %+v", w.since(), a.Do, k)
			}
		}
	}
	limit := 1
	if w.s.Target == w.s.Good || w.settled[w.s.Target] {
		limit = w.s.Config.Surge
	}
	if overlap := w.overlapping(); begun > 0 && begun+overlap > limit {
		w.Fatalf("%v: %d replacements begin while %d go on, with a limit of %d: %s", w.since(), begun, overlap, limit, w.view())
	}
	return actions, next
}

// note looks at what must only grow.
func (w *world) note() {
	for i := range w.s.Slots {
		for j := range w.s.Slots[i].Seats {
			if k := &w.s.Slots[i].Seats[j]; k.Settled {
				w.settled[k.Generation] = true
			}
		}
	}
	total := 0
	for i := range w.s.Slots {
		if i == len(w.left) {
			w.left = append(w.left, [reasons]int64{})
		}
		for r, n := range w.s.Slots[i].Left {
			if n < w.left[i][r] {
				w.Fatalf("%v: slot %d: the counter of %v went from %d to %d", w.since(), i, Reason(r), w.left[i][r], n)
			}
			total += int(n)
		}
		w.left[i] = w.s.Slots[i].Left
		if n := w.left[i][NoReason]; n != 0 {
			w.Fatalf("%v: slot %d: %d workers left without a reason", w.since(), i, n)
		}
	}
	if total != w.exits+w.failedSpawns {
		w.Fatalf("%v: %d workers are counted as left; %d exited and %d could not be spawned", w.since(), total, w.exits, w.failedSpawns)
	}
	if w.s.Good < w.good || w.s.Failed[w.s.Good] || w.s.Failed[w.s.Target] || w.s.Target != w.s.Good && w.s.Target != w.s.Newest || w.s.Target < w.s.Good {
		w.Fatalf("%v: generations: good %d (was %d), target %d, newest %d, failed %v", w.since(), w.s.Good, w.good, w.s.Target, w.s.Newest, w.s.Failed)
	}
	w.good = w.s.Good
}

// overlapping counts the slots in which a newcomer stands beside one that still accepts.
func (w *world) overlapping() (n int) {
	for i := range w.s.Slots {
		up, accepting := 0, 0
		for j := range w.s.Slots[i].Seats {
			k := &w.s.Slots[i].Seats[j]
			if k.State == Starting || k.State == Ready {
				up++
			}
			if k.State == Ready || k.State == Draining && !k.ReadyAt.IsZero() && !k.Acked && !k.Stalled {
				accepting++
			}
		}
		if up == 2 || up == 1 && accepting == 2 {
			n++
		}
	}
	return n
}

// checkSpawn returns 1 if the new worker stands beside one that serves.
func (w *world) checkSpawn(a SpawnWorker) int {
	k, other := w.s.At(a.ID), &w.s.Slots[a.ID.Slot].Seats[1-a.ID.Side]
	switch {
	case w.s.Leaving() || a.ID.Slot >= w.s.Wanted:
		w.Fatalf("%v: spawn in slot %d, which is not wanted", w.since(), a.ID.Slot)
	case k.Alive() || other.State == Starting:
		w.Fatalf("%v: spawn in slot %d seat %d: %s", w.since(), a.ID.Slot, a.ID.Seat(), w.view())
	case w.dropped[a.Generation] || w.s.Failed[a.Generation] || a.Generation != w.s.Target && a.Generation != w.s.Good:
		w.Fatalf("%v: spawn of generation %d, good %d, target %d", w.since(), a.Generation, w.s.Good, w.s.Target)
	case k.State == Waiting && w.now.Before(k.Until) || other.State == Waiting && w.now.Before(other.Until):
		w.Fatalf("%v: spawn in slot %d, which is in backoff", w.since(), a.ID.Slot)
	case other.State == Ready && w.s.Stopping:
		w.Fatalf("%v: a replacement in slot %d of a cluster that is to stop", w.since(), a.ID.Slot)
	case other.State == Ready && a.Generation == other.Generation:
		ro := w.s.Rollout()
		if w.s.renewal(other) == nil || a.Generation != w.s.Good || ro != nil && ro.Ended.IsZero() || w.overlapping() > 0 {
			w.Fatalf("%v: spawn of generation %d beside one of the same, in slot %d: %s; %+v", w.since(), a.Generation, a.ID.Slot, w.view(), w.s.Renewals)
		}
		return 1
	case other.State == Ready:
		return 1
	}
	return 0
}

// checkDrain lets nobody go who is needed.
func (w *world) checkDrain(a DrainWorker) {
	k, other := w.s.At(a.ID), &w.s.Slots[a.ID.Slot].Seats[1-a.ID.Side]
	ok := k.State == Starting || k.State == Ready
	switch a.Reason {
	case Stop:
		ok = ok && w.s.Leaving()
	case Scale:
		ok = ok && !w.s.Leaving() && a.ID.Slot >= w.s.Wanted
	case Rollback:
		ok = ok && (w.s.Failed[k.Generation] || k.Generation > w.s.Target)
	case Restart:
		ok = ok && (k.Generation < other.Generation || w.isRenewed(k, other, Restart))
	default:
		ok = ok && w.isRenewed(k, other, a.Reason)
	}
	if a.Reason != Stop && a.Reason != Scale && (a.Reason != Rollback || k.State == Ready) {
		ok = ok && other.State == Ready && other.Settled && !other.Stalled
	}
	if !ok {
		w.Fatalf("%v: drain (%v) of slot %d seat %d: %s", w.since(), a.Reason, a.ID.Slot, a.ID.Seat(), w.view())
	}
}

// isRenewed reports whether one worker of a slot is the newcomer that replaces the other for a reason.
func (w *world) isRenewed(k, newcomer *Seat, why Reason) bool {
	r := w.s.renewal(k)
	return r != nil && r.Why == why && newcomer.Generation == k.Generation && newcomer.Spawn > k.Spawn
}

func (w *world) checkAdoption(id SeatID, slot int, adopt bool) {
	if k := w.s.At(id); k.State != Ready || k.Stalled || k.Adopted[slot] == adopt || w.orphan(id.Slot, slot) != adopt {
		w.Fatalf("%v: slot %d adopts %d (%v): %+v: %s", w.since(), id.Slot, slot, adopt, k, w.view())
	}
}

// orphan reports whether a worker of one slot has to serve the listeners of another.
func (w *world) orphan(helper, slot int) bool {
	for j := range w.s.Slots[slot].Seats {
		if k := &w.s.Slots[slot].Seats[j]; k.State == Ready && !k.Stalled {
			return false
		}
	}
	return w.s.Slots[slot].Opened && helper != slot
}

// ready counts the wanted slots that have a ready worker.
func (w *world) ready() (n int) {
	for i := range w.s.Wanted {
		if seats := w.s.Slots[i].Seats; seats[0].State == Ready || seats[1].State == Ready {
			n++
		}
	}
	return n
}

// excuse is called after what the master has not done: a death, a worker that hangs, an operator.
func (w *world) excuse() { w.covered = w.covered && w.ready() >= w.s.Wanted }

func (w *world) checkSeatIsFree(id SeatID) {
	inSlot := 0
	for _, p := range w.processes {
		if p.id.Seat() == id.Seat() {
			w.Fatalf("%v: two processes in seat %d", w.since(), id.Seat())
		}
		if p.id.Slot == id.Slot {
			inSlot++
		}
	}
	if inSlot > 1 {
		w.Fatalf("%v: three processes in slot %d", w.since(), id.Slot)
	}
}

// checkFixpoint checks what holds once the loop has nothing to do for now.
func (w *world) checkFixpoint() {
	inUse := map[int]bool{w.s.Good: true, w.s.Target: true}
	for _, k := range w.s.Workers() {
		inUse[k.Generation] = true
	}
	for g := 1; g <= w.s.Newest; g++ {
		w.dropped[g] = w.dropped[g] || !inUse[g]
	}
	alive := 0
	for i := range w.s.Slots {
		for j := range w.s.Slots[i].Seats {
			k := &w.s.Slots[i].Seats[j]
			if !k.Alive() {
				continue
			}
			alive++
			p := w.at(SeatID{Slot: i, Side: j, Spawn: k.Spawn})
			if p.pid != k.PID || k.State == Ready && p.silent.IsZero() && !maps.Equal(p.adopted, k.Adopted) {
				w.Fatalf("%v: slot %d: the state says %+v, the process is %+v", w.since(), i, k, p)
			}
			for other := range w.s.Slots {
				if has := k.Adopted[other]; has && k.State != Ready || k.State == Ready && !k.Stalled && !w.s.Leaving() && has != w.orphan(i, other) {
					w.Fatalf("%v: slot %d has adopted %d: %v: %s", w.since(), i, other, has, w.view())
				}
			}
		}
	}
	if w.covered && !w.s.Leaving() && w.ready() < w.s.Wanted {
		w.Fatalf("%v: the master took the last ready worker of a slot: %s", w.since(), w.view())
	}
	w.covered = w.ready() >= w.s.Wanted
	if alive != len(w.processes) {
		w.Fatalf("%v: %d processes: %s", w.since(), len(w.processes), w.view())
	}
	if !w.wake.IsZero() && !w.wake.After(w.now) {
		w.Fatalf("%v: the alarm is %v late: the loop would spin", w.since(), w.now.Sub(w.wake))
	}
	w.checkRenewals()
	for i, r := range w.s.Rollouts {
		if final := r.Outcome != Running && r.Outcome != Returning; final == r.Ended.IsZero() || !final && i < len(w.s.Rollouts)-1 {
			w.Fatalf("%v: rollout %d of %d: %+v", w.since(), i+1, len(w.s.Rollouts), r)
		}
	}
}

// checkRenewals checks that one goes on at a time, that each has a worker until it is over, and that none stays in the list for ever.
func (w *world) checkRenewals() {
	running, over := 0, 0
	for i := range w.s.Renewals {
		r := &w.s.Renewals[i]
		k, other := w.s.seatsOf(r)
		open := r.Outcome == Pending || r.Outcome == Running
		pair := open && k != nil && k.State == Ready && (other.State == Starting || other.State == Ready) && other.Spawn > k.Spawn && other.Generation == r.Generation
		if pair {
			running++
		}
		if r.over() {
			over++
		}
		if open != r.Ended.IsZero() || open && (k == nil || k.State != Ready || w.s.Stopping) || pair != (r.Outcome == Running) ||
			r.Drained != (k == nil) || r.Outcome == Done && k != nil && k.State != Draining || (r.Failures >= renewAttempts) != (r.Outcome == Aborted) {
			w.Fatalf("%v: renewal %+v: %s", w.since(), r, w.view())
		}
	}
	if running > 1 || over > renewalsKept || len(w.s.Renewals) > renewalsKept+2*len(w.s.Slots) {
		w.Fatalf("%v: %d renewals at a time, %d of %d are over: %+v", w.since(), running, over, len(w.s.Renewals), w.s.Renewals)
	}
}

// checkQuiet checks that no alarm is missing: until a moment before the next thing happens there is nothing to do.
func (w *world) checkQuiet(next time.Time) {
	if !next.After(w.now) || !w.thorough() {
		return
	}
	c, moment := w.s.clone(), next.Add(-1)
	c.Advance(moment)
	if actions, _ := Step(c, moment); len(actions) > 0 || !reflect.DeepEqual(c, w.s) {
		w.Fatalf("%v: %v later, without an alarm, there is something to do: %v: %s", w.since(), moment.Sub(w.now), actions, w.view())
	}
}
