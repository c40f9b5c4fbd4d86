package master

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/elastic"
	"github.com/prefork/cluster/master/hooks"
	"github.com/prefork/cluster/master/inboxes"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/metrics"
)

// fakeSystem plays the operating system and the workers. Workers behave by the generation they are of; what they do, they
// do after a delay, through the loop's events like real ones. Its methods are called by the loop's goroutine alone.
type fakeSystem struct {
	mu       sync.Mutex // between the loop and the test
	loop     *loop
	behave   map[int]behaviour // by generation; the zero behaviour is a good worker
	pids     int
	seats    map[int]int // pid → seat
	ids      map[int]plan.SeatID
	opened   int
	adopted  map[plan.SeatID]map[int]bool
	silent   map[int]time.Time // by pid: since when it is stopped
	signals  []string
	bad      error // what the next newGeneration answers
	closed   bool
	dropped  []int
	reopened int
	sent     []ipc.Message      // that were taken
	limits   map[int]ipc.Limits // by pid: that it was started with or told
	inboxes  *inboxes.Set       // real ones, if the configuration wants any; then with a board, and all workers take packets
	board    *scoreboard.Board
	fronts   []int         // pids of those that were started
	works    map[int]work  // by pid
	look     elastic.Look  // at the load
	refused  int           // fronts that could not be
	hooks    []string      // commands that were run, with what they were told
	hookTime time.Duration // that each takes; 0: 10 ms
	told     []string      // "seat>slot": who was given the inboxes of which slot
}

type behaviour struct {
	bootTime  time.Duration
	exitAfter time.Duration // of spawn, before ready if shorter than bootTime
	dieAfter  time.Duration // of ready
	deaf      bool          // never obeys
	refused   int           // of the front, which is generation 0: so many cannot be started
	protocol  ipc.Protocol
}

func (f *fakeSystem) setKeys(*ipc.FD)                {}
func (f *fakeSystem) KillHook(pid int)               { f.signal(pid, syscall.SIGKILL) }
func (f *fakeSystem) tellReopened(plan.SeatID) error { return nil }
func (f *fakeSystem) readKeys()                      {}
func (f *fakeSystem) configure(configs.Config) error { return nil }
func (f *fakeSystem) lastLines() []string            { return []string{"its last words"} }
func (f *fakeSystem) giveKeys(plan.SeatID) error     { return nil }

func (f *fakeSystem) work(id plan.SeatID, _ int) (int64, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.works[f.pidOf(id)]
	return w.requests, w.stuck
}

func (f *fakeSystem) load([]plan.SeatID) elastic.Look {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.look
}

func (f *fakeSystem) memory(pid int) metrics.Memory {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.works[pid].memory
}

// work is what a worker has done, and what it takes.
type work struct {
	requests int64
	stuck    time.Duration
	memory   metrics.Memory
}

func (f *fakeSystem) StartHook(k hooks.Kind, command string, facts []string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pids++
	f.hooks = append(f.hooks, fmt.Sprintf("%v: %s %s", k, command, strings.Join(facts, " ")))
	f.exit(1000+f.pids, cmp.Or(f.hookTime, 10*time.Millisecond), plan.ExitStatus{})
	return 1000 + f.pids, nil
}

func (f *fakeSystem) later(d time.Duration, ev func() event) {
	time.AfterFunc(d, func() { f.loop.events <- ev() })
}

func (f *fakeSystem) exit(pid int, d time.Duration, status plan.ExitStatus) {
	f.later(d, func() event { return exitEvent{pid: pid, status: status} })
}

func (f *fakeSystem) openSlot(slot int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened = max(f.opened, slot+1)
	return f.inboxes.Open(slot)
}

func (f *fakeSystem) newGeneration(int) error { f.mu.Lock(); defer f.mu.Unlock(); return f.bad }

func (f *fakeSystem) dropGeneration(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropped = append(f.dropped, n)
}

