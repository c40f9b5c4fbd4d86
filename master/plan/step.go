package plan

import "time"

// Action is something to be done to the world. The loop does it and tells the state what came of it.
type Action interface{ isAction() }

type (
	OpenSlot    struct{ Slot int }
	SpawnWorker struct {
		ID         SeatID // with the number of the spawn to be
		Generation int
	}
	DrainWorker struct {
		ID     SeatID
		Reason Reason
		Detail string
	}
	TakeMeasure struct {
		ID SeatID
		Do Measure
	}
	AdoptSlot struct {
		ID   SeatID
		Slot int
	}
	ReleaseSlot struct {
		ID   SeatID
		Slot int
	}
	Finish struct{}
)

func (OpenSlot) isAction()    {}
func (SpawnWorker) isAction() {}
func (DrainWorker) isAction() {}
func (TakeMeasure) isAction() {}
func (AdoptSlot) isAction()   {}
func (ReleaseSlot) isAction() {}
func (Finish) isAction()      {}

// alarm collects the earliest moment at which something is due.
type alarm struct{ at time.Time }

func (a *alarm) due(t, now time.Time) bool {
	if !now.Before(t) {
		return true
	}
	if a.at.IsZero() || t.Before(a.at) {
		a.at = t
	}
	return false
}

// Advance lets time pass: who has settled, who has taken too long to boot, whether a start has failed. It returns when it
// wants to be called again.
func (s *Cluster) Advance(now time.Time) time.Time {
	var a alarm
	for i := range s.Slots {
		for j := range s.Slots[i].Seats {
			k := &s.Slots[i].Seats[j]
			id := SeatID{Slot: i, Side: j, Spawn: k.Spawn}
			switch {
			case k.State == Starting && a.due(k.SpawnedAt.Add(s.Config.BootTimeout), now):
				_ = s.condemn(id, BootTimeout, "it was not ready within "+s.Config.BootTimeout.String(), now, now)
			case k.State == Ready && !k.Settled && !k.Stalled && a.due(k.ReadyAt.Add(s.Config.Settle), now):
				k.Settled = true
			}
		}
	}
	if s.Lingers() && a.due(s.DrainFrom, now) {
		s.DrainFrom = time.Time{}
	}
	if confirm := s.review(now); !confirm.IsZero() {
		a.due(confirm, now)
	}
	s.reviewRenewals(now)
	if !s.EverReady && !s.Stopping {
		if a.due(s.Started.Add(s.Config.BootTimeout), now) {
			s.failStart("no worker was ready within the boot timeout of " + s.Config.BootTimeout.String())
		} else if s.everySlotFailed() {
			s.failStart("every worker has exited 3 times before it was ready")
		}
	}
	return a.at
}

func (s *Cluster) everySlotFailed() bool {
	for i := range s.Wanted {
		if s.Slots[i].Boots < bootAttempts {
			return false
		}
	}
	return true
}

func (s *Cluster) failStart(why string) {
	s.Stop(ExitNoWorker, why)
	s.Force()
}

// Stop makes leaving the wanted state, at once.
func (s *Cluster) Stop(code int, why string) {
	if !s.Stopping {
		s.Stopping, s.ExitCode, s.StopWhy = true, code, why
	}
	s.DrainFrom = time.Time{}
}

// StopAfter is Stop with a delay in which all is served as before, so that those who send requests here can learn that it stops. A
// cluster that was never ready is not waited for.
func (s *Cluster) StopAfter(delay time.Duration, code int, why string, now time.Time) {
	s.Stop(code, why)
	if delay > 0 && s.EverReady {
		s.DrainFrom = now.Add(delay)
	}
}

// Lingers says that the cluster is to stop and serves as before: empty slots are filled, but nothing is replaced.
func (s *Cluster) Lingers() bool { return s.Stopping && !s.DrainFrom.IsZero() }

// Leaving says that the cluster stops and all workers are to leave.
func (s *Cluster) Leaving() bool { return s.Stopping && s.DrainFrom.IsZero() }

