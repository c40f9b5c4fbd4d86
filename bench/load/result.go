package load

import "time"

// Result is what became of a load, without its warm-up.
//
// The outcomes that did not happen are left out. Of requests there are
//
//	ok         a whole answer with a status below 400
//	4xx, 5xx   a whole answer with such a status
//	4xx_5xx    the same from a tool that does not tell them apart
//	refused    no connection came about; nearly always refused, else First says what
//	reset      reset after the request was begun, before any byte of an answer
//	empty      closed after the request was begun, before any byte of an answer
//	truncated  closed or reset within an answer
//	timeout    Plan.Timeout passed before the answer was whole, or before a connection was free
//	garbled    not HTTP, or more bytes than the answer has
//
// and of connections
//
//	closed_idle  a kept one was closed without notice, and that was known before the next request: no loss
//	garbled      bytes that nobody asked for
type Result struct {
	Elapsed    time.Duration    `json:"elapsed_ns"`
	Answered   int64            `json:"answered"`             // whole answers with any status
	Outcomes   map[string]int64 `json:"outcomes"`             // how often; see below
	Total      map[string]int64 `json:"total,omitempty"`      // of all requests, those of the warm-up too: what a server has counted when all is over; abandoned: without an answer then. wrk and ab do not tell
	Bytes      int64            `json:"bytes"`                // of the answers
	Opened     int64            `json:"connections_opened"`   // in all, warm-up included
	Latency    Distribution     `json:"latency"`              // of answered requests
	Wait       *Distribution    `json:"wait,omitempty"`       // latency without the service time asked for
	Late       *Late            `json:"late,omitempty"`       // of an open loop
	CPU        time.Duration    `json:"generator_cpu_ns"`     // of the generator while it counted
	Bottleneck bool             `json:"bottleneck,omitempty"` // the generator had no CPU time left: the server could perhaps do more
	Note       string           `json:"note,omitempty"`       // what a tool cannot say
	First      string           `json:"first_failure,omitempty"`
}

// Distribution is of times; a tool that does not know a percentile leaves it 0. Times are in nanoseconds.
type Distribution struct {
	Count int64         `json:"count"`
	Mean  time.Duration `json:"mean_ns"`
	P50   time.Duration `json:"p50_ns"`
	P90   time.Duration `json:"p90_ns"`
	P99   time.Duration `json:"p99_ns"`
	P999  time.Duration `json:"p999_ns"`
	Max   time.Duration `json:"max_ns"`
	SD    time.Duration `json:"sd_ns"`         // standard deviation
	HDR   string        `json:"hdr,omitempty"` // all of it: HdrHistogram's V2 compressed encoding, in µs
}

// Late is about requests of an open loop that could not be sent when they were to be.
type Late struct {
	Sent int64         `json:"sent"` // all, with those that were given up because no connection was free within Plan.Timeout
	Late int64         `json:"late"` // more than a millisecond after their time, for whatever reason
	Max  time.Duration `json:"max_ns"`
	// Slow are late although a connection was free: the generator's own fault.
	Slow int64 `json:"slow"`
}