func (f *fakeSystem) spawn(id plan.SeatID, generation int, limits ipc.Limits) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, seat := range f.seats {
		if seat == id.Seat() {
			return 0, fmt.Errorf("seat %d is taken", seat)
		}
	}
	f.pids++
	pid, b := 1000+f.pids, f.behave[generation]
	f.seats[pid], f.ids[pid], f.adopted[id], f.limits[pid] = id.Seat(), id, map[int]bool{}, limits
	if f.board != nil {
		f.board.Row(id.Seat()).Handoff.Takes.Store(inbox.Version)
	}
	boot := b.bootTime
	if boot == 0 {
		boot = 10 * time.Millisecond
	}
	protocol := b.protocol
	if protocol == (ipc.Protocol{}) {
		protocol = ipc.Spoken
	}
	say := func(d time.Duration, m ipc.Message) {
		f.later(d, func() event { return messageEvent{id: id, msg: m} })
	}
	say(time.Millisecond, ipc.Message{Type: ipc.Hello, ProtocolMin: protocol.Min, ProtocolMax: protocol.Max})
	if b.exitAfter > 0 {
		f.exit(pid, b.exitAfter, plan.ExitStatus{Code: 3})
	}
	if b.exitAfter == 0 || b.exitAfter > boot {
		say(boot, ipc.Message{Type: ipc.Ready})
	}
	if b.dieAfter > 0 {
		f.exit(pid, boot+b.dieAfter, plan.ExitStatus{Code: 2})
	}
	return pid, nil
}

// startFront starts one that is ready in a moment, and leaves when it is told to.
func (f *fakeSystem) startFront(ipc.Limits) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused < f.behave[0].refused {
		f.refused++
		return 0, errors.New("no front today")
	}
	f.pids++
	pid := 1000 + f.pids
	f.fronts = append(f.fronts, pid)
	f.later(10*time.Millisecond, func() event { return frontEvent{pid} })
	return pid, nil
}

func (f *fakeSystem) pidOf(id plan.SeatID) int {
	for pid, other := range f.ids {
		if other == id {
			return pid
		}
	}
	return 0
}

func (f *fakeSystem) send(id plan.SeatID, m ipc.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	pid := f.pidOf(id)
	if _, silent := f.silent[pid]; silent {
		return ipc.ErrFull
	}
	f.sent = append(f.sent, m)
	switch m.Type {
	case ipc.Drain:
		if f.behave[f.loop.state.At(id).Generation].deaf {
			return nil
		}
		f.later(time.Millisecond, func() event { return messageEvent{id: id, msg: ipc.Message{Type: ipc.Draining}} })
		f.exit(pid, 20*time.Millisecond, plan.ExitStatus{})
	case ipc.Configure:
		f.limits[pid] = *m.Limits
	case ipc.Release:
		delete(f.adopted[id], m.Slot)
	case ipc.Profile:
		if m.Text == "mute" {
			return nil
		}
		f.later(m.Length+time.Millisecond, func() event {
			answer := ipc.Message{Type: ipc.Profile, ID: m.ID}
			if m.Text == "bad" {
				answer.Text = "there is no such profile"
				return messageEvent{id: id, msg: answer}
			}
			fd, err := ipc.NewMemfd("profile", fmt.Appendf(nil, "%s of %d", m.Text, pid))
			if err != nil {
				panic(err)
			}
			return messageEvent{id: id, msg: answer, fd: fd}
		})
	case ipc.Stacks:
		f.later(time.Millisecond, func() event {
			fd, err := ipc.NewMemfd("stacks", fmt.Appendf(nil, "stacks of %d", pid))
			if err != nil {
				panic(err)
			}
			return messageEvent{id: id, msg: ipc.Message{Type: ipc.Stacks, ID: m.ID}, fd: fd}
		})
	}
	return nil
}

func (f *fakeSystem) adopt(id plan.SeatID, slot int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, silent := f.silent[f.pidOf(id)]; silent {
		return ipc.ErrFull
	}
	f.adopted[id][slot] = true
	return nil
}

func (f *fakeSystem) signal(pid int, s syscall.Signal) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Contains(f.fronts, pid) {
		f.signals = append(f.signals, fmt.Sprintf("front %v", s))
		if s == syscall.SIGTERM && !f.behave[0].deaf {
			f.exit(pid, 50*time.Millisecond, plan.ExitStatus{})
		}
	} else {
		f.signals = append(f.signals, fmt.Sprintf("%d %v", f.seats[pid], s))
	}
	if s == syscall.SIGKILL {
		f.exit(pid, time.Millisecond, plan.ExitStatus{Code: -1, Signal: syscall.SIGKILL})
	}
	return nil
}

func (f *fakeSystem) heartbeatAge(id plan.SeatID) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since, silent := f.silent[f.pidOf(id)]; silent {
		return time.Since(since)
	}
	return 0
}

