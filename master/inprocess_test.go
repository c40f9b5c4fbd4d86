package master

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/application"
	"github.com/prefork/cluster/master/logs"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/metrics"
	"github.com/prefork/cluster/metrics/rates"
)

func together(c *configs.Config) { c.Mode = "inprocess" }

// processes are the living ones as they know it: seat, generation, workers × threads.
func (w *world) processes() string {
	w.fake.mu.Lock()
	defer w.fake.mu.Unlock()
	var all []string
	for _, k := range w.snapshot().Workers {
		if k.PID != 0 {
			l := w.fake.limits[k.PID]
			if k.Threads != l.Threads {
				w.Errorf("the snapshot has %d threads a worker, the process %d", k.Threads, l.Threads)
			}
			all = append(all, fmt.Sprintf("seat %d gen %d: %d × %d", k.Seat, k.Generation, l.Workers, l.Threads))
		}
	}
	return strings.Join(all, "; ")
}

func (w *world) expectProcesses(wanted string) {
	w.Helper()
	if got := w.processes(); got != wanted {
		w.Errorf("processes: %s; want %s\n%s", got, wanted, w.log)
	}
}

func (w *world) scale(r scaleRequest) error {
	r.reply = make(chan scaleReply, 1)
	w.loop.events <- r
	return (<-r.reply).err
}

// One process has all threads; scaling changes how many it has, a restart puts another in the seats of the other parity.
func TestLoopInProcess(t *testing.T) {
	inWorld(t, together, nil, func(w *world) {
		w.pass(2 * time.Second)
		w.expectProcesses("seat 0 gen 1: 3 × 3")
		for _, step := range []struct{ to, by, wanted, slots int }{{5, 0, 5, 5}, {0, -3, 2, 5}, {0, 2, 4, 5}} {
			if err := w.scale(scaleRequest{to: step.to, by: step.by}); err != nil {
				t.Error(err)
			}
			w.pass(time.Second)
			w.expectProcesses(fmt.Sprintf("seat 0 gen 1: %d × 3", step.wanted))
			if s := w.snapshot(); s.Wanted != step.wanted || s.Slots != step.slots || len(s.Left) != step.slots || !s.Ready {
				t.Errorf("%d workers wanted, %d slots, exits of %d, ready %v; want %+v", s.Wanted, s.Slots, len(s.Left), s.Ready, step)
			}
		}
		for _, by := range []int{5, -4} {
			if err := w.scale(scaleRequest{by: by}); err == nil || !strings.Contains(err.Error(), "1 to 8 are possible") {
				t.Errorf("scaling by %d: %v", by, err)
			}
		}
		w.restart()
		w.pass(500 * time.Millisecond)
		w.expectProcesses("seat 0 gen 1: 4 × 3; seat 1 gen 2: 4 × 3")
		w.pass(2 * time.Second)
		w.expectProcesses("seat 1 gen 2: 4 × 3")
		if ro := w.snapshot().rollout(2); ro.Outcome != plan.Done || ro.Replaced != 4 {
			t.Errorf("rollout %+v", ro)
		}
		for _, part := range []string{`msg="worker ready" slot=all seat=1`, `msg="worker drains" slot=all seat=0`, `msg="worker left" slot=all seat=0`} {
			if !strings.Contains(w.log.String(), part) {
				t.Errorf("the log does not say %s:\n%s", part, w.log)
			}
		}
	})
}

