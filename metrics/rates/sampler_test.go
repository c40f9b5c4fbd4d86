package rates

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// world is a sampler whose clock, processes and kernel the test holds. Every worker has two threads.
type world struct {
	*Sampler
	t      *testing.T
	board  *scoreboard.Board
	time   int64
	alive  []Process
	used   map[int]int64         // by pid
	waited map[int]map[int]int64 // by pid and tid
}

func (w *world) cpu(pid int) (int64, error) {
	if used, ok := w.used[pid]; ok {
		return used, nil
	}
	return 0, errors.New("no such process")
}

func (w *world) threads(pid int, each func(tid int, waited int64)) error {
	if w.waited[pid] == nil {
		return errors.New("no such process")
	}
	for tid, waited := range w.waited[pid] {
		each(tid, waited)
	}
	return nil
}

func newWorld(t *testing.T, alive ...Process) *world {
	t.Helper()
	board, err := scoreboard.Create(4, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(board.FD()) })
	w := &world{t: t, board: board, time: 1000 * second, used: map[int]int64{}, waited: map[int]map[int]int64{}}
	w.Sampler = NewSampler(board, scoreboard.NewClock(), func() []Process { return w.alive })
	w.now, w.host, w.machine = func() int64 { return w.time }, w, machine{root: t.TempDir()}
	for _, p := range alive {
		w.spawn(p.PID, p.Seats...)
	}
	return w
}

func (w *world) spawn(pid int, seats ...int) {
	w.alive = append(w.alive, Process{PID: pid, Seats: seats})
	w.used[pid], w.waited[pid] = 0, map[int]int64{pid: 0}
	w.board.Row(seats[0]).Open.Store(100)
}

// bury ends the worker in a seat as the master does.
func (w *world) bury(seat int) {
	for i, p := range w.alive {
		if p.Seats[0] == seat {
			w.alive = append(w.alive[:i:i], w.alive[i+1:]...)
			delete(w.used, p.PID)
			delete(w.waited, p.PID)
		}
	}
	w.board.Clear(seat)
}

// burn takes CPU time, which the worker tells at once.
func (w *world) burn(seat int, d int64) {
	for _, p := range w.alive {
		if p.Seats[0] == seat {
			w.used[p.PID] += d
			w.board.Row(seat).CPU.Add(d)
		}
	}
}

// answer counts requests that took so long each, and waited so long.
func (w *world) answer(seat, n int, took, waited time.Duration) {
	row := w.board.Row(seat)
	for range n {
		row.Answer(200)
		row.Duration.Observe(int64(took))
		row.Wait.Observe(int64(waited))
	}
}

// pass lets time pass, with a snapshot every five seconds as Run takes them.
func (w *world) pass(seconds int) {
	for range seconds {
		if w.mu.Lock(); (w.time/second)%5 == 0 {
			w.take()
		}
		w.mu.Unlock()
		w.time += second
	}
}

func (w *world) want(what string, got, wanted float64) {
	w.t.Helper()
	if !same(got, wanted) {
		w.t.Errorf("%s: %v, want %v", what, got, wanted)
	}
}

func (s Split) share(name string) float64 {
	for _, p := range s.Parts {
		if p.Name == name {
			return p.Share
		}
	}
	return 0
}

// Nothing has been measured at first; then a window grows to 10 s, and stays below 15.
func TestWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Process{1, []int{0}})
	first := w.Measure()
	if r := first.Of(1); first.All.Window != 0 || r.Window != 0 || r.Time.Parts == nil || first.All.Time.Parts == nil {
		t.Errorf("at first: %+v", first)
	}
	if r := first.Of(2); r.Window != 0 || r.Time.Parts == nil {
		t.Errorf("of a process that nobody knows: %+v", r)
	}
	for i := 1; i < 60; i++ {
		w.pass(1)
		m := w.Measure()
		if wanted := float64(i); i <= 10 {
			w.want("window", m.All.Window, wanted)
		} else if m.All.Window < 10 || m.All.Window >= 15 {
			t.Errorf("after %d s the window is %v", i, m.All.Window)
		}
		w.want("window of the process", m.Of(1).Window, m.All.Window)
	}
	if n := len(w.ring); n > 4 {
		t.Errorf("%d snapshots are kept", n)
	}
}

