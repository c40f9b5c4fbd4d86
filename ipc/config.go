package ipc

import "time"

// WorkerConfig is the part of the configuration that a worker must know. It is part of the generation, but for the
// Limits, which Configure changes while the worker runs.
type WorkerConfig struct {
	Limits
	Pool        string        `json:"pool,omitempty"`         // lease, queue, lanes or unbounded; empty: lease
	OSThreads   bool          `json:"os_threads,omitempty"`   // of pools queue and lanes: each thread is locked to an OS thread
	BusyPoll    time.Duration `json:"busy_poll,omitempty"`    // of pools queue and lanes: a thread looks for a request for so long before it parks
	Batch       int           `json:"batch,omitempty"`        // of pool queue: requests that a thread takes at once; 0 is 1
	Handoff     bool          `json:"handoff,omitempty"`      // connections are passed on to siblings
	Passed      bool          `json:"passed,omitempty"`       // a front accepts: connections come by the Inbox alone, and nothing is accepted from Binds
	MaxHead     int           `json:"max_head,omitempty"`     // bytes of a request head; 0: what the engine takes
	LogRequests string        `json:"log_requests,omitempty"` // text or json; empty: requests are not logged
	Metrics     bool          `json:"metrics,omitempty"`      // the master takes the application's metrics: it knows the message, and serves them
	Binds       []Bind        `json:"binds,omitempty"`        // in the order of the descriptors; may be shorter: the rest is plain
}

// Bind is what a worker must know of an address that it serves.
type Bind struct {
	Name  string `json:"name"`            // as the operator wrote it
	TLS   bool   `json:"tls,omitempty"`   // certificates come in the descriptor of the keys
	Proxy bool   `json:"proxy,omitempty"` // each connection begins with a PROXY protocol header
}

// Limits are the settings that a running worker takes over at once. Durations of zero mean "none" or "at once", as each
// says; sizes are bytes.
type Limits struct {
	Workers      int           `json:"workers,omitempty"` // whose threads this process has, in process; 0: it is one of them
	Threads      int           `json:"threads"`           // a worker
	QueueDepth   int           `json:"queue_depth"`       // requests that may wait for a thread
	QueueTimeout time.Duration `json:"queue_timeout"`     // how long one may wait
	HeadTimeout  time.Duration `json:"head_timeout"`      // for a complete request head
	BodyTimeout  time.Duration `json:"body_timeout"`      // for progress of a request body
	IdleTimeout  time.Duration `json:"idle_timeout"`      // between two requests of a connection
	WriteTimeout time.Duration `json:"write_timeout"`     // for progress of a blocked write
	DrainTimeout time.Duration `json:"drain_timeout"`     // from drain to exit
	DrainIdle    time.Duration `json:"drain_idle"`        // a silent connection of a draining worker
	OrphanGrace  time.Duration `json:"orphan_grace"`      // goes on accepting after the master died

	Memory         int64         `json:"memory,omitempty"`          // soft limit of the Go heap, as GOMEMLIMIT sets it; 0: none
	RequestTimeout time.Duration `json:"request_timeout,omitempty"` // for a handler, else 504; 0: none
	Leaving        bool          `json:"leaving,omitempty"`         // the cluster stops soon: each answer is the last of its connection

	MaxConnections int   `json:"max_connections,omitempty"` // open at a time; 0: as many as descriptors allow
	MaxRequests    int   `json:"max_requests,omitempty"`    // answered on one connection before it is closed; 0: any number
	MaxBody        int64 `json:"max_body,omitempty"`        // of a request; 0: any size
	BufferBody     int   `json:"buffer_body,omitempty"`     // of a request body, read before a thread is taken
	BufferResponse int   `json:"buffer_response,omitempty"` // of a response, kept for a client that is slow to read it
}

// InProcess says that this process has the threads of all workers. Then it sits in the same parity of seat of every slot, and
// its thread t is counted in the row of worker t ÷ Threads.
func (l *Limits) InProcess() bool { return l.Workers > 0 }

// InAll is how many threads the process has.
func (l *Limits) InAll() int { return l.Threads * max(1, l.Workers) }