func (f *fakeSystem) vacate(id plan.SeatID, _ time.Duration) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	pid := f.pidOf(id)
	delete(f.seats, pid)
	delete(f.ids, pid)
	delete(f.adopted, id)
	if f.board != nil {
		f.board.Clear(id.Seat())
	}
	return 7
}

func (f *fakeSystem) introduce(id plan.SeatID, slot int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, silent := f.silent[f.pidOf(id)]; silent {
		return ipc.ErrFull
	}
	f.told = append(f.told, fmt.Sprintf("%d>%d", id.Seat(), slot))
	return nil
}

func (f *fakeSystem) sweep(deserted, takers []int) inboxes.Swept {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inboxes.Sweep(deserted, takers)
}

func (f *fakeSystem) closeInboxes() int { f.mu.Lock(); defer f.mu.Unlock(); return f.inboxes.Close() }

func (f *fakeSystem) closeListeners() { f.mu.Lock(); defer f.mu.Unlock(); f.closed = true }

func (f *fakeSystem) reopenLogs() error { f.mu.Lock(); defer f.mu.Unlock(); f.reopened++; return nil }

// world is a loop on a fake system under a fake clock.
type world struct {
	*testing.T
	fake    *fakeSystem
	loop    *loop
	log     *logBuffer
	journal *journal.Journal
	code    chan int
}

// logBuffer can be read while the loop writes.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func inWorld(t *testing.T, change func(*configs.Config), behave map[int]behaviour, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := configs.Default()
		c.Workers, c.MaxWorkers = 3, 8
		if change != nil {
			change(&c)
		}
		w := &world{T: t, log: &logBuffer{}, journal: journal.New(1000), code: make(chan int, 1)}
		w.fake = &fakeSystem{behave: behave, seats: map[int]int{}, works: map[int]work{}, limits: map[int]ipc.Limits{}, ids: map[int]plan.SeatID{}, adopted: map[plan.SeatID]map[int]bool{}, silent: map[int]time.Time{}}
		if c.Inboxes() {
			board, err := scoreboard.Create(c.MaxWorkers, c.Cells())
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(board.FD())
			w.fake.board = board
		}
		w.fake.inboxes = inboxes.New(w.fake.board, c.Inboxes())
		w.loop = newLoop(plan.New(c, time.Now()), w.fake, slog.New(w.journal.Handler(slog.NewTextHandler(w.log, nil))))
		w.fake.loop = w.loop
		w.loop.reloading.load = func() (configs.Config, error) { return c, nil }
		go func() { w.code <- w.loop.run() }()
		test(w)
		if len(w.code) == 0 {
			w.loop.events <- signalEvent{syscall.SIGTERM}
			w.pass(time.Second)
			w.loop.events <- signalEvent{syscall.SIGTERM}
		}
		select {
		case <-w.code:
		case <-time.After(time.Hour):
			t.Error("the loop does not end")
		}
		if strings.Contains(w.log.String(), "BUG in the master") {
			t.Errorf("the master reports a bug:\n%s", w.log)
		}
	})
}

// pass lets time pass and everything settle.
func (w *world) pass(d time.Duration) {
	time.Sleep(d) // of the fake clock
	synctest.Wait()
}

// stopWorker stops the heartbeat of a worker, as SIGSTOP does.
func (w *world) stopWorker(pid int) {
	w.fake.mu.Lock()
	defer w.fake.mu.Unlock()
	w.fake.silent[pid] = time.Now()
}

// helpers are the slots whose worker has adopted the listener of a slot.
func (w *world) helpers(slot int) string {
	w.fake.mu.Lock()
	defer w.fake.mu.Unlock()
	var slots []int
	for id, adopted := range w.fake.adopted {
		if adopted[slot] {
			slots = append(slots, id.Slot)
		}
	}
	slices.Sort(slots)
	return strings.Trim(fmt.Sprint(slots), "[]")
}

func (w *world) snapshot() *Snapshot { return w.loop.snapshot.Load() }

// generations are those of the ready workers by slot; 0 where there is none.
func (w *world) generations() string {
	snap := w.snapshot()
	by := make([]int, snap.Slots)
	for _, k := range snap.Workers {
		if k.State == plan.Ready && (by[k.Slot] == 0 || k.Settled) {
			by[k.Slot] = k.Generation
		}
	}
	return strings.Trim(fmt.Sprint(by), "[]")
}

