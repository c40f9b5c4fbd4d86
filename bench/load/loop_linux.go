package load

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// loop is the builtin generator: one OS thread with an epoll of its own, and a state machine for each connection. A request
// of a closed loop is due whenever a connection is free, one of an open loop when the schedule says so and a connection is
// free. The schedule is generated as it is used, so requests that wait for a connection take no memory. Of the free
// connections the one that was used longest ago is taken, which spreads an open loop over all of them.
type loop struct {
	plan  Plan
	text  text
	peer  peer
	poll  *poll
	conns []conn
	free  queue
	input []byte // what was read last
	tally *tally

	schedule *schedule // nil: a closed loop
	head     request   // of the schedule: the next to be sent

	start  time.Time
	clock  time.Duration // since start, as last read; all times are since start
	phase  phase
	began  time.Duration // counting
	ended  time.Duration
	cpu    time.Duration // of the thread while it counted
	marks  marks
	issued int // requests that count
	open   int // those of them that have no outcome yet
	opened int64
	sweep  time.Duration // when every connection is looked at next
	halted bool          // by the context
}

type phase uint8

const (
	warming phase = iota
	counting
	finishing // nothing more is sent, but what an open loop was to have sent
)

const (
	sweepEvery   = 10 * time.Millisecond // how much later than its time a timeout may be noticed
	restRefused  = 10 * time.Millisecond // of a closed loop's connection, so that the server is not kept from its CPU
	retryBacklog = time.Millisecond      // after a unix socket's backlog was full
	maxEvents    = 512
	inputSize    = 64 << 10

	slowSome = 0.01 // a generator that sent more of its requests late, although it could have sent them, is a bottleneck
)

func runBuiltin(ctx context.Context, addr string, p Plan, m marks) (Result, error) {
	peer, host, err := resolve(addr)
	if err != nil {
		return Result{}, err
	}
	if err := roomFor(p.Connections); err != nil {
		return Result{}, err
	}
	l := &loop{
		plan: p, text: newText(p, host), peer: peer, marks: m, tally: newTally(p),
		conns: make([]conn, p.Connections), free: newQueue(p.Connections), input: make([]byte, inputSize),
	}
	for i := range l.conns {
		l.conns[i].fd, l.conns[i].number = -1, int32(i)
		l.free.push(int32(i))
	}
	if p.Rate > 0 {
		l.schedule = newSchedule(p)
		l.advance()
	}
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine, and its timer slack with it
		failed <- l.run(ctx)
	}()
	if err := <-failed; err != nil {
		return Result{}, err
	}
	if l.halted {
		return l.result(), fmt.Errorf("the load on %s was stopped before its end: %w", addr, context.Cause(ctx))
	}
	return l.result(), nil
}

// roomFor is an error if the process may not open so many connections.
func roomFor(connections int) error {
	const others = 64 // descriptors that are used for other things
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("cannot read the limit of open files: %w", err)
	}
	if uint64(connections)+others > limit.Cur {
		return fmt.Errorf("impossible load: %d connections, but this process may open only %d files: raise it with ulimit -n", connections, limit.Cur)
	}
	return nil
}

func (l *loop) run(ctx context.Context) (err error) {
	if l.poll, err = newPoll(maxEvents, false); err != nil {
		return err
	}
	defer l.poll.close()
	defer l.closeAll()
	rung := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		l.poll.ring()
		close(rung)
	})
	defer func() {
		if !stop() {
			<-rung
		}
	}()
	l.start = time.Now()
	for l.attend(); !l.over(); l.attend() {
		events, err := l.poll.wait(l.next() - l.clock)
		if err != nil {
			return err
		}
		l.tick()
		for i := range events {
			e := &events[i]
			switch {
			case e.Fd >= 0:
				l.ready(&l.conns[e.Fd], e)
			case e.Fd == bellEvent:
				l.halted = true
			}
			if l.clock >= l.next() {
				l.attend()
			}
			l.dispatch()
		}
	}
	if l.phase == counting || l.phase == finishing && l.ended == 0 {
		l.finish()
	}
	return nil
}

func (l *loop) tick() { l.clock = time.Since(l.start) }

// next is when something is to be done even if no socket is ready.
func (l *loop) next() time.Duration {
	next := l.sweep
	switch {
	case l.phase == warming:
		next = min(next, l.plan.Warmup)
	case l.phase == counting && l.plan.Duration > 0:
		next = min(next, l.began+l.plan.Duration)
	}
	switch {
	case l.free.n == 0:
	case l.schedule == nil && l.phase != finishing: // a request that failed at once
		return l.clock
	case l.schedule != nil && !l.exhausted():
		next = min(next, l.head.at)
	}
	return next
}

// attend does what the time has come for.
func (l *loop) attend() {
	l.tick()
	if l.phase == warming && l.clock >= l.plan.Warmup {
		l.phase, l.began, l.cpu = counting, l.clock, threadCPU()
		l.marks.begin()
	}
	if l.phase == counting && l.plan.Duration > 0 && l.clock >= l.began+l.plan.Duration {
		l.phase = finishing
		l.finish()
	}
	if l.clock >= l.sweep {
		l.sweepAll()
	}
	l.dispatch()
}

