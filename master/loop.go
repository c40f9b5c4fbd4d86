package master

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/master/control"
	"github.com/prefork/cluster/master/front"
	"github.com/prefork/cluster/master/hooks"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/master/plan"
)

const tickInterval = 500 * time.Millisecond // how often heartbeats are looked at

// loop owns the state. Everything that happens comes through events or the clock.
type loop struct {
	state       *plan.Cluster
	front       *front.Front // nil: there is none
	system      system
	hooks       *hooks.Runner
	control     string // path of the control socket
	log         *slog.Logger
	events      chan event
	snapshot    atomic.Pointer[Snapshot]
	changed     chan struct{} // replaced, and the old one closed, with each snapshot
	generations map[int]int   // open, and how many threads a worker had when it was made
	workers     int           // in process: whose threads the process is to have
	most        int           // that they have been
	announced   bool
	lastRollout plan.Rollout
	told        int                  // the generation whose failure was logged last
	counted     map[int]plan.Outcome // by generation: what is in ended
	ended       map[rolloutEnd]int64
	level       *slog.LevelVar // of the log
	allow       func(control.Access)
	reloading   reloading
	keysErr     error // of the last reading of the certificates; nil: it went well
	dumps       map[uint64]*dumping
	profiles    map[plan.SeatID]*profiling
	dumpID      uint64    // of the last request for stacks or a profile
	setThreads  *int      // what the configuration said of threads when they were set by hand; nil: they were not
	signalled   time.Time // when a signal asked for the end
	listened    time.Time // when the heartbeats were looked at last
	recycling   recycling
	elasticity  elasticity
	unswept     bool // more lies in deserted inboxes than a turn may take
}

func newLoop(s *plan.Cluster, sys system, log *slog.Logger) *loop {
	l := &loop{state: s, system: sys, log: log, hooks: hooks.New(sys, log), events: make(chan event, 256), generations: map[int]int{1: s.Config.Threads}, workers: s.Config.Workers, most: s.Config.Workers, level: new(slog.LevelVar), allow: func(control.Access) {}, dumps: map[uint64]*dumping{}, profiles: map[plan.SeatID]*profiling{}, ended: map[rolloutEnd]int64{}, counted: map[int]plan.Outcome{}, recycling: newRecycling()}
	if s.Config.Fronted() {
		l.front = &front.Front{}
	}
	l.publish(time.Now())
	return l
}

// run supervises until the cluster has stopped, and returns the exit code.
func (l *loop) run() int {
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		wake, done := l.converge()
		if done {
			l.awaitHooks()
			return l.state.ExitCode
		}
		wake = l.hooks.Tend(time.Now(), wake)
		switch {
		case l.unswept:
			alarm.Reset(0)
		case wake.IsZero():
			alarm.Stop()
		default:
			alarm.Reset(time.Until(wake))
		}
		select {
		case ev := <-l.events:
			l.handle(ev, time.Now())
		case now := <-tick.C:
			l.listen(now)
			l.sweep()
		case <-alarm.C:
			if l.unswept {
				l.sweep()
			}
		}
	}
}

// converge acts until actual and wanted agree, as far as they can now.
func (l *loop) converge() (wake time.Time, done bool) {
	for {
		now := time.Now()
		l.state.Fronted = !l.front.Gone()
		wake = l.advance(now)
		actions, next := plan.Step(l.state, now)
		if wake.IsZero() || !next.IsZero() && next.Before(wake) {
			wake = next
		}
		if len(actions) == 0 { // so the front finds the slots open
			changed, next := l.tendFront(now)
			if changed {
				continue
			}
			if wake.IsZero() || !next.IsZero() && next.Before(wake) {
				wake = next
			}
			l.cleanUp()
			l.publish(now)
			return wake, false
		}
		for _, a := range actions {
			if _, last := a.(plan.Finish); last {
				if lost := l.system.closeInboxes(); lost > 0 {
					l.log.Warn("connections were closed that no worker was left to take", "connections", lost, "event", journal.ConnectionsClosed)
				}
				l.publish(now)
				return wake, true
			}
			l.do(a, now)
		}
	}
}