func (w *world) expect(generations string) {
	w.Helper()
	if got := w.generations(); got != generations {
		w.Errorf("ready generations by slot: %s, want %s\n%s", got, generations, w.log)
	}
}

func (w *world) restart() int {
	w.Helper()
	reply := make(chan restartReply, 1)
	w.loop.events <- restartRequest{reply: reply}
	r := <-reply
	if r.err != nil {
		w.Fatal(r.err)
	}
	return r.generation
}

func TestLoopBootsAndRestarts(t *testing.T) {
	inWorld(t, nil, nil, func(w *world) {
		w.pass(100 * time.Millisecond)
		w.expect("1 1 1")
		if g := w.restart(); g != 2 {
			t.Errorf("generation %d", g)
		}
		w.pass(1200 * time.Millisecond)
		w.expect("2 1 1") // slot 1's newcomer has not booted or not settled: the old one serves
		w.pass(3 * time.Second)
		w.expect("2 2 2")
		if ro := w.snapshot().rollout(2); ro.Outcome != plan.Done || !ro.Drained {
			t.Errorf("rollout %+v", ro)
		}
		w.pass(10 * time.Second)
		w.fake.mu.Lock()
		defer w.fake.mu.Unlock()
		if fmt.Sprint(w.fake.dropped) != "[1]" {
			t.Errorf("dropped generations %v: the old program is to be let go after the probation", w.fake.dropped)
		}
	})
}

func TestLoopReturnsFromABadGeneration(t *testing.T) {
	for name, bad := range map[string]behaviour{
		"exits":          {exitAfter: 5 * time.Millisecond},
		"hangs":          {bootTime: time.Hour},
		"other protocol": {protocol: ipc.Protocol{Min: 90, Max: 99}, bootTime: time.Hour},
		"dies ready":     {dieAfter: 500 * time.Millisecond},
		"dies settled":   {dieAfter: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(c *configs.Config) { c.BootTimeout = 5 * time.Second }, map[int]behaviour{2: bad}, func(w *world) {
				w.pass(100 * time.Millisecond)
				w.restart()
				w.pass(30 * time.Second)
				w.expect("1 1 1")
				ro := w.snapshot().rollout(2)
				if ro.Outcome != plan.Aborted || ro.Reason == "" || ro.Detail == "" {
					t.Errorf("rollout %+v", ro)
				}
				if n := strings.Count(w.log.String(), "restart failed: going back"); n != 1 {
					t.Errorf("the log says %d times why the restart failed", n)
				}
				for _, end := range w.snapshot().Ended {
					if want := end.Outcome == string(plan.Aborted) && end.Reason == ro.Reason; (end.Count != 0) != want {
						t.Errorf("counted %+v", end)
					}
				}
				if name == "dies settled" && ro.Reason != "rollback" {
					t.Errorf("reason %s", ro.Reason)
				}
			})
		})
	}
}

// A restart that was done and is taken back within the probation counts as both.
func TestLoopCountsALateRollback(t *testing.T) {
	inWorld(t, func(c *configs.Config) { c.Workers = 1 }, map[int]behaviour{2: {dieAfter: 3 * time.Second}}, func(w *world) {
		w.pass(100 * time.Millisecond)
		w.restart()
		w.pass(30 * time.Second)
		w.expect("1")
		counted := map[string]int64{}
		for _, end := range w.snapshot().Ended {
			if end.Count != 0 {
				counted[end.Outcome+" "+end.Reason] = end.Count
			}
		}
		if fmt.Sprint(counted) != "map[aborted rollback:1 done :1]" {
			t.Errorf("counted %v", counted)
		}
	})
}

func TestLoopRefusesAMissingProgram(t *testing.T) {
	inWorld(t, nil, nil, func(w *world) {
		w.pass(100 * time.Millisecond)
		w.fake.mu.Lock()
		w.fake.bad = errors.New("program is gone")
		w.fake.mu.Unlock()
		reply := make(chan restartReply, 1)
		w.loop.events <- restartRequest{reply: reply}
		if r := <-reply; r.err == nil {
			t.Error("a generation without a program was accepted")
		}
		w.pass(5 * time.Second)
		w.expect("1 1 1")
		if len(w.snapshot().Rollouts) != 0 {
			t.Error("a refused restart left a trace")
		}
	})
}

