package plan

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prefork/cluster/configs"
)

// TestModel lets chance play the workers and the operators; the world checks the invariants after each step.
func TestModel(t *testing.T) {
	seeds, length := 80, 600
	if testing.Short() {
		seeds = 40
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(seed), 2))
			data := make([]byte, length)
			for i := range data {
				data[i] = byte(r.Uint32())
			}
			simulate(t, data)
		})
	}
}

func FuzzModel(f *testing.F) {
	f.Add([]byte("a cluster of three workers that is restarted, scaled, and stopped"))
	f.Fuzz(func(t *testing.T, data []byte) { simulate(t, data[:min(len(data), 2000)]) })
}

// chance draws from a string of bytes; when that is used up it draws the first of all.
type chance struct{ data []byte }

func (c *chance) upTo(n int) int {
	if len(c.data) == 0 {
		return 0
	}
	b := c.data[0]
	c.data = c.data[1:]
	return int(b) % n
}

func (c *chance) oneIn(n int) bool { return c.upTo(n) == n-1 }

func pick[T any](c *chance, from ...T) T { return from[c.upTo(len(from))] }

// simulation is a world in which everything may go wrong until it is calm.
type simulation struct {
	*world
	chance
	calm      bool
	repaired  int           // the generation in which a fault is repaired that breaks all before it
	character map[int]habit // of generations, where it is not obedient
	missing   map[int]bool  // generations whose program cannot be run
}

func simulate(t *testing.T, data []byte) {
	sim := &simulation{chance: chance{data}, character: map[int]habit{}, missing: map[int]bool{}}
	c := configs.Default()
	c.Workers = 1 + sim.upTo(4)
	c.Surge = 1 + sim.upTo(3)
	c.Settle = pick(&sim.chance, time.Second, 300*time.Millisecond, 0, 3*time.Second)
	c.Probation = pick(&sim.chance, 5*time.Second, 2*time.Second, 0)
	c.BootTimeout = pick(&sim.chance, 8*time.Second, 2*time.Second)
	c.HeartbeatTimeout = pick(&sim.chance, 8*time.Second, 3*time.Second)
	c.DrainTimeout = pick(&sim.chance, 6*time.Second, 2*time.Second, 0)
	c.DrainDelay = pick(&sim.chance, 0, 0, 3*time.Second)
	ending := sim.upTo(16) // stop in the middle of it, calm first, or repair and kill some
	w := newWorld(t, c)
	sim.world, w.every = w, 8
	w.habit = sim.temper
	w.cannotSpawn = func(g int) bool { return !sim.calm && (sim.missing[g] || sim.oneIn(40)) }
	w.cannotAdopt = func() bool { return !sim.calm && sim.oneIn(40) }
	for len(sim.data) > 0 && !w.finished {
		sim.something()
	}
	if !w.finished && !w.s.Stopping && ending > 0 {
		sim.calmDown()
		if ending > 4 {
			sim.repair(ending - 5)
		}
		w.run(2 * time.Minute)
		sim.checkWhole()
	}
	if !w.finished {
		sim.checkStop()
	}
	if len(w.processes) > 0 || w.view() == "" {
		t.Errorf("after the end: %s", w.view())
	}
}

// temper draws how the next worker behaves.
func (sim *simulation) temper(_, generation int) habit {
	h := obedient
	if sim.calm {
		if generation < sim.repaired {
			h.boot, h.dies = never, 50*time.Millisecond
		}
		return h
	}
	if bad, ok := sim.character[generation]; ok {
		h = bad
	}
	h.lingers = pick(&sim.chance, 0, 20*time.Millisecond)
	switch sim.upTo(40) {
	case 0:
		h.boot, h.dies = never, 30*time.Millisecond
	case 1:
		h.boot = never
	case 2:
		h.boot = 5 * time.Second
	case 3:
		h.dies = pick(&sim.chance, 10*time.Millisecond, 1500*time.Millisecond, 20*time.Second)
	case 4:
		h.hangs = pick(&sim.chance, 1, 2*time.Second)
	case 5, 6:
		h.leaves = never
	case 7:
		h.leaves, h.deaf = never, true
	case 8:
		h.ack = never
	case 9:
		h.ack, h.leaves = time.Second, 4*time.Second
	}
	return h
}

// something happens: time passes, most of all.
func (sim *simulation) something() {
	w := sim.world
	switch what := sim.upTo(40); {
	case what < 24:
		w.run(pick(&sim.chance, time.Millisecond, 50*time.Millisecond, 200*time.Millisecond, time.Second, 2*time.Second, 7*time.Second))
	case what < 28:
		sim.restart()
	case what < 30:
		w.scale(1 + sim.upTo(6))
	case what < 33:
		if p := sim.anyone(); p != nil {
			w.exit(p, pick(&sim.chance, ExitStatus{Code: 1}, ExitStatus{}, ExitStatus{Code: -1, Signal: 11}, ExitStatus{Code: -1, Signal: 9, OOM: true}))
		}
	case what < 35:
		if p := sim.anyone(); p != nil {
			w.hang(p)
		}
	case what < 36:
		for _, p := range w.processes {
			w.wakeUp(p)
		}
	case what < 38:
		if p := sim.anyone(); p != nil {
			w.leaveByItself(p)
		}
	case what == 38 && sim.oneIn(30):
		w.stop()
	case what == 39:
		for range 1 + sim.upTo(3) {
			sim.renew()
		}
	}
}

