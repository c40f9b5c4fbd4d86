// Package configs is the schema of the configuration: its settings, where their values come from, their defaults, and
// what is wrong with a value.
//
// Invariant: a Config that has passed Check can be started; no other place judges a setting. A setting is one row of the
// table in schema.go; flags, variables, keys of the file, samples and documents are made from it.
package configs

import (
	"log/slog"
	"time"
)

// Config holds the settings of one cluster. Durations of zero mean "at once" or "none" as each says.
type Config struct {
	Name    string // names the control socket
	Control string // path of the control socket; empty: derived from Name

	Mode       string // what a worker is: a process in prefork, threads of the one process in inprocess
	Workers    int    // at the start; with Elastic the fewest
	Elastic    int    // the most workers that the load may bring; 0: their number changes by hand only
	Threads    int    // a worker
	MaxWorkers int    // room in the scoreboard
	MaxThreads int    // 0: max(Threads, 32)
	Binds      []Bind
	Backlog    int           // connections that may wait in a listener; 0: net.core.somaxconn
	Dispatch   string        // how a connection reaches a worker: reuseport, shared, handoff, passed or copied
	Pool       string        // how a request reaches a thread: lease, queue, lanes or unbounded
	Engine     string        // of the reference application: nethttp or fasthttp
	GVL        bool          // GOMAXPROCS is 1 in each worker process
	OSThreads  bool          // each thread of pool queue or lanes is an OS thread
	BusyPoll   time.Duration // a thread of pool queue or lanes looks for a request for so long before it parks
	Batch      int           // requests that a thread of pool queue takes at once
	Metrics    string        // host:port, or "off"

	MetricsTokenFile string // with the token that the metrics address asks for; empty: none is
	Page             bool   // the page and the read-only API are on the metrics address

	Program []string // argv of the workers; empty: the reference application
	Chdir   string   // working directory of the workers, resolved anew for each generation; empty: the master's
	User    string   // that the workers run as, name or number; empty: the master's
	Group   string   // empty: the user's own
	Umask   string   // octal; empty: unchanged
	Pidfile string   // empty: none

	QueueDepth   int           // requests that may wait for a thread, a worker
	QueueTimeout time.Duration // how long one waits before it is answered 503
	HeadTimeout  time.Duration // for a complete request head
	BodyTimeout  time.Duration // for progress of a request body
	IdleTimeout  time.Duration // for the next request of a connection
	WriteTimeout time.Duration // for progress of a blocked write

	RequestTimeout time.Duration // for a handler, else 504; 0: any time
	DrainDelay     time.Duration // from a stop to its drain; all is served meanwhile

	MaxConnections           int   // open at a time, a worker; 0: what the descriptor limit allows
	MaxRequestsPerConnection int   // answered before the connection is closed; 0: any number
	MaxHead                  int64 // bytes of a request head; 0: what is usual for the engine
	MaxBody                  int64 // bytes of a request body, else 413; 0: any size
	BufferBody               int64 // bytes of a request body read before a thread is taken
	BufferResponse           int64 // bytes of a response kept for a client that is slow to read it

	Memory          int64         // bytes of all processes together; 0: any
	RecycleRequests int           // that a worker answers before it is renewed; 0: any number
	RecycleAge      time.Duration // of a worker before it is renewed; 0: any
	RecycleMemory   int64         // bytes of anonymous memory of a worker before it is renewed; 0: any

	BootTimeout      time.Duration // from spawn to ready
	HeartbeatTimeout time.Duration // silence after which a worker is killed
	DrainTimeout     time.Duration // from drain to exit
	DrainIdle        time.Duration // after which a draining worker closes a silent connection
	OrphanGrace      time.Duration // workers go on for so long when the master has died
	Settle           time.Duration // a new worker must stay ready for so long before the old one is drained
	Probation        time.Duration // a death so soon after ready takes the restart back
	Surge            int           // workers replaced at a time, after the first

	OnReady     string        // command for /bin/sh; empty: none
	OnCrash     string        // the same
	OnRestart   string        // the same
	HookTimeout time.Duration // after which such a command is killed

	LogFormat string // text or json
	LogFile   string // empty: standard error
	LogLevel  string // debug, info, warn or error
	Quiet     bool   // no less than warnings, whatever LogLevel says

	LogRequests     bool   // one line a request
	LogRequestsFile string // empty: standard output
}

