package master

import (
	"strconv"
	"time"

	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/master/process"
	"github.com/prefork/cluster/metrics"
)

// Status is what GET /v1/status answers.
type Status struct {
	Name       string         `json:"name"`
	Version    string         `json:"version"`
	PID        int            `json:"pid"`
	Started    time.Time      `json:"started"`
	State      string         `json:"state"` // starting, ready, degraded, restarting, returning, stopping
	Mode       string         `json:"mode"`
	Workers    int            `json:"workers"`
	Threads    int            `json:"threads"`
	Generation int            `json:"generation"`
	Binds      []string       `json:"binds"`
	Metrics    string         `json:"metrics,omitempty"`
	Control    string         `json:"control"`
	Program    string         `json:"program"`
	ByPath     bool           `json:"program_by_path,omitempty"` // a script: going back runs whatever the path holds then
	Memory     metrics.Memory `json:"master_memory"`
	Limits     process.Limits `json:"limits"`                       // of the master when it started, inherited by the workers
	Restart    *plan.Rollout  `json:"restart,omitempty"`            // the last one
	Reload     *Reload        `json:"reload,omitempty"`             // of the configuration, the last one
	KeysError  string         `json:"certificates_error,omitempty"` // why those in use are not those in the files
	Front      *FrontStatus   `json:"front,omitempty"`              // only with a dispatch that has one
	Slots      []WorkerStatus `json:"workers_status"`               // in process: a process each, whose slot is 0
	Shares     []Share        `json:"in_process,omitempty"`         // of the workers in the process, by slot; only in process
	Handoff    *Handoff       `json:"handoff,omitempty"`            // only with dispatch handoff
	Deaths     []DeathStatus  `json:"deaths"`
	Backlogs   []Backlog      `json:"backlogs"` // of each listener that can be asked
}

// Backlog is how many connections wait in a listener to be accepted, and how many may.
type Backlog struct {
	Bind    string `json:"bind"`
	Slot    string `json:"slot"` // a number, or all if the slots share the listener
	Waiting int    `json:"waiting"`
	Limit   int    `json:"limit"`
}

// FrontStatus is the process that stands before the workers.
type FrontStatus struct {
	Dispatch string         `json:"dispatch"`
	PID      int            `json:"pid"` // 0: there is none at the moment
	State    string         `json:"state"`
	Uptime   float64        `json:"uptime_seconds"`
	Restarts int            `json:"restarts"`
	Memory   metrics.Memory `json:"memory"`
}

// WorkerStatus is one worker, or a slot that waits for one.
type WorkerStatus struct {
	Slot       int            `json:"slot"`
	Seat       int            `json:"seat"`
	Generation int            `json:"generation"`
	PID        int            `json:"pid"`
	State      string         `json:"state"`
	Reason     string         `json:"reason,omitempty"` // why it drains
	Uptime     float64        `json:"uptime_seconds"`
	Retry      float64        `json:"retry_seconds,omitempty"` // of a waiting slot
	Busy       int            `json:"threads_busy"`
	Threads    int            `json:"threads"`
	Waiting    int64          `json:"requests_waiting"`
	Open       int64          `json:"connections_open"`
	Requests   int64          `json:"requests"` // of the slot since the start, all workers
	Memory     metrics.Memory `json:"memory"`
	Stalled    bool           `json:"stalled,omitempty"`
}

// Share is what the threads of one worker do that is no process of its own.
type Share struct {
	Slot     int   `json:"slot"`
	Busy     int   `json:"threads_busy"`
	Threads  int   `json:"threads"`  // of all processes while one replaces another
	Requests int64 `json:"requests"` // since the start
}

// Handoff is how even the workers are loaded, and what it takes to keep them so, since the start.
type Handoff struct {
	metrics.Handoff
	Shares []float64 `json:"shares"` // of all requests that were answered, by slot, of 1; all 0 while there were none
}

// DeathStatus is a death and its slot.
type DeathStatus struct {
	Slot int `json:"slot"`
	plan.Death
}

// InProcess says that one process has the threads of all workers.
func (s *Status) InProcess() bool { return len(s.Shares) > 0 }

func (m *Master) status() Status {
	snap := m.loop.snapshot.Load()
	s := Status{
		Name: m.config.Name, Version: m.version, PID: snap.PID, Started: snap.Started, State: snap.state(),
		Mode: m.config.Mode, Workers: snap.Wanted, Threads: snap.Threads, Generation: snap.Generation, Control: m.control,
		Metrics: m.metricsAddress, Program: m.program, ByPath: m.byPath, Memory: m.memory.Of(snap.PID), Limits: m.limits, Reload: snap.Reload,
		Slots: []WorkerStatus{}, Deaths: []DeathStatus{}, Backlogs: m.backlogs(snap.Slots),
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
		s.Slots = append(s.Slots, m.worker(w, snap))
	}
	if f := snap.Front; f != nil {
		s.Front = &FrontStatus{Dispatch: m.config.Dispatch, PID: f.PID, State: f.State.String(), Restarts: max(0, f.Starts-1)}
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
		s.Deaths = append(s.Deaths, DeathStatus{Slot: snap.DeathSlots[i], Death: d})
	}
	return s
}

func (m *Master) backlogs(slots int) []Backlog {
	all := []Backlog{}
	for i, b := range m.binds {
		for slot := range slots {
			name := strconv.Itoa(slot)
			if m.sockets.Shared(i) {
				name = "all"
			}
			if waiting, limit, ok := m.Queue(slot, i); ok {
				all = append(all, Backlog{Bind: b.Plain(), Slot: name, Waiting: waiting, Limit: limit})
			}
			if m.sockets.Shared(i) {
				break
			}
		}
	}
	return all
}

func (m *Master) worker(w WorkerView, snap *Snapshot) WorkerStatus {
	row := m.board.Row(w.Seat)
	s := WorkerStatus{Slot: w.Slot, Seat: w.Seat, Generation: w.Generation, PID: w.PID, State: w.State.String(), Reason: w.Reason.String()}
	first, end, threads := w.Slot, w.Slot+1, w.Threads
	if snap.InProcess {
		first, end, threads = 0, snap.Slots, w.Threads*snap.Wanted
	}
	busy := 0
	for slot := first; slot < end; slot++ {
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
	return s
}

// answered is how many requests a slot has answered, all its workers.
func (m *Master) answered(slot int) int64 {
	return m.board.Row(2*slot).Total() + m.board.Row(2*slot+1).Total()
}

func (m *Master) handoff(slots int) *Handoff {
	h := &Handoff{Handoff: metrics.HandoffOf(m.board, 0, slots), Shares: make([]float64, slots)}
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

func (m *Master) shares(snap *Snapshot) []Share {
	all := make([]Share, snap.Slots)
	for slot := range all {
		all[slot] = Share{Slot: slot, Busy: m.board.Busy(2*slot) + m.board.Busy(2*slot+1), Requests: m.answered(slot)}
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