// Force kills whoever is left.
func (s *Cluster) Force() {
	s.forced = true
	for i := range s.Slots {
		for j := range s.Slots[i].Seats {
			k := &s.Slots[i].Seats[j]
			if !k.Alive() {
				continue
			}
			if k.State != Draining {
				k.Reason, k.Detail = Stop, s.StopWhy
			}
			k.State, k.Asked = Draining, true
			k.ladder, k.Rung, k.ladderFrom = forceLadder(), 0, time.Time{}
			clear(k.Adopted)
		}
	}
}

// Step compares what is with what is wanted and names what to do now, and when to look again if nothing happens before.
// It changes nothing. Each action, once done, removes its cause; so repeating step ends.
func Step(s *Cluster, now time.Time) ([]Action, time.Time) {
	st := stepper{s: s, now: now}
	room := st.room()
	anyone := false
	for i := range s.Slots {
		sl := &s.Slots[i]
		switch {
		case s.Leaving() && s.Fronted: // what the front has begun is finished first
		case i < s.Wanted && !s.Leaving():
			room -= st.fill(i, sl, room)
			if !s.Stopping {
				st.prefer(i, sl)
			}
		default:
			st.dismiss(i, sl)
		}
		for j := range sl.Seats {
			anyone = anyone || sl.Seats[j].Alive()
			st.escalate(SeatID{Slot: i, Side: j, Spawn: sl.Seats[j].Spawn}, &sl.Seats[j])
		}
	}
	if s.Leaving() {
		if !anyone && !s.Fronted {
			st.do(Finish{})
		}
		return st.actions, st.at
	}
	if len(st.actions) == 0 { // who is about to leave adopts nothing
		st.share()
	}
	return st.actions, st.at
}

type stepper struct {
	alarm
	s       *Cluster
	now     time.Time
	spawns  uint64
	renew   uint64 // the worker that a newcomer may be started beside, because it is to be renewed; 0: none
	actions []Action
}

func (st *stepper) do(a Action) { st.actions = append(st.actions, a) }

// room is how many more slots may begin to replace their worker: one alone until the generation has proven itself, then
// as many as the surge allows. A slot is done when the old worker has acknowledged that it accepts no more; one that is
// stalled cannot, and its listeners are served by others. A renewal begins only while no slot replaces its worker.
func (st *stepper) room() int {
	if st.s.Stopping || st.s.suspect(st.s.Target) {
		return 0
	}
	limit := 1
	if st.s.proven() {
		limit = st.s.Config.Surge
	}
	replacing := 0
	for i := range st.s.Slots {
		if st.s.replacing(&st.s.Slots[i]) {
			replacing++
		}
	}
	if replacing == 0 {
		st.renew = st.s.nextRenewal(st.now)
	}
	return limit - replacing
}

func (s *Cluster) replacing(sl *Slot) bool {
	for j := range sl.Seats {
		k, other := &sl.Seats[j], &sl.Seats[1-j]
		if k.State != Starting && k.State != Ready {
			continue
		}
		otherAccepts := other.State == Ready || other.State == Draining && !other.Acked && !other.Stalled
		if otherAccepts || k.Generation == s.Target && !k.Settled {
			return true
		}
	}
	return false
}

// fill spawns a worker into a slot that has none, or beside one of another generation. It returns 1 if a replacement was
// begun, or an empty slot is where the wanted generation is tried first.
func (st *stepper) fill(i int, sl *Slot, room int) int {
	if !sl.Opened {
		st.do(OpenSlot{Slot: i})
		return 0
	}
	free, serving := -1, (*Seat)(nil)
	for j := range sl.Seats {
		k := &sl.Seats[j]
		switch {
		case k.State == Starting:
			return 0 // one newcomer at a time
		case k.State == Ready:
			serving = k
		case k.State == Waiting && !st.due(k.Until, st.now):
			return 0
		case (k.State == Empty || k.State == Waiting) && free < 0:
			free = j
		}
	}
	if free < 0 {
		return 0
	}
	generation, begun := st.s.Target, 1
	switch {
	case serving == nil && st.s.proven():
		begun = 0
	case serving == nil && (room < 1 || sl.Failures < 2):
		generation, begun = st.s.Good, 0 // an empty slot is filled with what is known to work, unless it does not any more
	case serving != nil && (serving.Generation == st.s.Target && serving.Spawn != st.renew || room < 1):
		return 0
	}
	st.spawns++
	st.do(SpawnWorker{ID: SeatID{Slot: i, Side: free, Spawn: st.s.Spawns + st.spawns}, Generation: generation})
	return begun
}