// DefaultName is the name of a cluster that was given none.
const DefaultName = "cluster"

const defaultMaxWorkers = 64

// Default is the configuration of a bare `cluster start`.
func Default() Config {
	return Config{
		Name:         DefaultName,
		Mode:         "prefork",
		Workers:      min(AvailableCPUs(), defaultMaxWorkers),
		Threads:      3,
		MaxWorkers:   defaultMaxWorkers,
		Binds:        []Bind{{Scheme: "tcp", Address: "127.0.0.1:9292"}},
		Dispatch:     "reuseport",
		Pool:         "lease",
		Batch:        1,
		Engine:       "nethttp",
		Metrics:      "127.0.0.1:9394",
		Page:         true,
		QueueDepth:   1024,
		QueueTimeout: 30 * time.Second,
		HeadTimeout:  15 * time.Second,
		BodyTimeout:  60 * time.Second,
		IdleTimeout:  65 * time.Second,
		WriteTimeout: 60 * time.Second,

		BufferBody:     64 << 10,
		BufferResponse: 64 << 10,

		BootTimeout:      60 * time.Second,
		HeartbeatTimeout: 30 * time.Second,
		DrainTimeout:     30 * time.Second,
		DrainIdle:        10 * time.Second,
		OrphanGrace:      5 * time.Second,
		Settle:           time.Second,
		Probation:        5 * time.Second,
		Surge:            1,
		HookTimeout:      10 * time.Second,
		LogFormat:        "text",
		LogLevel:         "info",
	}
}

// InProcess says that one process has the threads of all workers.
func (c *Config) InProcess() bool { return c.Mode == "inprocess" }

// Processes is how many worker processes there are to be.
func (c *Config) Processes() int {
	if c.InProcess() {
		return 1
	}
	return c.Workers
}

// MostProcesses is how many worker processes there may come to be by themselves.
func (c *Config) MostProcesses() int { return max(c.Processes(), c.Elastic) }

// What Memory is divided by.
const (
	masterMemory = 32 << 20 // bytes set aside for the master
	workerMemory = 16 << 20 // bytes that a worker process has at least, else it would only collect garbage
)

// FitInMemory is how many worker processes Memory is enough for.
func (c *Config) FitInMemory() int {
	if c.Memory == 0 {
		return MaxSlots
	}
	return int(max(0, c.Memory-masterMemory) / workerMemory)
}

// WorkerMemory is the soft limit, in bytes, of the heap of each of so many worker processes: 90% of its part of what Memory leaves after
// the master. The rest is for what is no heap. 0: there is none.
func (c *Config) WorkerMemory(processes int) int64 {
	if c.Memory == 0 {
		return 0
	}
	return max(c.Memory-masterMemory, workerMemory) / int64(processes) * 9 / 10
}

// Handoff says that open connections are passed between workers.
func (c *Config) Handoff() bool { return c.Dispatch == "handoff" && !c.InProcess() }

// Passed says that a front accepts all connections and passes each to a worker.
func (c *Config) Passed() bool { return c.Dispatch == "passed" }

// Copied says that a front serves all connections and copies each request to a worker.
func (c *Config) Copied() bool { return c.Dispatch == "copied" }

// Fronted says that a front stands before the workers.
func (c *Config) Fronted() bool { return c.Passed() || c.Copied() }

// Inboxes says that connections reach workers through an inbox of each seat.
func (c *Config) Inboxes() bool { return c.Handoff() || c.Passed() }

// OneListener says that a bind has one listener, and not one a slot.
func (c *Config) OneListener() bool {
	return c.InProcess() || c.Dispatch == "shared" || c.Fronted()
}

// Cells is how many threads a seat of the scoreboard has room for.
func (c *Config) Cells() int {
	if c.MaxThreads > 0 {
		return c.MaxThreads
	}
	return max(c.Threads, 32)
}

// Level is the least that is logged.
func (c *Config) Level() slog.Level {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // has been checked, and the zero level is the default
	if c.Quiet {
		level = max(level, slog.LevelWarn)
	}
	return level
}
