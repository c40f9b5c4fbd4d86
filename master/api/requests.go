package api

import (
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/plan"
)

// Failure is the body of every answer that is not 2xx.
type Failure struct {
	Error string `json:"error"`
}

// ScaleRequest is the body of POST /v1/scale: To, or By if To is 0.
type ScaleRequest struct {
	To int `json:"to,omitempty"`
	By int `json:"by,omitempty"`
}

// ScaleAnswer says how many workers there are to be now.
type ScaleAnswer struct {
	Workers int `json:"workers"`
}

// ThreadsRequest is the body of POST /v1/threads: how many threads each worker is to have.
type ThreadsRequest struct {
	To int `json:"to"`
}

// ThreadsAnswer says how many threads each worker has now.
type ThreadsAnswer struct {
	Threads int `json:"threads"`
}

// LogLevelRequest is the body of POST /v1/log-level: debug, info, warn or error.
type LogLevelRequest struct {
	Level string `json:"level"`
}

// LogLevelAnswer says what is logged at least, until the next reload or start, and what it was.
type LogLevelAnswer struct {
	Level  string `json:"level"`
	Before string `json:"before"`
}

// StopRequest is the body of POST /v1/stop.
type StopRequest struct {
	Now bool `json:"now,omitempty"`
}

// Stopping is the answer to POST /v1/stop: what the end of the cluster waits for, in seconds.
type Stopping struct {
	DrainDelay   float64 `json:"drain_delay_seconds"`   // until workers drain; all is served meanwhile
	DrainTimeout float64 `json:"drain_timeout_seconds"` // that they may take then; 0: they are killed
}

// RestartRequest is the body of POST /v1/restart. Wait is "" (answer at once), "ready" or "drained". With Slot only the worker of that slot
// is replaced, by one of the same generation, and the lines of the answer are RenewalProgress.
type RestartRequest struct {
	Wait string `json:"wait,omitempty"`
	Slot *int   `json:"slot,omitempty"`
}

// RenewalProgress is one line of the answer for one slot: how the replacement stands. With Wait there is a line for each change, and the
// last one has Final set.
type RenewalProgress struct {
	plan.Renewal
	Final bool `json:"final"`
}

// RestartProgress is one line of the answer: the state of the restart. With Wait there is a line for each change, and the
// last one has Final set.
type RestartProgress struct {
	plan.Rollout
	Workers int      `json:"workers"`
	Surge   int      `json:"surge,omitempty"` // workers that are replaced at a time, after the first
	Slots   []string `json:"slots,omitempty"` // how each wanted slot stands, one of the constants; a process of all workers is one
	Final   bool     `json:"final"`
}

// How a slot stands in a restart.
const (
	SlotOld      = "old"      // no worker of the wanted generation yet
	SlotStarting = "starting" // one that is not ready yet
	SlotSettling = "settling" // one that is ready, and must stay so for --settle
	SlotReplaced = "replaced" // one that has settled
)

// Reload is what became of reading the configuration anew.
type Reload struct {
	At      time.Time `json:"at"`
	Outcome string    `json:"outcome"` // one of the constants
	configs.Changes
	Generation int      `json:"generation,omitempty"` // of the rolling restart that it needs; 0: none
	Errors     []string `json:"errors,omitempty"`
}

// The outcomes of a reload.
const (
	ReloadUnchanged = "unchanged"
	ReloadDone      = "done"
	ReloadPartly    = "partly" // some settings were kept
	ReloadRefused   = "refused"
	ReloadTakenBack = "taken back" // the new workers were not good: what they were to see is as it was before
)

// StackDump is the stacks of one process; Text is empty and Err says why if they could not be had.
type StackDump struct {
	Slot       int    `json:"slot"` // -1: the master
	PID        int    `json:"pid"`
	Generation int    `json:"generation"`
	InProcess  bool   `json:"in_process,omitempty"` // it has the threads of all workers
	Text       string `json:"text"`
	Err        string `json:"error,omitempty"`
}
