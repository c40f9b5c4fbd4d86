// Package configs is the schema of the configuration: its settings, their defaults, and what is wrong with a value.
//
// Invariant: a Config that has passed Check can be started; no other place judges a setting.
package configs

import (
	"time"
)

// Config holds the settings of one cluster. Durations of zero mean "at once" or "none" as each says.
type Config struct {
	Name    string // names the control socket
	Control string // path of the control socket; empty: derived from Name

	Workers    int
	Threads    int // a worker
	MaxWorkers int // room in the scoreboard
	MaxThreads int // 0: max(Threads, 32)
	Binds      []Bind
	Metrics    string // host:port, or "off"

	Program []string // argv of the workers; empty: the reference application

	QueueDepth   int           // requests that may wait for a thread, a worker
	QueueTimeout time.Duration // how long one waits before it is answered 503
	HeadTimeout  time.Duration // for a complete request head
	IdleTimeout  time.Duration // for the next request of a connection
	WriteTimeout time.Duration // for progress of a blocked write

	BootTimeout      time.Duration // from spawn to ready
	HeartbeatTimeout time.Duration // silence after which a worker is killed
	DrainTimeout     time.Duration // from drain to exit
	DrainIdle        time.Duration // after which a draining worker closes a silent connection
	OrphanGrace      time.Duration // workers go on for so long when the master has died
	Settle           time.Duration // a new worker must stay ready for so long before the old one is drained
	Probation        time.Duration // a death so soon after ready takes the restart back
	Surge            int           // workers replaced at a time, after the first

	LogFormat string // text or json
	LogFile   string // empty: standard error
	Quiet     bool   // warnings and errors only
}

// DefaultName is the name of a cluster that was given none.
const DefaultName = "cluster"

const defaultMaxWorkers = 64

// Default is the configuration of a bare `cluster start`.
func Default() Config {
	return Config{
		Name:         DefaultName,
		Workers:      min(AvailableCPUs(), defaultMaxWorkers),
		Threads:      3,
		MaxWorkers:   defaultMaxWorkers,
		Binds:        []Bind{{Scheme: "tcp", Address: "127.0.0.1:9292"}},
		Metrics:      "127.0.0.1:9394",
		QueueDepth:   1024,
		QueueTimeout: 30 * time.Second,
		HeadTimeout:  15 * time.Second,
		IdleTimeout:  65 * time.Second,
		WriteTimeout: 60 * time.Second,

		BootTimeout:      60 * time.Second,
		HeartbeatTimeout: 30 * time.Second,
		DrainTimeout:     30 * time.Second,
		DrainIdle:        10 * time.Second,
		OrphanGrace:      5 * time.Second,
		Settle:           time.Second,
		Probation:        5 * time.Second,
		Surge:            1,
		LogFormat:        "text",
	}
}

// Cells is how many threads a seat of the scoreboard has room for.
func (c *Config) Cells() int {
	if c.MaxThreads > 0 {
		return c.MaxThreads
	}
	return max(c.Threads, 32)
}
