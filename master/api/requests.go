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

// StopRequest is the body of POST /v1/stop.
type StopRequest struct {
	Now bool `json:"now,omitempty"`
}

// RestartRequest is the body of POST /v1/restart. Wait is "" (answer at once), "ready" or "drained". With a Slot only its
// worker is replaced.
type RestartRequest struct {
	Wait string `json:"wait,omitempty"`
	Slot *int   `json:"slot,omitempty"`
}

// RestartProgress is one line of the answer: the state of the restart. With Wait there is a line for each change, and the
// last one has Final set.
type RestartProgress struct {
	plan.Rollout
	Workers int  `json:"workers"`
	Final   bool `json:"final"`
}

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