// do carries an action out.
func (l *loop) do(a plan.Action, now time.Time) {
	switch a := a.(type) {
	case plan.OpenSlot:
		l.openSlot(a.Slot)
	case plan.SpawnWorker:
		l.spawn(a, now)
	case plan.DrainWorker:
		l.trigger(a.ID, plan.DrainAsked, plan.Happening{Reason: a.Reason, Detail: a.Detail}, now)
		l.worker(slog.LevelInfo, "worker drains", a.ID, "reason", a.Reason.String(), "event", journal.WorkerDrains)
	case plan.TakeMeasure:
		l.measure(a.ID, a.Do)
	case plan.AdoptSlot:
		k := l.state.At(a.ID)
		if err := l.system.adopt(a.ID, a.Slot); err != nil {
			k.Stalled = true // it reads nothing: no helper until the next look at its heartbeat
			l.worker(slog.LevelWarn, "worker cannot adopt a listener", a.ID, "of", a.Slot, "err", err, "event", journal.WorkerAdoptFailed)
			return
		}
		k.Adopted[a.Slot] = true
	case plan.ReleaseSlot:
		k := l.state.At(a.ID)
		if err := l.system.send(a.ID, ipc.Message{Type: ipc.Release, Slot: a.Slot}); err != nil {
			k.Stalled = true
			return
		}
		delete(k.Adopted, a.Slot)
	}
}

func (l *loop) openSlot(i int) {
	if err := l.system.openSlot(i); err != nil {
		l.log.Error("slot cannot be opened", "slot", i, "err", err, "event", journal.SlotFailed)
		if i == 0 {
			l.state.Stop(plan.ExitFailure, err.Error())
			return
		}
		l.state.Wanted = i // go on with those that are
		return
	}
	l.state.Slots[i].Opened = true
	for id := range l.state.Workers() {
		if err := l.system.introduce(id, i); err != nil {
			l.worker(slog.LevelDebug, "worker cannot be given the inboxes of a slot: it passes no connections to it", id, "of", i, "err", err, "event", journal.WorkerPeersFailed)
		}
	}
}

func (l *loop) spawn(a plan.SpawnWorker, now time.Time) {
	l.state.Spawns = max(l.state.Spawns, a.ID.Spawn)
	pid, err := l.system.spawn(a.ID, a.Generation, l.limits(a.Generation))
	h := plan.Happening{Spawn: a.ID.Spawn, PID: pid, Generation: a.Generation}
	if err != nil {
		h.Detail = err.Error()
		l.log.Error("worker cannot be started", "slot", l.slot(a.ID), "generation", a.Generation, "reason", plan.BootExit.String(), "err", err, "event", journal.WorkerStartFailed)
		l.trigger(a.ID, plan.SpawnFailed, h, now)
		l.fireCrash(a.ID.Slot, now)
		return
	}
	l.trigger(a.ID, plan.WasSpawned, h, now)
	l.worker(slog.LevelDebug, "worker started", a.ID, "event", journal.WorkerStarted)
}

func (l *loop) measure(id plan.SeatID, m plan.Measure) {
	k := l.state.At(id)
	k.Rung++
	switch m {
	case plan.AskToDrain:
		err := l.system.send(id, ipc.Message{Type: ipc.Drain, Final: l.state.Leaving(), Text: k.Reason.String()})
		if err != nil {
			l.worker(slog.LevelWarn, "worker does not take the drain message: sending SIGTERM", id, "err", err, "event", journal.WorkerDrainFailed)
			_ = l.system.signal(k.PID, syscall.SIGTERM)
		}
	case plan.AskForStacks:
		l.worker(slog.LevelWarn, "worker hangs: asking for its stacks (SIGQUIT)", id, "reason", k.Reason.String(), "err", k.Detail, "event", journal.WorkerHangs)
		_ = l.system.signal(k.PID, syscall.SIGQUIT)
	case plan.Kill:
		l.worker(slog.LevelWarn, "worker is killed", id, "reason", k.Reason.String(), "event", journal.WorkerKilled)
		_ = l.system.signal(k.PID, syscall.SIGKILL)
	}
}

