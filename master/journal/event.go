// Package journal keeps the last events of the cluster for those who ask, and hands new ones to those who follow.
package journal

import "time"

// Event is one thing that happened: a line of the master's log that has a name.
type Event struct {
	ID      uint64         `json:"id"` // rises by one with each event of this master
	Time    time.Time      `json:"time"`
	Level   string         `json:"level"`            // debug, info, warn or error
	Name    string         `json:"event"`            // stable: worker_ready, worker_died, restart_done …; documented in docs/operating.md
	Message string         `json:"message"`          // for a person
	Fields  map[string]any `json:"fields,omitempty"` // slot, seat, pid, generation, reason, err … as in the log
}