// renew wants a worker replaced, for any reason; there may be none.
func (sim *simulation) renew() {
	why := pick(&sim.chance, Restart, RequestStuck, RecycleRequests, RecycleAge, RecycleMemory)
	_ = sim.s.Renew(sim.upTo(sim.s.Wanted+1), why, "chance wants it", sim.now)
	sim.settle()
}

func (sim *simulation) restart() {
	w := sim.world
	if w.s.Stopping {
		return
	}
	bad, g := obedient, w.s.Newest+1
	switch sim.upTo(12) {
	case 0:
		bad.boot, bad.dies = never, 50*time.Millisecond
	case 1:
		bad.boot = never
	case 2:
		bad.dies = pick(&sim.chance, 200*time.Millisecond, 1500*time.Millisecond, 6*time.Second)
	case 3:
		bad.hangs = pick(&sim.chance, 1, 1500*time.Millisecond)
	case 6:
		bad.resigns = pick(&sim.chance, 1, 500*time.Millisecond, 2*time.Second)
	case 4:
		bad.foreign = true
	case 5:
		sim.missing[g] = true
	}
	sim.character[g] = bad
	w.restart()
}

// anyone draws a process, by its place in the slots.
func (sim *simulation) anyone() *process {
	n := sim.upTo(2 * len(sim.s.Slots))
	for i := range 2 * len(sim.s.Slots) {
		seat := (n + i) % (2 * len(sim.s.Slots))
		id := SeatID{Slot: seat / 2, Side: seat % 2}
		if k := sim.s.At(id); k.Alive() {
			id.Spawn = k.Spawn
			return sim.at(id)
		}
	}
	return nil
}

// calmDown ends all misbehaviour: who hangs goes on hanging, but nobody dies, hangs or fails to boot from now on.
func (sim *simulation) calmDown() {
	sim.calm = true
	for _, p := range sim.processes {
		p.dies, p.hangs, p.resigns = 0, 0, 0
	}
	var kept []appointment
	for _, a := range sim.queue {
		if !a.mischief {
			kept = append(kept, a)
		}
	}
	sim.queue = kept
}

// repair breaks every generation there is, so that no worker of them will boot, kills some, and restarts with one that works.
func (sim *simulation) repair(kills int) {
	sim.repaired = sim.s.Newest + 1
	for range kills {
		if p := sim.anyone(); p != nil {
			sim.exit(p, ExitStatus{Code: 1})
		}
	}
	sim.world.restart()
}

// checkWhole checks that, some time after the last misbehaviour, all is as it should be.
func (sim *simulation) checkWhole() {
	sim.Helper()
	s := sim.s
	if !s.EverReady && s.ExitCode == ExitNoWorker {
		return // the start had failed before it was calm
	}
	ok := !s.Stopping && s.Target == s.Good && s.Target >= sim.repaired
	for i := range s.Slots {
		workers := 0
		for j := range s.Slots[i].Seats {
			if k := &s.Slots[i].Seats[j]; k.Alive() {
				workers++
				ok = ok && k.State == Ready && k.Settled && !k.Stalled && k.Generation == s.Target && len(k.Adopted) == sim.orphans()
			}
		}
		ok = ok && workers == map[bool]int{true: 1, false: 0}[i < s.Wanted]
	}
	for _, r := range s.Renewals {
		ok = ok && r.over()
	}
	if ro := s.Rollout(); ro != nil {
		ok = ok && !ro.Ended.IsZero() && (ro.Drained || ro.Outcome == Cancelled)
	}
	if !ok {
		sim.Fatalf("%v: not whole after it has been calm: target %d, good %d, %d slots wanted: %s; %+v", sim.since(), s.Target, s.Good, s.Wanted, sim.view(), s.Rollout())
	}
}

// orphans counts the slots that have no worker of their own any more.
func (sim *simulation) orphans() int { return len(sim.s.Slots) - sim.s.Wanted }

// checkStop checks that the cluster has stopped when the last rung has been climbed.
func (sim *simulation) checkStop() {
	sim.Helper()
	if !sim.s.Stopping {
		sim.stop()
	}
	ladder := drainLadder(sim.s.Config.DrainTimeout)
	sim.run(sim.s.Config.DrainDelay + ladder[len(ladder)-1].after + 20*time.Millisecond)
	if !sim.finished {
		sim.Fatalf("%v: it has not stopped in time: %s", sim.since(), sim.view())
	}
}
