package ipc

import (
	"fmt"
	"time"
)

// Type says what a message of the control channel is. Unknown fields of a message are ignored, an unknown type is
// answered by Error; so a master and a worker of different ages understand each other within the Protocol range.
type Type string

// From a worker to the master.
const (
	Hello    Type = "hello"    // first message; ProtocolMin..ProtocolMax
	Ready    Type = "ready"    // the worker accepts connections
	Draining Type = "draining" // the worker accepts no more: the answer to Drain, or its own wish after a SIGTERM
	Bye      Type = "bye"      // the last message; Left connections were still open
	Metrics  Type = "metrics"  // the memfd that comes with the message holds the application's metrics; without one: Failure says why there is none
)

// MaxMetrics is how many bytes the metrics of an application may have: metrics/merge.Copy.
const MaxMetrics = 8 << 20

// Why a worker has no new copy of its application's metrics: Failure of a message Metrics.
const (
	MetricsFailed   = "error"     // a collector failed or panicked
	MetricsHang     = "hang"      // a collector does not return
	MetricsTooLarge = "too_large" // more than MaxMetrics
)

// From the master to a worker.
const (
	Drain      Type = "drain"       // finish what runs, then exit; Final: first accept what is queued
	Adopt      Type = "adopt"       // serve the listener that comes with the message: bind Bind of slot Slot
	Release    Type = "release"     // stop serving the adopted listeners of slot Slot
	ReopenLogs Type = "reopen-logs" // the operator moved the log files away; with the new access log, if there is one
	Configure  Type = "configure"   // Limits are in force from now on
	Peer       Type = "peer"        // what comes with the message sends to the inbox of seat Seat, also of one that had another
	NewKeys    Type = "keys"        // the memfd that comes with the message holds the keys in force from now on
)

// In both directions.
const (
	Stacks  Type = "stacks"  // asked with an ID; answered with the same ID and a memfd that holds the goroutine stacks
	Profile Type = "profile" // asked with an ID, the kind as Text and a Length; answered with the same ID and a memfd that holds it, or Text
	Error   Type = "error"   // Text says what was not understood or what went wrong
)

// Message is one packet of the control channel. Which fields mean something depends on the Type.
type Message struct {
	Type        Type   `json:"type"`
	ProtocolMin int    `json:"protocol_min,omitempty"`
	ProtocolMax int    `json:"protocol_max,omitempty"`
	Final       bool   `json:"final,omitempty"`
	Slot        int    `json:"slot,omitempty"`
	Bind        int    `json:"bind,omitempty"`
	Seat        int    `json:"seat,omitempty"`
	Left        int    `json:"left,omitempty"`
	ID          uint64 `json:"id,omitempty"`
	Text        string `json:"text,omitempty"`
	Failure     string `json:"failure,omitempty"`

	Length time.Duration `json:"length,omitempty"`

	Limits *Limits `json:"limits,omitempty"`
}

// Protocol is a range of versions of the control channel, inclusive.
type Protocol struct{ Min, Max int }

// Spoken is what this build understands.
var Spoken = Protocol{Min: 1, Max: 1}

// Common is the newest version that both ranges hold; ok is false if there is none.
func (p Protocol) Common(q Protocol) (version int, ok bool) {
	version = min(p.Max, q.Max)
	return version, version >= max(p.Min, q.Min) && version > 0
}

func (p Protocol) String() string { return fmt.Sprintf("%d..%d", p.Min, p.Max) }