func TestLoopAdoptsForAStalledWorker(t *testing.T) {
	inWorld(t, nil, nil, func(w *world) {
		w.pass(100 * time.Millisecond)
		hung := w.snapshot().Workers[1]
		w.stopWorker(hung.PID)
		w.pass(time.Second)
		if got := w.helpers(1); got != "" {
			t.Errorf("adopted by %s before it counts as stalled", got)
		}
		w.pass(2 * time.Second)
		if got := w.helpers(1); got != "0 2" {
			t.Errorf("the stalled worker's listener is served by %q", got)
		}
		w.pass(40 * time.Second) // beyond the heartbeat timeout: killed, replaced, given back
		w.expect("1 1 1")
		if got := w.helpers(0) + w.helpers(1) + w.helpers(2); got != "" {
			t.Errorf("still adopted by %s", got)
		}
		w.fake.mu.Lock()
		defer w.fake.mu.Unlock()
		if len(w.fake.signals) != 2 || !strings.HasSuffix(w.fake.signals[1], "killed") {
			t.Errorf("signals %q: first the stacks, then the end", w.fake.signals)
		}
		if d := w.snapshot().Deaths; len(d) != 1 || d[0].Reason != "heartbeat" || d[0].Open != 7 {
			t.Errorf("deaths %+v", d)
		}
	})
}

func TestLoopKillsWhoDoesNotLeave(t *testing.T) {
	inWorld(t, func(c *configs.Config) { c.DrainTimeout, c.DrainIdle = 5*time.Second, time.Second }, map[int]behaviour{1: {deaf: true}}, func(w *world) {
		w.pass(100 * time.Millisecond)
		start := time.Now()
		w.loop.events <- signalEvent{syscall.SIGTERM}
		code := <-w.code
		w.code <- code
		if took := time.Since(start); code != plan.ExitClean || took < 8*time.Second || took > 8200*time.Millisecond {
			t.Errorf("exit code %d after %v: the drain timeout, a second, two for the stacks", code, took)
		}
		if !w.fake.closed {
			t.Error("the listeners were not closed")
		}
	})
}

func TestLoopStacks(t *testing.T) {
	inWorld(t, nil, nil, func(w *world) {
		w.pass(100 * time.Millisecond)
		w.stopWorker(w.snapshot().Workers[2].PID)
		reply := make(chan []api.StackDump, 1)
		w.loop.events <- stacksRequest{reply: reply}
		dumps := <-reply
		if len(dumps) != 4 || dumps[0].Slot != -1 || !strings.Contains(dumps[0].Text, "goroutine") {
			t.Fatalf("dumps %+v", dumps)
		}
		if dumps[1].Text != fmt.Sprintf("stacks of %d", dumps[1].PID) || dumps[1].Err != "" {
			t.Errorf("worker 0: %+v", dumps[1])
		}
		if dumps[3].Text != "" || dumps[3].Err == "" {
			t.Errorf("the silent worker: %+v", dumps[3])
		}
	})
}

func TestLoopSignals(t *testing.T) {
	inWorld(t, nil, nil, func(w *world) {
		w.pass(100 * time.Millisecond)
		w.loop.events <- signalEvent{syscall.SIGTTIN}
		w.pass(100 * time.Millisecond)
		w.expect("1 1 1 1")
		w.loop.events <- signalEvent{syscall.SIGTTOU}
		w.loop.events <- signalEvent{syscall.SIGTTOU}
		w.pass(100 * time.Millisecond)
		w.expect("1 1 0 0")
		if w.helpers(2) != "0 1" || w.helpers(3) != "0 1" {
			t.Errorf("the removed slots' listeners are served by %q and %q", w.helpers(2), w.helpers(3))
		}
		w.loop.events <- signalEvent{syscall.SIGHUP}
		w.loop.events <- signalEvent{syscall.SIGQUIT}
		w.loop.events <- signalEvent{syscall.SIGUSR1}
		w.pass(5 * time.Second)
		w.expect("2 2 0 0")
		w.fake.mu.Lock()
		defer w.fake.mu.Unlock()
		if w.fake.reopened != 1 || !strings.Contains(w.log.String(), "goroutine stacks") {
			t.Error("HUP or QUIT did nothing")
		}
	})
}