// Other threads need another process. The one that leaves keeps its own, but has as many workers as there are to be.
func TestReloadInProcess(t *testing.T) {
	inWorld(t, together, map[int]behaviour{3: {exitAfter: time.Millisecond, bootTime: time.Second}}, func(w *world) {
		w.pass(10 * time.Second)
		r := w.reload(changed(w, func(c *configs.Config) { c.Workers, c.Threads, c.QueueDepth = 4, 5, 9 }))
		if fmt.Sprintf("%v %v %v %v", r.Outcome, r.Live, r.Restart, r.Generation) != "done [workers queue-depth] [threads] 2" {
			t.Errorf("the reload: %+v", r)
		}
		w.pass(500 * time.Millisecond)
		w.expectProcesses("seat 0 gen 1: 4 × 3; seat 1 gen 2: 4 × 5")
		w.pass(10 * time.Second)
		w.expectProcesses("seat 1 gen 2: 4 × 5")

		// A generation that is not good: its threads go back with it, and the process that stays has kept its own.
		w.reload(changed(w, func(c *configs.Config) { c.Threads = 7 }))
		w.pass(10 * time.Second)
		w.expectProcesses("seat 1 gen 2: 4 × 5")
		if c := w.loop.state.Config; c.Threads != 5 || w.snapshot().Reload.Outcome != api.ReloadTakenBack {
			t.Errorf("%d threads, %+v", c.Threads, w.snapshot().Reload)
		}
		w.fake.mu.Lock()
		w.fake.bad = errors.New("program ./app does not exist")
		w.fake.mu.Unlock()
		if r := w.reload(changed(w, func(c *configs.Config) { c.Threads = 7 })); r.Outcome != api.ReloadRefused || w.loop.state.Config.Threads != 5 {
			t.Errorf("%d threads after %+v", w.loop.state.Config.Threads, r)
		}
		pid := w.snapshot().Workers[0].PID
		w.fake.mu.Lock()
		w.fake.exit(pid, 0, plan.ExitStatus{Signal: syscall.SIGKILL})
		w.fake.mu.Unlock()
		w.pass(2 * time.Second)
		if now := w.snapshot().Workers[0].PID; now == pid {
			t.Error("the process was not replaced")
		}
		if got := w.processes(); !strings.HasSuffix(got, " gen 2: 4 × 5") {
			t.Errorf("after the death: %s", got)
		}
	})
}

// masterOf shows a snapshot, with a scoreboard of four slots with eight threads.
func masterOf(t *testing.T, s *Snapshot) *Master {
	t.Helper()
	board, err := scoreboard.Create(4, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(board.FD()) })
	output, err := logs.Open("", "text")
	if err != nil {
		t.Fatal(err)
	}
	m := &Master{board: board, clock: scoreboard.NewClock(), output: output, loop: &loop{}, machine: &machine{application: application.New(slog.New(slog.DiscardHandler))}, memory: metrics.NewSampler(func() []int { return nil })}
	m.config.Mode = "prefork"
	if s.InProcess {
		m.config.Mode = "inprocess"
	}
	m.loop.snapshot.Store(s)
	m.rates = rates.NewSampler(board, m.clock, m.processes)
	return m
}

// A process is shown once, its workers one by one, with what both processes have counted while one replaces another.
func TestStatusInProcess(t *testing.T) {
	s := &Snapshot{InProcess: true, Wanted: 2, Slots: 3, Threads: 3, Workers: []WorkerView{
		{Seat: 0, PID: 1 << 30, Generation: 1, Threads: 2, State: plan.Draining, Reason: plan.Restart},
		{Seat: 1, PID: 1<<30 + 1, Generation: 2, Threads: 3, State: plan.Ready},
	}}
	m := masterOf(t, s)
	for seat := range 6 {
		for range seat + 1 {
			m.board.Row(seat).Answer(200)
		}
	}
	m.board.Row(1).Waiting.Store(5)
	m.board.Row(1).Open.Store(6)
	for _, at := range [][2]int{{0, 0}, {3, 0}, {3, 2}, {4, 1}} { // seat, thread
		m.board.Cell(at[0], at[1]).Take()
	}
	got := m.Status()
	want := []api.Share{{Slot: 0, Busy: 1, Threads: 5, Requests: 3}, {Slot: 1, Busy: 2, Threads: 5, Requests: 7}, {Slot: 2, Busy: 1, Threads: 0, Requests: 11}}
	if fmt.Sprint(got.Shares) != fmt.Sprint(want) || got.Mode != "inprocess" {
		t.Errorf("mode %s, %+v; want %+v", got.Mode, got.Shares, want)
	}
	if len(got.Slots) != 2 {
		t.Fatalf("%+v", got.Slots)
	}
	old, young := got.Slots[0], got.Slots[1]
	if old.Busy != 2 || old.Threads != 4 || old.Requests != 21 || young.Busy != 2 || young.Threads != 6 || young.Requests != 21 || young.Waiting != 5 || young.Open != 6 {
		t.Errorf("old %+v\nyoung %+v", old, young)
	}
	if states := threadStates(old); states != "running free free free running" { // that of the slot that was removed comes last
		t.Errorf("old: %s", states)
	}
	if states := threadStates(young); states != "free free free running free running" {
		t.Errorf("young: %s", states)
	}
	if m := masterOf(t, &Snapshot{Wanted: 2, Slots: 2, Workers: s.Workers}); m.Status().Shares != nil {
		t.Error("worker processes have shares")
	}
}

