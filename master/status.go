package master

import (
	"strconv"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/metrics"
)

// Status is the whole state for people and programs. It never waits for the loop or a worker.
func (m *Master) Status() api.Status {
	snap, measured := m.loop.snapshot.Load(), m.rates.Measure()
	s := api.Status{
		Name: m.config.Name, Version: m.version, PID: snap.PID, Started: snap.Started, State: snap.state(),
		Mode: m.config.Mode, Dispatch: m.config.Dispatch, Workers: snap.Wanted, Threads: snap.Threads, Generation: snap.Generation, Control: m.control,
		Metrics: m.metricsAddress, Program: m.program, ByPath: m.byPath, Memory: m.memory.Of(snap.PID), Limits: m.limits, Reload: snap.Reload,
		Slots: []api.WorkerStatus{}, Deaths: []api.DeathStatus{}, Backlogs: m.backlogs(snap.Slots),
		Rates: measured.All, Pressure: measured.Pressure,
	}
	if snap.KeysErr != nil {
		s.KeysError = snap.KeysErr.Error()
	}
	for _, b := range m.binds {
		s.Binds = append(s.Binds, b.Plain())
	}
	if n := len(snap.Rollouts); n > 0 {
		s.Restart = &snap.Rollouts[n-1]
	}
	for _, w := range snap.Workers {
		k := m.worker(w, snap)
		k.Rates = measured.Of(w.PID)
		s.Slots = append(s.Slots, k)
	}
	if f := snap.Front; f != nil {
		s.Front = &api.FrontStatus{Dispatch: m.config.Dispatch, PID: f.PID, State: f.State.String(), Restarts: max(0, f.Starts-1)}
		if f.PID != 0 {
			s.Front.Uptime, s.Front.Memory = time.Since(f.Spawned).Seconds(), m.memory.Of(f.PID)
		}
	}
	if snap.InProcess {
		s.Shares = m.shares(snap)
	}
	if m.config.Dispatch == "handoff" {
		s.Handoff = m.handoff(snap.Slots)
	}
	for i, d := range snap.Deaths {
		s.Deaths = append(s.Deaths, api.DeathStatus{Slot: snap.DeathSlots[i], Death: d})
	}
	return s
}

func (m *Master) backlogs(slots int) []api.Backlog {
	all := []api.Backlog{}
	for i, b := range m.binds {
		for slot := range slots {
			name := strconv.Itoa(slot)
			if m.sockets.Shared(i) {
				name = "all"
			}
			if waiting, limit, ok := m.Queue(slot, i); ok {
				all = append(all, api.Backlog{Bind: b.Plain(), Slot: name, Waiting: waiting, Limit: limit})
			}
			if m.sockets.Shared(i) {
				break
			}
		}
	}
	return all
}

func (m *Master) worker(w WorkerView, snap *Snapshot) api.WorkerStatus {
	row := m.board.Row(w.Seat)
	s := api.WorkerStatus{Slot: w.Slot, Seat: w.Seat, Generation: w.Generation, PID: w.PID, State: w.State.String(), Reason: w.Reason.String()}
	threads, busy := w.Threads, 0
	if snap.InProcess {
		threads *= snap.Wanted
	}
	for slot := range snap.slotsOf(w) {
		s.Requests += m.answered(slot)
		busy += m.board.Busy(2*slot + w.Seat%2)
	}
	if w.State == plan.Waiting {
		s.Retry = max(0, time.Until(w.Until).Seconds())
		return s
	}
	s.Uptime = time.Since(w.SpawnedAt).Seconds()
	s.Busy, s.Threads, s.Waiting, s.Open = busy, threads, row.Waiting.Load(), row.Open.Load()
	s.Memory, s.Stalled = m.memory.Of(w.PID), w.Stalled
	s.ThreadList = m.threads(w, snap)
	return s
}

// threads are those of a worker by number. Behind those that it is to have are those that it still has.
func (m *Master) threads(w WorkerView, snap *Snapshot) []api.Thread {
	now := m.clock.Now()
	var wanted, more []api.Thread
	for slot := range snap.slotsOf(w) {
		for i := range m.board.Threads() {
			t := thread(m.board.Cell(2*slot+w.Seat%2, i), now)
			switch {
			case i < w.Threads && (slot < snap.Wanted || !snap.InProcess):
				wanted = append(wanted, t)
			case t.State != threadFree:
				more = append(more, t)
			}
		}
	}
	return append(wanted, more...)
}

// The states of a thread, as the status has them.
const (
	threadFree     = "free"
	threadReserved = "reserved"
	threadRunning  = "running"
)

func thread(c *scoreboard.Cell, now int64) api.Thread {
	work := c.Read()
	switch {
	case work.Running:
		age := max(0, time.Duration(now-work.Since))
		return api.Thread{State: threadRunning, For: age.Seconds(), Method: work.Method, Path: work.Path}
	case c.Reserved():
		return api.Thread{State: threadReserved}
	case c.Running(): // it was taken a moment ago
		return api.Thread{State: threadRunning}
	}
	return api.Thread{State: threadFree}
}

// answered is how many requests a slot has answered, all its workers.
func (m *Master) answered(slot int) int64 {
	return m.board.Row(2*slot).Total() + m.board.Row(2*slot+1).Total()
}

func (m *Master) handoff(slots int) *api.Handoff {
	h := &api.Handoff{Handoff: metrics.HandoffOf(m.board, 0, slots), Shares: make([]float64, slots)}
	all := 0.
	for slot := range h.Shares {
		h.Shares[slot] = float64(m.answered(slot))
		all += h.Shares[slot]
	}
	for slot := range h.Shares {
		h.Shares[slot] /= max(all, 1)
	}
	return h
}

func (m *Master) shares(snap *Snapshot) []api.Share {
	all := make([]api.Share, snap.Slots)
	for slot := range all {
		all[slot] = api.Share{Slot: slot, Busy: m.board.Busy(2*slot) + m.board.Busy(2*slot+1), Requests: m.answered(slot)}
		for _, w := range snap.Workers {
			if w.PID != 0 && slot < snap.Wanted {
				all[slot].Threads += w.Threads
			}
		}
	}
	return all
}

// state is the cluster in one word.
func (s *Snapshot) state() string {
	switch n := len(s.Rollouts); {
	case s.Stopping:
		return "stopping"
	case n > 0 && s.Rollouts[n-1].Outcome == plan.Running:
		return "restarting"
	case n > 0 && s.Rollouts[n-1].Outcome == plan.Returning:
		return "returning"
	case s.Ready:
		return "ready"
	case !s.EverReady:
		return "starting"
	}
	return "degraded"
}
