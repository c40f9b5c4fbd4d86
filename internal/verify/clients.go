package verify

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultTimeout = 30 * time.Second

	// All clients that wait for the next burst write at the same moment, so that many connections become readable at once.
	burstEvery = 50 * time.Millisecond

	pauseAfterRefusal = 10 * time.Millisecond // so that a server that is down is not also kept from its processor
)

// Clients is a number of clients that do, by the dice, all that clients of HTTP may do.
type Clients struct {
	Addr        string // IP address and port
	Seed        uint64
	Connections int   // clients, each with one connection that it keeps, and at times another; 1 if not positive
	Requests    int64 // begun in all, at least
	HTTP2       bool  // the server speaks HTTP/2 with prior knowledge

	// Timeout is for one request from connecting to the end of its answer: 30 s if 0. An answer that was late is one thing,
	// and one that never came is another.
	Timeout time.Duration

	// Progress, if not nil, is the requests that have ended so far, while Run runs.
	Progress *atomic.Int64
}

// run is what the clients of one Run share.
type run struct {
	Clients
	ended  *atomic.Int64 // requests
	splits []*places     // of kinds, by their numbers
	mu     sync.Mutex
	burst  chan struct{} // closed when the next one begins
}

// client is one of them.
type client struct {
	*run
	number int
	dice   *rand.Rand
	report Report
	conns  int   // opened
	kept   *conn // nil: to be opened
}

// Run returns when so many requests have been begun and all have ended, or ctx is done.
func (c Clients) Run(ctx context.Context) Report {
	r := &run{Clients: c, ended: c.Progress, burst: make(chan struct{})}
	if r.ended == nil {
		r.ended = new(atomic.Int64)
	}
	if r.Timeout <= 0 {
		r.Timeout = defaultTimeout
	}
	for range kinds {
		r.splits = append(r.splits, &places{})
	}
	clients := make([]*client, max(1, r.Connections))
	var running sync.WaitGroup
	for i := range clients {
		clients[i] = &client{run: r, number: i, dice: rand.New(rand.NewPCG(c.Seed, uint64(i)))}
		running.Go(func() { clients[i].live(ctx) })
	}
	over := make(chan struct{})
	go func() {
		running.Wait()
		close(over)
	}()
	r.beat(over)
	total := Report{Splits: map[string]Splits{}}
	for _, client := range clients {
		total.Merge(&client.report)
	}
	for i, kind := range kinds {
		total.Splits[kind.name] = r.splits[i].tell()
	}
	return total
}

// beat begins bursts until the clients are done.
func (r *run) beat(over <-chan struct{}) {
	tick := time.NewTicker(burstEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-over:
			return
		}
		r.mu.Lock()
		close(r.burst)
		r.burst = make(chan struct{})
		r.mu.Unlock()
	}
}

func (r *run) nextBurst() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.burst
}

// live is the life of a client.
func (c *client) live(ctx context.Context) {
	for ctx.Err() == nil && c.ended.Load() < c.Requests {
		before := c.report.Requests
		c.draw().do(c)
		c.ended.Add(c.report.Requests - before)
	}
	if c.kept != nil {
		c.kept.leave(c)
	}
}

// deed is something that a client may do next.
type deed struct {
	weight int
	http2  bool // it needs HTTP/2
	do     func(*client)
}

// deeds is what clients do, and of a thousand times how often. Most of it happens on the connection that the client keeps.
var deeds []deed

func init() { // they refer back to it
	deeds = []deed{
		{690, false, (*client).askPlainly},
		{110, false, (*client).askInBurst},
		{60, false, (*client).askSplit},
		{30, false, (*client).askForLarge},
		{30, false, (*client).askExpecting},
		{20, false, (*client).askOnce},
		{10, false, (*client).askByHTTP10},
		{30, false, (*client).leaveRudely},
		{10, false, (*client).upgrade},
		{5, false, (*client).fallSilent},
		{5, true, (*client).askByHTTP2},
	}
}

func (c *client) draw() deed {
	for {
		n := c.dice.IntN(1000)
		for _, d := range deeds {
			if n < d.weight {
				if d.http2 && !c.HTTP2 {
					break
				}
				return d
			}
			n -= d.weight
		}
	}
}

// between draws a duration.
func (c *client) between(least, most time.Duration) time.Duration {
	return least + time.Duration(c.dice.Int64N(int64(most-least)))
}

// often is true so many times of a hundred.
func (c *client) often(percent int) bool { return c.dice.IntN(100) < percent }