// trigger feeds the table; an impossible cell is a bug of the master, which goes on.
func (l *loop) trigger(id plan.SeatID, t plan.Trigger, h plan.Happening, now time.Time) {
	if err := l.state.Trigger(id, t, h, now); err != nil {
		l.log.Error("BUG in the master, please report", "err", err, "event", journal.MasterBug)
	}
}

func (l *loop) handle(ev event, now time.Time) {
	switch ev := ev.(type) {
	case exitEvent:
		l.exited(ev, now)
	case messageEvent:
		l.message(ev, now)
	case keysEvent:
		l.newKeys(ev.Update, now)
	case garbledEvent:
		if l.state.Current(ev.id) != nil {
			l.worker(slog.LevelWarn, "control message refused", ev.id, "err", ev.err, "event", journal.MessageRefused)
			_ = l.system.send(ev.id, ipc.Message{Type: ipc.Error, Text: ev.err.Error()})
		}
	case frontEvent:
		l.frontReady(ev.pid, now)
	case signalEvent:
		l.signal(ev.signal, now)
	case loadedEvent:
		l.loaded(ev, now)
	default:
		if !l.request(ev, now) {
			l.log.Error("BUG in the master, please report", "err", fmt.Sprintf("unknown event %T", ev), "event", journal.MasterBug)
		}
	}
}

func (l *loop) exited(ev exitEvent, now time.Time) {
	if l.frontLeft(ev, now) || l.hooks.Exited(ev.pid, ev.status == plan.ExitStatus{}, ev.status.String(), now) {
		return
	}
	for id, k := range l.state.Workers() {
		if k.PID == ev.pid {
			l.buried(id, *k, ev, now)
			l.sweep()
			return
		}
	}
}

// buried takes a worker's end in. was is what it was until now.
func (l *loop) buried(id plan.SeatID, was plan.Seat, ev exitEvent, now time.Time) {
	open := l.system.vacate(id, ev.cpu)
	reason, _ := l.state.WhyLeft(&was, ev.status)
	l.trigger(id, plan.HasExited, plan.Happening{Status: ev.status, Open: open}, now)
	l.dumpAnswered(id, "", errProcessEnded.Error())
	l.endProfile(id, profileReply{err: errProcessEnded})
	args := []any{"slot", l.slot(id), "seat", id.Seat(), "pid", ev.pid, "generation", was.Generation, "reason", reason.String(), "status", ev.status.String()}
	deaths := l.state.Slots[id.Slot].Deaths
	if n := len(deaths); n == 0 || deaths[n-1].PID != ev.pid {
		l.log.Info("worker left", append(args, "event", journal.WorkerLeft)...)
		return
	}
	l.fireCrash(id.Slot, now)
	retry := max(0, l.state.At(id).Until.Sub(now)).Round(time.Millisecond)
	l.log.Error("worker died", append(args, "open", open, "err", deaths[len(deaths)-1].Detail, "retry", retry.String(), "output", journal.Output(l.system.lastLines()), "event", journal.WorkerDied)...)
}

