package rates

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// sums are what a place has counted until some moment, in nanoseconds and numbers. The difference of two is what happened between.
type sums struct {
	handling  int64 // handlers that ran, until now: the integral of how many did
	waiting   int64 // requests that waited for a thread, until now: nearly the integral
	cpu       int64 // of the process
	gc        int64 // of the collector, as the Go runtime estimates it, gcIdle included
	gcIdle    int64 // on CPUs of the process that had nothing else to do
	scheduler int64 // goroutines that were runnable
	runQueue  int64 // threads of the operating system that were runnable
	open      int64 // connections, as their number was when it was looked at
	requests  int64
	errors    int64
	duration  scoreboard.Counts
	wait      scoreboard.Counts
}

func (s *sums) add(o *sums) { s.combine(o, 1) }

// since is what happened from o until s; nil: since the start.
func (s *sums) since(o *sums) *sums {
	d := *s
	if o != nil {
		d.combine(o, -1)
	}
	return &d
}

func (s *sums) combine(o *sums, sign int64) {
	s.handling += sign * o.handling
	s.waiting += sign * o.waiting
	s.cpu += sign * o.cpu
	s.gc += sign * o.gc
	s.gcIdle += sign * o.gcIdle
	s.scheduler += sign * o.scheduler
	s.runQueue += sign * o.runQueue
	s.open += sign * o.open
	s.requests += sign * o.requests
	s.errors += sign * o.errors
	for i := range s.duration.Buckets {
		s.duration.Buckets[i] += sign * o.duration.Buckets[i]
		s.wait.Buckets[i] += sign * o.wait.Buckets[i]
	}
}

// Seconds is the time of requests by part, none negative, in the order of Names.
type Seconds [len(Names)]float64

// Add adds what another place has.
func (s *Seconds) Add(o Seconds) {
	for i := range s {
		s[i] += o[i]
	}
}

// watchers is how often a wait of a goroutine that watches a connection is in the scheduler's figure. It is new for each request, and the
// first wait of a new goroutine is measured with 1/8 + 7/8 × 1/8, for who had its place before may have left it the mark (newproc1 and
// gdestroy in proc.go, Go 1.26): 15/64, times 8.
const watchers = 15. / 8

// divide says where the time of requests went; docs/time-split.md has the method and its errors. No part is negative.
func divide(d *sums) Seconds {
	seconds := func(ns int64) float64 { return float64(max(ns, 0)) / float64(time.Second) }
	queue, handling, used := seconds(d.waiting), seconds(d.handling), seconds(d.cpu)
	collected := seconds(d.gc)
	gc := max(0, collected-seconds(d.gcIdle))
	if collected > used { // the runtime measures by the clock on the wall: the collector cannot have had more CPU than the process
		gc *= used / collected
		collected = used
	}
	cpu := used - collected

	// What is known best is taken first, each as far as handlers have time left: the process does other things than run them.
	left := handling
	take := func(x float64) float64 {
		x = min(x, left)
		left -= x
		return x
	}
	if busy := cpu + gc; busy > left {
		cpu, gc = cpu*left/busy, gc*left/busy
	}
	cpu, gc = take(cpu), take(gc)
	runQueue := take(seconds(d.runQueue))
	scheduler := take(seconds(d.scheduler))

	// Goroutines that were runnable outside handlers. While the process has its CPU, or waits for it, one that watches a connection may be
	// among them, for which nobody waits. The others are about to read a request that has arrived: at most one a connection.
	unread := seconds(d.scheduler) - scheduler - watchers*(used+seconds(d.runQueue))
	unread = max(0, min(unread, seconds(d.open)-handling-queue))
	return Seconds{queue, cpu, scheduler + unread, runQueue, gc, left}
}

// split makes shares of the time in a window, in seconds.
func split(s Seconds, window float64) Split {
	all := 0.0
	for _, x := range s {
		all += x
	}
	if all == 0 || window == 0 {
		return Split{Parts: []Part{}}
	}
	parts := make([]Part, len(s))
	for i, x := range s {
		parts[i] = Part{Name: Names[i], Share: x / all}
	}
	slices.SortStableFunc(parts, func(a, b Part) int { return cmp.Compare(b.Share, a.Share) })
	return Split{InFlight: all / window, Parts: parts, Hint: hints[parts[0].Name]}
}

// quantiles reads them from buckets: the geometric middle of the one that a quantile falls into. What is longer than the last bound
// counts as that.
func quantiles(c *scoreboard.Counts) Quantiles {
	var total int64
	for _, n := range c.Buckets {
		total += max(n, 0)
	}
	if total == 0 {
		return Quantiles{}
	}
	at := func(q float64) float64 {
		rank := int64(math.Ceil(q * float64(total)))
		for i := range scoreboard.Bounds {
			if rank -= max(c.Buckets[i], 0); rank <= 0 {
				return scoreboard.BoundSeconds(i) * math.Exp2(-1.0/8)
			}
		}
		return scoreboard.BoundSeconds(scoreboard.Bounds - 1)
	}
	return Quantiles{P50: at(0.5), P90: at(0.9), P99: at(0.99), P999: at(0.999)}
}

// shortRequest is the mean time of a request below which there is no hint: such requests are mostly the server's own work, reading and parsing
// included, and what little they wait is no trouble.
const shortRequest = time.Millisecond

// over are the rates of what happened in a window, of which the split is known.
func (d *sums) over(window time.Duration, s Seconds) Rates {
	if window <= 0 {
		return Rates{Time: split(Seconds{}, 0)}
	}
	w := window.Seconds()
	each := func(n int64) float64 { return max(0, float64(n)/w) }
	where := split(s, w)
	if where.InFlight < shortRequest.Seconds()*each(d.requests) {
		where.Hint = ""
	}
	return Rates{
		Window: w, Requests: each(d.requests), Errors: each(d.errors), CPUs: each(d.cpu) / float64(time.Second),
		Duration: quantiles(&d.duration), Wait: quantiles(&d.wait), Time: where,
	}
}
