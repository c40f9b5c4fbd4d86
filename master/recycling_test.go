package master

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/metrics"
)

// pid is that of the ready worker of a slot.
func (w *world) pid(slot int) int {
	w.Helper()
	for _, k := range w.snapshot().Workers {
		if k.Slot == slot && k.State == plan.Ready {
			return k.PID
		}
	}
	w.Fatalf("no ready worker in slot %d", slot)
	return 0
}

// works says what the worker of a slot has done.
func (w *world) works(slot int, does work) {
	w.Helper()
	pid := w.pid(slot)
	w.fake.mu.Lock()
	defer w.fake.mu.Unlock()
	w.fake.works[pid] = does
}

// left counts the workers that left a slot for a reason.
func (w *world) left(slot int, why plan.Reason) int64 {
	for i, r := range plan.Reasons() {
		if r == why {
			return w.snapshot().Left[slot][i]
		}
	}
	return 0
}

// What is seen of a worker has it replaced, and no other one.
func TestLoopRecycles(t *testing.T) {
	const mib = 1 << 20
	for why, tt := range map[plan.Reason]struct {
		setting func(c *configs.Config)
		does    work
	}{
		plan.RecycleRequests: {func(c *configs.Config) { c.RecycleRequests = 1000 }, work{requests: 1001}},
		plan.RecycleMemory:   {func(c *configs.Config) { c.RecycleMemory = 100 * mib }, work{memory: metrics.Memory{Anonymous: 101 * mib}}},
		plan.RequestStuck:    {func(c *configs.Config) { c.RequestTimeout = time.Second }, work{stuck: 2 * time.Second}},
	} {
		t.Run(why.String(), func(t *testing.T) {
			t.Parallel()
			inWorld(t, tt.setting, nil, func(w *world) {
				w.pass(2 * time.Second)
				others := [2]int{w.pid(0), w.pid(2)}
				old := w.pid(1)
				w.works(1, tt.does)
				w.pass(10 * time.Second)
				w.expect("1 1 1")
				if w.pid(1) == old || others != [2]int{w.pid(0), w.pid(2)} || w.left(1, why) != 1 {
					t.Errorf("%+v\n%s", w.snapshot(), w.log)
				}
				if !strings.Contains(w.log.String(), `"worker is to be replaced" slot=1`) {
					t.Errorf("%s", w.log)
				}
			})
		})
	}
}

// When no new worker is good, the old one stays, the operator is told, and it is not tried again and again.
func TestLoopGivesRenewalUp(t *testing.T) {
	inWorld(t, func(c *configs.Config) { c.RequestTimeout = time.Second }, map[int]behaviour{}, func(w *world) {
		w.pass(15 * time.Second)
		old := w.pid(0)
		w.works(0, work{stuck: time.Minute})
		w.fake.mu.Lock()
		w.fake.behave[1] = behaviour{exitAfter: 5 * time.Millisecond}
		w.fake.mu.Unlock()
		w.pass(5 * time.Minute)
		if w.pid(0) != old || w.left(0, plan.BootExit) != 3 || w.snapshot().state() != "ready" {
			t.Errorf("%+v\n%s", w.snapshot(), w.log)
		}
		if n := strings.Count(w.log.String(), "worker is not replaced: the new one has failed every time"); n != 1 {
			t.Errorf("it was told %d times:\n%s", n, w.log)
		}
	})
}

