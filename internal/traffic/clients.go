package traffic

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultTimeout = 20 * time.Second
	maxThink       = time.Second

	// After a refused connection, so that a server that is down is not also kept from its processor.
	pauseAfterRefusal = 10 * time.Millisecond
)

// Clients is a number of clients that ask the same thing again and again, each one request at a time.
type Clients struct {
	Network     string      // tcp if empty, or unix
	Addr        string      // IP address and port, or the path of a socket
	TLS         *tls.Config // nil: plain HTTP
	Path        string      // "/" if empty
	Connections int         // how many clients, each with one connection at a time; 1 if not positive
	KeepAlive   bool        // many requests on a connection; otherwise a new connection for each, closed by the server
	Requests    int64       // how many to make in all; without limit if 0

	// Think is the pause before the next request of client i, from 0; none if nil. At most one second of it is used.
	Think func(i int) time.Duration

	// Timeout is for one request from connecting to the end of its answer. 20 s if 0: generous, because an answer that
	// was late is one thing, and one that never came is another.
	Timeout time.Duration

	// OnAnswer is told each outcome, ClosedIdle too, one at a time; meanwhile no client gets on.
	OnAnswer func(Answer)
}

// run is what the clients of one Run share.
type run struct {
	Clients
	text   []byte       // of each request
	begun  atomic.Int64 // requests
	opened atomic.Int64 // connections
	answer sync.Mutex   // held while OnAnswer runs
}

// Run makes requests until the context is cancelled or their number is reached. A request that is in flight when the
// context is cancelled is finished, and counts. It returns when all clients have closed their connections.
func (c Clients) Run(ctx context.Context) Report {
	r := run{Clients: c}
	if r.Timeout <= 0 {
		r.Timeout = defaultTimeout
	}
	if r.Path == "" {
		r.Path = "/"
	}
	end := "\r\n"
	if !r.KeepAlive {
		end = "Connection: close\r\n\r\n"
	}
	r.text = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n%s", r.Path, r.host(), end)

	reports := make([]Report, max(1, r.Connections))
	var clients sync.WaitGroup
	for i := range reports {
		clients.Go(func() { reports[i] = r.client(ctx, i) })
	}
	clients.Wait()
	total := Report{Opened: r.opened.Load()}
	for _, report := range reports {
		total.Merge(report)
	}
	return total
}

func (c *Clients) host() string {
	if c.Network == "unix" {
		return "localhost"
	}
	return c.Addr
}

// client is the life of client i.
func (r *run) client(ctx context.Context, i int) (report Report) {
	var conn *connection
	for ctx.Err() == nil && r.more() {
		var a Answer
		a, conn = r.ask(conn)
		if a.Outcome == ClosedIdle { // not asked yet
			r.tell(&report, a)
			a, conn = r.ask(nil)
		}
		r.tell(&report, a)
		r.pause(ctx, i, a.Outcome)
	}
	if conn != nil {
		conn.close()
	}
	return report
}

// more takes one of the requests that are to be made.
func (r *run) more() bool {
	n := r.begun.Add(1)
	return r.Requests == 0 || n <= r.Requests
}

// ask makes a request, on a new connection if there is none, and returns the connection if it can be used again.
func (r *run) ask(conn *connection) (Answer, *connection) {
	started := time.Now()
	if conn == nil {
		var err error
		if conn, err = r.connect(started.Add(r.Timeout)); err != nil {
			outcome := Refused
			if isTimeout(err) {
				outcome = Timeout
			}
			return Answer{Outcome: outcome, First: true, Started: started, Ended: time.Now(), Err: err}, nil
		}
		conn.number = int(r.opened.Add(1))
		conn.once = !r.KeepAlive
	}
	a := conn.ask(r.text, started, r.Timeout)
	return a, conn.keep(a)
}

func (r *run) tell(report *Report, a Answer) {
	readPID(&a)
	report.add(a)
	if r.OnAnswer != nil {
		r.answer.Lock()
		defer r.answer.Unlock()
		r.OnAnswer(a)
	}
}

func (r *run) pause(ctx context.Context, i int, outcome Outcome) {
	var pause time.Duration
	if r.Think != nil {
		pause = min(r.Think(i), maxThink)
	}
	if outcome == Refused {
		pause = max(pause, pauseAfterRefusal)
	}
	if pause <= 0 {
		return
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func readPID(a *Answer) {
	if a.Outcome != OK || len(a.Body) == 0 || a.Body[0] != '{' {
		return
	}
	var who struct{ PID, Slot, Generation int }
	if json.Unmarshal(a.Body, &who) == nil {
		a.PID, a.Slot, a.Generation = who.PID, who.Slot, who.Generation
	}
}