// prefer drains the worse of two workers of a slot once the better one has settled.
func (st *stepper) prefer(i int, sl *Slot) {
	for j := range sl.Seats {
		k, other := &sl.Seats[j], &sl.Seats[1-j]
		if k.State != Ready && k.State != Starting {
			continue
		}
		reason, detail := Restart, "replaced by a newer generation"
		switch r := st.s.renewal(k); {
		case r != nil && k.Generation == other.Generation:
			reason, detail = r.Why, r.Detail
		case st.s.Failed[k.Generation] || k.Generation > st.s.Target:
			reason, detail = Rollback, "its generation was taken back"
		}
		betterServes := other.Reliable() && !st.s.suspect(other.Generation) && st.s.better(other, k)
		if betterServes || k.State == Starting && st.s.Failed[k.Generation] {
			st.do(DrainWorker{ID: SeatID{Slot: i, Side: j, Spawn: k.Spawn}, Reason: reason, Detail: detail})
			return
		}
	}
}

// better orders two workers of a slot: the wanted generation, then one that has not failed, then the newer one. Two of one
// generation are there only because the older one is renewed.
func (s *Cluster) better(a, b *Seat) bool {
	switch {
	case (a.Generation == s.Target) != (b.Generation == s.Target):
		return a.Generation == s.Target
	case s.Failed[a.Generation] != s.Failed[b.Generation]:
		return !s.Failed[a.Generation]
	}
	return a.Generation > b.Generation || a.Generation == b.Generation && a.Spawn > b.Spawn
}

// dismiss drains the workers of a slot that is not wanted.
func (st *stepper) dismiss(i int, sl *Slot) {
	reason, detail := Scale, "its slot was removed"
	if st.s.Leaving() {
		reason, detail = Stop, st.s.StopWhy
	}
	for j := range sl.Seats {
		if k := &sl.Seats[j]; k.State == Starting || k.State == Ready {
			st.do(DrainWorker{ID: SeatID{Slot: i, Side: j, Spawn: k.Spawn}, Reason: reason, Detail: detail})
		}
	}
}

// escalate climbs the next rung of a leaving worker's ladder.
func (st *stepper) escalate(id SeatID, k *Seat) {
	if k.State == Draining && k.Rung < len(k.ladder) && st.due(k.ladderFrom.Add(k.ladder[k.Rung].after), st.now) {
		st.do(TakeMeasure{ID: id, Do: k.ladder[k.Rung].do})
	}
}

// share lets every serving worker adopt the listeners of the slots that have none.
func (st *stepper) share() {
	slots := st.s.Slots
	for i := range slots {
		for j := range slots[i].Seats {
			k := &slots[i].Seats[j]
			if k.State != Ready || k.Stalled {
				continue
			}
			id := SeatID{Slot: i, Side: j, Spawn: k.Spawn}
			for other := range slots {
				orphan := other != i && slots[other].Opened && !slots[other].Served()
				switch {
				case orphan && !k.Adopted[other]:
					st.do(AdoptSlot{ID: id, Slot: other})
				case !orphan && k.Adopted[other]:
					st.do(ReleaseSlot{ID: id, Slot: other})
				}
			}
		}
	}
}

// Served reports whether a worker of the slot takes from its listeners.
func (sl *Slot) Served() bool {
	for j := range sl.Seats {
		if sl.Seats[j].State == Ready && !sl.Seats[j].Stalled {
			return true
		}
	}
	return false
}