// In the metrics each worker has its state and threads, and the process counts once.
func TestViewInProcess(t *testing.T) {
	s := &Snapshot{InProcess: true, Wanted: 3, Slots: 4, Workers: []WorkerView{
		{Seat: 0, PID: 11, Generation: 1, Threads: 2, State: plan.Draining},
		{Seat: 1, PID: 12, Generation: 2, Threads: 5, State: plan.Ready},
	}}
	v := masterOf(t, s).View()
	if v.Ready != 3 || v.Wanted != 3 || v.Slots != 4 {
		t.Errorf("%d of %d ready, %d slots", v.Ready, v.Wanted, v.Slots)
	}
	type count struct{ pids, serving, threads, draining int }
	by := map[int]count{}
	for _, w := range v.Workers {
		c := by[w.Slot]
		if w.PID != 0 {
			c.pids++
		}
		if w.Serves {
			c.serving, c.threads = c.serving+1, c.threads+w.Threads
		}
		if w.State == "draining" {
			c.draining++
		}
		by[w.Slot] = c
		if w.Seat/2 != w.Slot || w.Seat%2 != w.Generation-1 {
			t.Errorf("worker %d of generation %d in seat %d", w.Slot, w.Generation, w.Seat)
		}
	}
	want := map[int]count{0: {2, 1, 5, 1}, 1: {0, 1, 5, 1}, 2: {0, 1, 5, 1}}
	if fmt.Sprint(by) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", by, want)
	}
	for _, state := range []plan.State{plan.Starting, plan.Draining, plan.Waiting} {
		s := &Snapshot{InProcess: true, Wanted: 3, Slots: 3, Workers: []WorkerView{{State: state}}}
		if v := masterOf(t, s).View(); v.Ready != 0 {
			t.Errorf("a process that is %v: %d workers ready", state, v.Ready)
		}
	}
}

// The rows of a dead process are cleared in every slot, those of its successor are not, and what was counted stays.
func TestVacateInProcess(t *testing.T) {
	for _, test := range []struct {
		together bool
		cleared  string
	}{{true, "[1 3 5 7]"}, {false, "[3]"}} {
		m := &machine{board: masterOf(t, &Snapshot{}).board, together: test.together}
		id := plan.SeatID{Slot: 1, Side: 1}
		if test.together {
			id.Slot = 0
		}
		for seat := range 8 {
			m.board.Row(seat).Open.Store(7)
			m.board.Row(seat).Answer(200)
			m.board.Cell(seat, seat).Take()
		}
		if open := m.vacate(id, 0); open != 7 {
			t.Errorf("%d connections were open, want 7", open)
		}
		var cleared []int
		for seat := range 8 {
			r := m.board.Row(seat)
			if r.Open.Load() == 0 && m.board.Busy(seat) == 0 {
				cleared = append(cleared, seat)
			}
			if r.Total() != 1 {
				t.Errorf("seat %d has lost its counters", seat)
			}
		}
		if fmt.Sprint(cleared) != test.cleared {
			t.Errorf("together %v: cleared %v, want %s", test.together, cleared, test.cleared)
		}
	}
}

func TestTitles(t *testing.T) {
	id := plan.SeatID{Slot: 3}
	for m, want := range map[*machine]string{{}: "cluster: worker 3 gen 2", {together: true}: "cluster: worker process gen 2"} {
		if got := m.title(id, 2); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