// One slot is restarted by request; what is impossible is refused.
func TestLoopRestartsOneSlot(t *testing.T) {
	inWorld(t, nil, nil, func(w *world) {
		w.pass(100 * time.Millisecond)
		old := w.pid(2)
		ask := func(slot int) restartReply {
			reply := make(chan restartReply, 1)
			w.loop.events <- restartRequest{slot: &slot, reply: reply}
			return <-reply
		}
		if r := ask(2); r.err != nil || r.renewal != 1 {
			t.Errorf("%+v", r)
		}
		if r := ask(3); r.err == nil || !strings.Contains(r.err.Error(), "no slot 3") {
			t.Errorf("%+v", r)
		}
		w.pass(5 * time.Second)
		r := w.snapshot().Renewals[0]
		if w.pid(2) == old || r.PID != old || r.Outcome != plan.Done || !r.Drained || w.left(2, plan.Restart) != 1 || w.snapshot().Generation != 1 {
			t.Errorf("%+v", r)
		}
	})
	inWorld(t, func(c *configs.Config) { c.Mode = "inprocess" }, nil, func(w *world) {
		slot, reply := 0, make(chan restartReply, 1)
		w.loop.events <- restartRequest{slot: &slot, reply: reply}
		if r := <-reply; r.err == nil || !strings.Contains(r.err.Error(), "without --slot") {
			t.Errorf("%+v", r)
		}
	})
}

// The limit of all is divided among the workers that there are, and the largest goes when all together come near it.
func TestLoopDividesMemory(t *testing.T) {
	const mib = 1 << 20
	inWorld(t, func(c *configs.Config) { c.Memory = 122 * mib }, nil, func(w *world) {
		each := func(want int64) {
			t.Helper()
			w.fake.mu.Lock()
			defer w.fake.mu.Unlock()
			for pid := range w.fake.seats {
				if got := w.fake.limits[pid].Memory; got != want {
					t.Errorf("worker %d has %d bytes, want %d", pid, got, want)
				}
			}
		}
		w.pass(2 * time.Second)
		each(27 * mib)
		scale := func(n int) error {
			reply := make(chan scaleReply, 1)
			w.loop.events <- scaleRequest{to: n, reply: reply}
			return (<-reply).err
		}
		if err := scale(6); err == nil || !strings.Contains(err.Error(), "memory is enough for 5") {
			t.Error(err)
		}
		if err := scale(5); err != nil {
			t.Error(err)
		}
		w.pass(2 * time.Second)
		each(90 * mib / 5 * 9 / 10)
		old := w.pid(4)
		w.works(0, work{memory: metrics.Memory{PSS: 50 * mib}})
		w.works(4, work{memory: metrics.Memory{PSS: 66 * mib}})
		w.pass(5 * time.Second)
		if w.pid(4) == old || w.left(4, plan.RecycleMemory) != 1 || w.left(0, plan.RecycleMemory) != 0 {
			t.Errorf("%+v\n%s", w.snapshot(), w.log)
		}
	})
}

// A worker is stuck only if every thread is, and for as long as the one that was taken last.
func TestWhatThreadsDo(t *testing.T) {
	for _, together := range []bool{false, true} {
		board, err := scoreboard.Create(2, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(board.FD())
		m := &machine{board: board, clock: scoreboard.NewClock(), together: together}
		id, threads := plan.SeatID{Slot: 0, Side: 1}, 2
		cells := []*scoreboard.Cell{board.Cell(1, 0), board.Cell(1, 1)}
		if together {
			threads, cells = 4, append(cells, board.Cell(3, 0), board.Cell(3, 1))
			board.Row(3).Answer(200)
		}
		board.Row(1).Answer(200)
		board.Row(1).Answer(500)
		board.Row(0).Answer(200) // of the other seat
		now := m.clock.Now()
		for i, c := range cells {
			if _, stuck := m.work(id, threads); stuck != 0 {
				t.Errorf("together %v: stuck for %v with %d of %d threads busy", together, stuck, i, threads)
			}
			c.Take()
			if _, stuck := m.work(id, threads); stuck != 0 {
				t.Errorf("together %v: stuck for %v with a request that has not begun", together, stuck)
			}
			c.Begin(now-int64(time.Minute)-int64(i)*int64(time.Minute), "GET", "/")
		}
		requests, stuck := m.work(id, threads)
		if stuck < time.Minute || stuck > 90*time.Second {
			t.Errorf("together %v: stuck for %v, want a minute", together, stuck)
		}
		if want := int64(map[bool]int{false: 2, true: 3}[together]); requests != want {
			t.Errorf("together %v: %d requests, want %d", together, requests, want)
		}
	}
}
