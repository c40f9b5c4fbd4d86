// Package load puts load on an HTTP server and measures how it answers.
//
// Invariant: nothing that was to be sent is left out of the result. In an open loop latency counts from the time at which a
// request was to be sent, whether or not a connection was free for it then; a request that has not been answered when the
// load ends is an outcome, too.
package load

import "time"

// Plan is a load. The zero value of a field means what its comment says.
type Plan struct {
	Tool        Tool          `json:"tool,omitempty"`        // empty: Builtin
	Path        string        `json:"path"`                  // with its query
	Connections int           `json:"connections"`           // open at a time
	Warmup      time.Duration `json:"warmup_ns,omitempty"`   // of the same load, not counted
	Duration    time.Duration `json:"duration_ns,omitempty"` // of what is counted
	Requests    int           `json:"requests,omitempty"`    // instead of Duration: the load ends when so many were sent
	Fresh       bool          `json:"fresh,omitempty"`       // a new connection for each request
	Body        int           `json:"body,omitempty"`        // bytes of an upload by POST; 0: GET
	Rate        float64       `json:"rate,omitempty"`        // requests a second: an open loop; 0: closed, a connection asks when it was answered
	Arrivals    Arrivals      `json:"arrivals,omitempty"`    // of an open loop; empty: Poisson
	Service     Service       `json:"service,omitzero"`      // of an open loop: what is asked of the server
	Timeout     time.Duration `json:"timeout_ns,omitempty"`  // of one request; 0: 10 s
	Seed        uint64        `json:"seed,omitempty"`        // of arrivals and service times
}

// Tool is what makes the load.
type Tool string

// The tools. wrk and ab are Debian packages (wrk, apache2-utils); they know only closed loops.
const (
	Builtin Tool = "builtin"
	Wrk     Tool = "wrk"
	AB      Tool = "ab"
)

// Arrivals is how the times between the requests of an open loop are distributed.
type Arrivals string

// Constant intervals, or the exponentially distributed ones of many independent users.
const (
	Poisson  Arrivals = "poisson"
	Constant Arrivals = "constant"
)

// Service is how long the server is asked to wait in each request: the query ms=<decimal milliseconds> is put behind the
// plan's path. The wait of a request is its latency without this time.
type Service struct {
	Kind ServiceKind   `json:"kind,omitempty"` // empty: nothing is asked for
	Mean time.Duration `json:"mean_ns,omitempty"`
	// TwoPoint: Share of the requests take Long, the others what makes the mean right.
	Share float64       `json:"share,omitempty"`
	Long  time.Duration `json:"long_ns,omitempty"`
}

// ServiceKind is a distribution of service times.
type ServiceKind string

// The distributions.
const (
	Fixed       ServiceKind = "fixed"
	Exponential ServiceKind = "exponential"
	TwoPoint    ServiceKind = "twopoint"
)
