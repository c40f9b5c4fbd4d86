package plan

import (
	"testing"
	"time"

	"github.com/prefork/cluster/configs"
)

var epoch = time.Date(2025, 11, 22, 10, 0, 0, 0, time.UTC)

const (
	never = time.Duration(-1)
	tick  = 500 * time.Millisecond // how often heartbeats are looked at
)

// world drives a Cluster as the loop does, in a time of its own: it carries actions out at once, and its workers are
// processes that do what their habit says or what a test tells them. After each convergence it checks the invariants.
type world struct {
	testing.TB
	s         *Cluster
	now, wake time.Time
	lastTick  time.Time
	queue     []appointment
	processes map[int]*process // by pid
	lastPID   int

	habit       func(slot, generation int) habit // of the next worker
	cannotSpawn func(generation int) bool
	cannotAdopt func() bool

	acts         []string // what was done since the last look
	exits        int
	failedSpawns int
	finished     bool
	watch
}

// settings of the scenarios: the defaults, with four workers.
func settings() configs.Config {
	c := configs.Default()
	c.Workers = 4
	return c
}

func newWorld(t testing.TB, c configs.Config) *world { return newWorldWith(t, c, func(*world) {}) }

// newWorldWith prepares a world before its first step.
func newWorldWith(t testing.TB, c configs.Config, prepare func(*world)) *world {
	w := &world{
		TB: t, s: New(c, epoch), now: epoch, lastTick: epoch, processes: map[int]*process{},
		habit:       func(int, int) habit { return obedient },
		cannotSpawn: func(int) bool { return false },
		cannotAdopt: func() bool { return false },
		watch:       newWatch(),
	}
	prepare(w)
	w.converge()
	return w
}

// converge is what the loop does after each event.
func (w *world) converge() {
	if w.finished {
		return
	}
	for i := 0; ; i++ {
		if i > 10+4*len(w.s.Slots) {
			w.Fatalf("%v: no fixpoint after %d steps: %s", w.since(), i, w.view())
		}
		w.wake = w.s.Advance(w.now)
		actions, next := w.step(w.now)
		if w.wake.IsZero() || !next.IsZero() && next.Before(w.wake) {
			w.wake = next
		}
		if len(actions) == 0 {
			w.checkFixpoint()
			return
		}
		for _, a := range actions {
			if _, w.finished = a.(Finish); w.finished {
				w.act("finish")
				return
			}
			w.do(a)
		}
	}
}

// do carries an action out, as the loop does.
func (w *world) do(a Action) {
	switch a := a.(type) {
	case OpenSlot:
		w.s.Slots[a.Slot].Opened = true
	case SpawnWorker:
		w.spawn(a)
	case DrainWorker:
		w.act("drain %d: %v", w.s.At(a.ID).Generation, a.Reason)
		w.trigger(a.ID, DrainAsked, Happening{Reason: a.Reason, Detail: a.Detail})
	case TakeMeasure:
		w.s.At(a.ID).Rung++
		w.measure(w.at(a.ID), a.Do)
	case AdoptSlot:
		if w.cannotAdopt() {
			w.s.At(a.ID).Stalled = true
			return
		}
		w.act("%d adopts %d", a.ID.Slot, a.Slot)
		w.s.At(a.ID).Adopted[a.Slot] = true
		w.at(a.ID).adopted[a.Slot] = true
	case ReleaseSlot:
		w.act("%d releases %d", a.ID.Slot, a.Slot)
		delete(w.s.At(a.ID).Adopted, a.Slot)
		delete(w.at(a.ID).adopted, a.Slot)
	}
}

func (w *world) spawn(a SpawnWorker) {
	w.s.Spawns = max(w.s.Spawns, a.ID.Spawn)
	h := Happening{Spawn: a.ID.Spawn, Generation: a.Generation}
	if w.cannotSpawn(a.Generation) {
		w.act("cannot spawn %d in %d", a.Generation, a.ID.Slot)
		w.failedSpawns++
		h.Detail = "no such file"
		w.trigger(a.ID, SpawnFailed, h)
		return
	}
	if w.spawns[a.ID.Spawn] {
		w.Fatalf("%v: two spawns have the number %d", w.since(), a.ID.Spawn)
	}
	w.spawns[a.ID.Spawn] = true
	w.lastPID++
	h.PID = w.lastPID
	p := &process{habit: w.habit(a.ID.Slot, a.Generation), id: a.ID, pid: h.PID, generation: a.Generation, spawned: w.now, adopted: map[int]bool{}}
	w.checkSeatIsFree(a.ID)
	w.processes[p.pid] = p
	w.act("spawn %d in %d", a.Generation, a.ID.Slot)
	w.trigger(a.ID, WasSpawned, h)
	w.later(p, p.boot, w.becomesReady)
	if p.boot == never {
		w.byItself(p, p.dies, w.exitsByItself)
		w.byItself(p, p.resigns, w.leaveByItself)
	}
}

func (w *world) trigger(id SeatID, t Trigger, h Happening) {
	if err := w.s.Trigger(id, t, h, w.now); err != nil {
		w.Fatalf("%v: %v", w.since(), err)
	}
}

// run lets time pass, with all that is due in it.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	w.keepAppointments()
	for rounds := time.Duration(0); !w.finished; rounds++ {
		if rounds > 1000+100*d/tick {
			w.Fatalf("%v: the cluster spins: %s", w.since(), w.view())
		}
		next := end
		for _, a := range w.queue {
			next = earlier(next, a.at)
		}
		next = earlier(next, w.lastTick.Add(tick))
		if !w.wake.IsZero() {
			next = earlier(next, w.wake)
		}
		w.checkQuiet(next)
		if w.now = next; next.Equal(w.lastTick.Add(tick)) {
			w.lastTick = next
			w.s.Heard(w.heartbeats(), w.now)
			w.excuse()
		}
		w.converge()
		w.keepAppointments()
		if next.Equal(end) {
			return
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (w *world) restart() {
	w.s.Restart(w.s.Newest+1, w.now)
	w.settle()
}

func (w *world) scale(n int) {
	w.s.Scale(n)
	w.excuse()
	w.settle()
}

// stop is the signal that asks for it; a second one forces it.
func (w *world) stop() {
	if w.s.Stopping {
		w.s.Stop(ExitForced, "the cluster was told to stop at once")
		w.s.Force()
	} else {
		w.s.StopAfter(w.s.Config.DrainDelay, ExitClean, "the cluster stops", w.now)
	}
	w.settle()
}

// settle does what is to be done now.
func (w *world) settle() {
	w.converge()
	w.keepAppointments()
}

// booted is a world whose first workers are ready, settled and healthy.
func booted(t testing.TB, c configs.Config) *world {
	t.Helper()
	w := newWorld(t, c)
	w.run(healthyAfter + time.Second)
	for i := range w.s.Slots {
		if !w.s.Slots[i].Seats[0].Reliable() {
			t.Fatalf("the boot has failed: %s", w.view())
		}
	}
	w.acts = nil
	return w
}