// finish ends the counted part.
func (l *loop) finish() {
	l.ended, l.cpu = l.clock, threadCPU()-l.cpu
	l.marks.end()
}

// over is true when nothing more is awaited.
func (l *loop) over() bool {
	return l.halted || l.phase == finishing && l.open == 0 && (l.schedule == nil || l.exhausted())
}

// dispatch sends what is due on connections that are free. Those that become free meanwhile, because they failed at once,
// have to wait for the next time: a server that refuses everything must not keep the loop from its other work.
func (l *loop) dispatch() {
	for range l.free.n {
		r, due := l.due()
		if !due {
			return
		}
		c := &l.conns[l.free.pop()]
		if l.schedule != nil && r.counted {
			// A connection that was free at the request's time, or else the request had to wait for one.
			l.tally.send(l.clock-r.at, c.since <= r.at)
		}
		l.send(c, r)
		if l.free.n > 0 {
			l.tick() // each may have taken a while
		}
	}
}

// due takes the request that is to be sent now.
func (l *loop) due() (r request, due bool) {
	switch {
	case l.schedule != nil:
		if l.exhausted() || l.head.at > l.clock || l.head.counted && l.phase == warming {
			return request{}, false
		}
		r = l.head
		l.advance()
	case l.phase == finishing:
		return request{}, false
	default:
		r = request{at: l.clock, counted: l.phase == counting}
	}
	if r.counted {
		l.issue()
	}
	return r, true
}

// issue notes that a request that counts is about to be sent, or given up.
func (l *loop) issue() {
	l.issued++
	l.open++
	if l.issued == l.plan.Requests {
		l.phase = finishing
	}
}

// advance makes the next request of the schedule.
func (l *loop) advance() {
	l.head.at, l.head.service = l.schedule.next()
	l.head.counted = l.head.at >= l.plan.Warmup
}

// exhausted is true when the schedule has no more requests that are to be sent.
func (l *loop) exhausted() bool {
	if l.plan.Requests > 0 {
		return l.issued >= l.plan.Requests
	}
	return l.head.at >= l.plan.Warmup+l.plan.Duration
}

// sweepAll ends the requests whose time is over, those too that no connection was free for, and goes on with the
// connections that rested.
func (l *loop) sweepAll() {
	l.sweep = l.clock + sweepEvery
	for i := range l.conns {
		c := &l.conns[i]
		switch c.state {
		case asking, backlogged:
			if l.clock-c.at >= l.plan.Timeout {
				l.fail(c, timeout, fmt.Sprintf("no whole answer after %s", l.plan.Timeout))
			} else if c.state == backlogged {
				l.connect(c)
			}
		case resting:
			l.rest(c, c.since)
		}
	}
	for l.schedule != nil && !l.exhausted() && l.clock-l.head.at >= l.plan.Timeout {
		given := l.head
		l.advance()
		if given.counted {
			l.issue()
			l.tally.send(l.clock-given.at, false)
			l.settle(given, timeout, fmt.Sprintf("no connection was free for it within %s", l.plan.Timeout))
		}
	}
}

// rest lets a connection pause until then.
func (l *loop) rest(c *conn, until time.Duration) {
	if until <= l.clock {
		l.release(c)
		return
	}
	c.state, c.since = resting, until
	l.sweep = min(l.sweep, until)
}

// settle notes the outcome of a request that was not answered.
func (l *loop) settle(r request, o outcome, why string) {
	l.tally.total[o]++
	if r.counted {
		l.open--
		l.tally.outcomes[o]++
		l.tally.fail(l.clock-l.began, o, why)
	}
}

func (l *loop) result() Result {
	r := l.tally.result()
	r.Opened = l.opened
	if r.Elapsed = l.ended - l.began; r.Elapsed > 0 {
		r.CPU = l.cpu
		r.Bottleneck = float64(r.CPU) > busy*float64(r.Elapsed)
	}
	if l.schedule != nil {
		late := l.tally.late
		r.Late = &late
		r.Bottleneck = r.Bottleneck || float64(late.Slow) > slowSome*math.Max(1, float64(late.Sent))
	}
	return r
}

// threadCPU is what the calling thread has used.
func threadCPU() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // fails only for a clock that does not exist
	return time.Duration(t.Nano())
}

// queue is a ring of the numbers of free connections.
type queue struct {
	ring    []int32
	from, n int
}

func newQueue(size int) queue { return queue{ring: make([]int32, size)} }

func (q *queue) push(number int32) {
	to := q.from + q.n
	if to >= len(q.ring) {
		to -= len(q.ring)
	}
	q.ring[to] = number
	q.n++
}

func (q *queue) pop() int32 {
	number := q.ring[q.from]
	if q.from++; q.from == len(q.ring) {
		q.from = 0
	}
	q.n--
	return number
}
