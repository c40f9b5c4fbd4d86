package load

import "time"

// Result is what became of a load, without its warm-up.
type Result struct {
	Elapsed    time.Duration    `json:"elapsed_ns"`
	Answered   int64            `json:"answered"`             // whole answers with any status
	Outcomes   map[string]int64 `json:"outcomes"`             // requests by outcome: ok, 4xx, 5xx, refused, reset, empty, truncated, timeout, garbled, closed_idle
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
	Sent int64         `json:"sent"` // all
	Late int64         `json:"late"` // more than a millisecond after their time, for whatever reason
	Max  time.Duration `json:"max_ns"`
	// Slow are late although a connection was free: the generator's own fault.
	Slow int64 `json:"slow"`
}