// What is a second old is good enough: many may ask.
func TestMeasureIsCheap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Process{1, []int{0}})
	w.pass(7)
	before := w.Measure()
	w.answer(0, 10, 0, 0)
	w.time += second / 2
	if m := w.Measure(); m.All.Requests != before.All.Requests {
		t.Error("it was read again within a second")
	}
	w.time += second / 2
	if m := w.Measure(); m.All.Requests == before.All.Requests {
		t.Error("it was not read again after a second")
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Process{1, []int{0}}, Process{2, []int{2}})
	w.pass(5)
	w.answer(0, 30, 100*time.Millisecond, 50*time.Millisecond)
	w.board.Row(0).Answer(503)
	w.burn(0, second)
	w.burn(2, second/2)
	row := w.board.Row(0)
	row.GCCPU.Store(second / 2)
	row.GCIdle.Store(second / 4)
	row.Sched.Add(second/16, 1, second/16) // stands for half a second
	w.waited[1] = map[int]int64{1: second / 8, 10: second / 8}
	w.time = 1010 * second
	m := w.Measure()
	w.want("window", m.All.Window, 10)
	one := m.Of(1)
	w.want("requests", one.Requests, 3.1)
	w.want("errors", one.Errors, 0.1)
	w.want("CPUs", one.CPUs, 0.1)
	w.want("CPUs of all", m.All.CPUs, 0.15)
	w.want("in flight", one.Time.InFlight, 0.45)
	for part, seconds := range map[string]float64{Queue: 1.5, CPU: 0.5, Scheduler: 0.5, RunQueue: 0.25, GC: 0.25, IO: 1.5} {
		w.want(part, one.Time.share(part), seconds/4.5)
		w.want(part+" of all", m.All.Time.share(part), seconds/4.5) // the other's CPU is no request's
	}
	if q := one.Duration.P50; q < 0.09 || q > 0.11 {
		t.Errorf("p50 %v", q)
	}
	if q := m.All.Wait.P99; q < 0.045 || q > 0.055 {
		t.Errorf("p99 of waiting %v", q)
	}
	if two := m.Of(2); two.Requests != 0 || len(two.Time.Parts) != 0 || two.Duration != (Quantiles{}) {
		t.Errorf("without requests: %+v", two)
	}
}

// A request counts while it runs and while it waits, and once.
func TestLongRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Process{1, []int{0}})
	w.pass(5)
	cell, row := w.board.Cell(0, 1), w.board.Row(0)
	cell.Take()
	cell.Begin(w.time, "GET", "/long")
	row.Waiting.Store(1)
	row.OldestWaiting.Store(w.time)
	w.pass(5)
	m := w.Measure()
	w.want("in flight", m.All.Time.InFlight*m.All.Window, 10)
	w.want("io", m.All.Time.share(IO), 0.5)
	w.want("queue", m.All.Time.share(Queue), 0.5)
	w.answer(0, 1, 5*time.Second, 5*time.Second) // both are over
	cell.Give()
	row.Waiting.Store(0)
	row.OldestWaiting.Store(0)
	w.time += second
	m = w.Measure()
	w.want("in flight, over", m.All.Time.InFlight*m.All.Window, 10)

	row.Duration.Observe(1000 * second) // of a handler that had hijacked its connection
	row.Detached.Add(1000 * second)
	w.time += second
	m = w.Measure()
	w.want("in flight, with one that has no thread", m.All.Time.InFlight*m.All.Window, 10)
}

