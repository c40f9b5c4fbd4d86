package api

import (
	"time"

	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/master/process"
	"github.com/prefork/cluster/metrics"
	"github.com/prefork/cluster/metrics/rates"
)

// Status is what GET /v1/status answers.
type Status struct {
	Name       string         `json:"name"`
	Version    string         `json:"version"`
	PID        int            `json:"pid"`
	Started    time.Time      `json:"started"`
	State      string         `json:"state"` // starting, ready, degraded, restarting, returning, stopping
	Mode       string         `json:"mode"`
	Dispatch   string         `json:"dispatch"` // how connections reach workers
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
	Rates      rates.Rates    `json:"rates"`    // of all workers together
	Pressure   rates.Pressure `json:"pressure,omitzero"`
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
	Rates      rates.Rates    `json:"rates"`                 // of the process
	ThreadList []Thread       `json:"thread_list,omitempty"` // by number; in process those of all workers
}

// Thread is one thread and what it does.
type Thread struct {
	State  string  `json:"state"`                     // free, reserved (a connection is on its way to it) or running
	For    float64 `json:"running_seconds,omitempty"` // how long the request has been running
	Method string  `json:"method,omitempty"`
	Path   string  `json:"path,omitempty"` // without a query, cut to 88 bytes; as the client sent it: escape it before you show it
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