func (l *loop) message(ev messageEvent, now time.Time) {
	if ev.fd != nil {
		defer ev.fd.Close()
	}
	k := l.state.Current(ev.id)
	if k == nil {
		return // the worker has been reaped meanwhile
	}
	switch ev.msg.Type {
	case ipc.Hello:
		l.trigger(ev.id, plan.SaidHello, plan.Happening{Protocol: ipc.Protocol{Min: ev.msg.ProtocolMin, Max: ev.msg.ProtocolMax}}, now)
	case ipc.Ready:
		l.trigger(ev.id, plan.SaidReady, plan.Happening{}, now)
		if k.State == plan.Ready {
			l.worker(slog.LevelInfo, "worker ready", ev.id, "took", now.Sub(k.SpawnedAt).Round(time.Millisecond).String(), "event", journal.WorkerReady)
		}
	case ipc.Draining:
		l.trigger(ev.id, plan.SaidDraining, plan.Happening{}, now)
	case ipc.Bye:
		if ev.msg.Left > 0 {
			l.worker(slog.LevelWarn, "worker leaves with open connections", ev.id, "open", ev.msg.Left, "event", journal.WorkerLeftOpen)
		}
	case ipc.Stacks:
		l.dumpMessage(ev)
	case ipc.Profile:
		l.profileMessage(ev)
	case ipc.Error:
		l.worker(slog.LevelError, "worker reports an error", ev.id, "err", ev.msg.Text, "event", journal.WorkerError)
	default:
		_ = l.system.send(ev.id, ipc.Message{Type: ipc.Error, Text: "unknown message type " + string(ev.msg.Type)})
	}
}

// sweep passes on the connections in the inboxes that nobody reads.
func (l *loop) sweep() {
	swept := l.system.sweep(l.state.Inboxes())
	l.unswept = swept.More
	if swept.Passed > 0 {
		l.log.Info("connections passed on that were sent to a worker that has gone or is stalled", "connections", swept.Passed, "event", journal.ConnectionsPassed)
	}
	if swept.Err != nil {
		l.log.Debug("a packet between workers was thrown away, or waits", "err", swept.Err, "event", journal.PacketRejected)
	}
}

// cleanUp lets go of generations that nobody runs or may go back to, and reports what has become of a restart.
func (l *loop) cleanUp() {
	inUse := map[int]bool{l.state.Good: true, l.state.Target: true}
	for _, k := range l.state.Workers() {
		inUse[k.Generation] = true
	}
	for g := range l.generations {
		if !inUse[g] {
			l.system.dropGeneration(g)
			delete(l.generations, g)
		}
	}
	l.report()
}

// report logs the turns of the cluster's life: all ready for the first time, and how a restart goes.
func (l *loop) report() {
	if !l.announced && l.allReady() {
		l.announced = true
		l.fire(hooks.Ready, "ready", time.Now(), "CLUSTER_GENERATION", strconv.Itoa(l.state.Target))
		l.log.Info("cluster ready", "workers", l.wanted(), "threads", l.state.Config.Threads, "took", time.Since(l.state.Started).Round(time.Millisecond).String(), "event", journal.ClusterReady)
	}
	l.count()
	l.reportRenewals()
	ro := l.state.Rollout()
	if ro == nil || ro.Generation == l.lastRollout.Generation && ro.Outcome == l.lastRollout.Outcome {
		return
	}
	l.lastRollout = *ro
	switch ro.Outcome {
	case plan.Returning, plan.Aborted:
		if l.told != ro.Generation { // it may be back already: the first newcomer is replaced by nobody
			l.told = ro.Generation
			l.log.Error("restart failed: going back", "generation", ro.From, "reason", ro.Reason, "err", ro.Detail, "event", journal.RestartFailed)
			l.takeBack()
		}
		if ro.Outcome == plan.Aborted {
			l.log.Warn("every slot is back on the generation before", "generation", ro.From, "event", journal.RestartReturned)
		}
	case plan.Done:
		l.log.Info("restart done", "generation", ro.Generation, "took", ro.Ended.Sub(ro.Started).Round(time.Millisecond).String(), "event", journal.RestartDone)
	}
}

// allSlots is the slot, in the log, of a process that has the threads of all.
const allSlots = "all"

// slot is that of a worker, as it is logged: a process that has the threads of all stands in all of them.
func (l *loop) slot(id plan.SeatID) any {
	if l.state.Config.InProcess() {
		return allSlots
	}
	return id.Slot
}

// worker logs about a worker with the fixed set of keys.
func (l *loop) worker(level slog.Level, text string, id plan.SeatID, args ...any) {
	k := l.state.At(id)
	l.log.Log(context.Background(), level, text, append([]any{"slot", l.slot(id), "seat", id.Seat(), "pid", k.PID, "generation", k.Generation}, args...)...)
}