// A worker that dies takes nothing back, its successor in the seat begins at zero, and all together have both.
func TestReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Process{1, []int{0}})
	w.pass(5)
	cell := w.board.Cell(0, 0)
	cell.Take()
	cell.Begin(w.time, "GET", "/")
	w.answer(0, 10, 100*time.Millisecond, 0)
	w.burn(0, second)
	w.waited[1] = map[int]int64{1: second / 2}
	w.time += second
	before := w.Measure().All
	w.want("requests", before.Requests*before.Window, 10)
	w.want("seconds", before.Time.InFlight*before.Window, 2)
	w.want("CPU", before.CPUs*before.Window, 1)

	w.answer(0, 1, 100*time.Millisecond, 0) // nobody looks before it dies
	w.burn(0, second)
	w.bury(0)
	w.spawn(3, 0)
	w.burn(0, second/4)
	w.waited[3] = map[int]int64{3: second / 4}
	w.time += second
	m := w.Measure()
	w.want("requests of all", m.All.Requests*m.All.Window, 11)
	w.want("seconds of all", m.All.Time.InFlight*m.All.Window, 2) // 0.1 s cannot be told from the one that was killed
	w.want("CPU of all", m.All.CPUs*m.All.Window, 2.25)
	if fresh := m.Of(3); fresh.Window != 0 || fresh.Requests != 0 || fresh.CPUs != 0 {
		t.Errorf("the successor: %+v", fresh)
	}
	if gone := m.Of(1); gone.Window != 0 {
		t.Errorf("the one that died: %+v", gone)
	}
	w.answer(0, 4, 100*time.Millisecond, 0)
	w.burn(0, second)
	w.time += 2 * second
	fresh := w.Measure().Of(3)
	w.want("window of the successor", fresh.Window, 2)
	w.want("requests of the successor", fresh.Requests, 2)
	w.want("CPUs of the successor", fresh.CPUs, 0.5)
	w.want("in flight of the successor", fresh.Time.InFlight, 0.2)

	w.bury(0)
	w.pass(30)
	if m := w.Measure(); len(m.Processes) != 0 || m.All.Requests != 0 || len(m.All.Time.Parts) != 0 {
		t.Errorf("without workers: %+v", m)
	}
}

// A thread that ends takes nothing back, and one that has its number begins anew.
func TestThreadsThatEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Process{1, []int{0}})
	for _, step := range []struct {
		waited map[int]int64
		sum    int64
	}{
		{map[int]int64{1: 5, 2: 7}, 12},
		{map[int]int64{1: 6, 2: 7, 3: 2}, 15},
		{map[int]int64{1: 6}, 15},
		{map[int]int64{1: 6, 2: 1}, 16},
		{map[int]int64{1: 4, 2: 1}, 20},
		{nil, 20},
		{map[int]int64{1: 9, 2: 1}, 25},
	} {
		w.waited[1] = step.waited
		w.time += second
		w.Measure()
		if got := w.places[0].now.runQueue; got != step.sum {
			t.Errorf("%v: %d, want %d", step.waited, got, step.sum)
		}
	}
}

// One process in all slots: each slot's row counts, and it is one process.
func TestInProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Process{1, []int{1, 3}})
	w.pass(5)
	w.answer(1, 10, time.Second, 0)
	w.answer(3, 30, time.Second, 0)
	w.burn(1, 10*second)
	w.pass(5)
	m := w.Measure()
	w.want("window", m.All.Window, 10)
	w.want("requests", m.Of(1).Requests, 4)
	w.want("cpu", m.Of(1).Time.share(CPU), 0.25)
	w.want("in flight of all", m.All.Time.InFlight, 4)
	if n := len(m.Processes); n != 1 {
		t.Errorf("%d processes", n)
	}
	w.pass(1)
	totals, _ := w.Totals()
	if totals[0] != (Seconds{0, 10, 0, 0, 0, 30}) || len(totals) != 1 {
		t.Errorf("totals: %v", totals)
	}
}

// Totals grow with each snapshot, by slot, both seats of it, whatever dies.
func TestTotals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Process{1, []int{0}}, Process{2, []int{2}})
	w.pass(1)
	before := map[int]Seconds{}
	for i := range 12 {
		switch i {
		case 4:
			w.spawn(10, 1)
		case 6:
			w.bury(0)
		case 8:
			w.bury(2)
			w.spawn(20, 2)
		}
		for _, p := range w.alive {
			w.answer(p.Seats[0], 2, time.Second, time.Second/2)
			w.burn(p.Seats[0], second)
		}
		w.pass(5)
		now, _ := w.Totals()
		for slot, parts := range before {
			for part, seconds := range parts {
				if now[slot][part] < seconds {
					t.Errorf("slot %d: %s went back from %v to %v", slot, Names[part], seconds, now[slot][part])
				}
			}
		}
		before = now
	}
	if want := (Seconds{14, 14, 0, 0, 0, 14}); before[0] != want { // 14 times one of its workers was asked
		t.Errorf("slot 0: %v, want %v", before[0], want)
	}
	if want := (Seconds{12, 12, 0, 0, 0, 12}); before[1] != want {
		t.Errorf("slot 1: %v, want %v", before[1], want)
	}
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stop := make(chan struct{})
	close(stop)
	w.Run(stop)
	if len(w.ring) != 1 {
		t.Errorf("%d snapshots", len(w.ring))
	}
}
