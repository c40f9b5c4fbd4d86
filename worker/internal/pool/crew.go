package pool

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// crew is the goroutines of the threads, one each.
type crew struct {
	kind  Kind
	clock scoreboard.Clock
	next  func(thread int) *job // called with the mutex held when a job has ended, for the next one; nil, as its result: there is none

	mu      sync.Mutex
	runners []*runner // by thread, made when first needed
}

// runner is the goroutine of a thread.
type runner struct {
	jobs    chan *job   // capacity 1: who has made the runner busy puts its job there without waiting
	busy    bool        // guarded by the crew's mutex
	looking atomic.Bool // it polls
	own     Goroutine
}

// job is a handler to run. Its outcome has a channel of its own: the next job of the thread may begin and end before the
// goroutine that waits for this one has looked.
type job struct {
	run  func(thread int)
	done chan outcome // capacity 1
}

// outcome says how a job ended.
type outcome struct {
	returned bool
	panicked any // nil with returned false: the job called runtime.Goexit
}

func newJob(f func(thread int)) *job { return &job{run: f, done: make(chan outcome, 1)} }

// wait returns when the job has ended, in the way in which it has.
func (j *job) wait() {
	j.end(<-j.done)
}

// end ends the caller as the job has ended.
func (j *job) end(o outcome) {
	switch {
	case o.returned:
	case o.panicked != nil:
		panic(o.panicked)
	default:
		runtime.Goexit()
	}
}

func newCrew(k Kind, clock scoreboard.Clock, threads int) crew {
	return crew{kind: k, clock: clock, runners: make([]*runner, threads)}
}

// begin gives a job to the thread's goroutine. One that still runs a handler whose thread was given back is replaced; it
// ends with its job. It is called with the mutex held.
func (c *crew) begin(thread int, j *job) {
	r := c.runners[thread]
	if r == nil || r.busy {
		if r != nil {
			close(r.jobs)
		}
		r = &runner{jobs: make(chan *job, 1)}
		c.runners[thread] = r
		go c.work(thread, r)
	}
	r.busy = true
	r.jobs <- j
}

// busy says whether the thread's goroutine runs a handler, or is about to, though its thread may have been given back. It is
// called with the mutex held, as the next one is.
func (c *crew) busy(thread int) bool { return c.runners[thread] != nil && c.runners[thread].busy }

// Goroutine is that of a thread. It is not replaced while a handler has the thread.
func (c *crew) Goroutine(thread int) *Goroutine {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &c.runners[thread].own
}

func (c *crew) looking(thread int) bool {
	return c.runners[thread] != nil && c.runners[thread].looking.Load()
}

func (c *crew) work(thread int, r *runner) {
	if c.kind.OSThreads {
		runtime.LockOSThread() // for its life: the OS thread ends with it
	}
	for j := c.await(r); j != nil; {
		if j = c.do(thread, r, j); j == nil {
			j = c.await(r)
		}
	}
}

// await waits for a job: looking for it first, if the kind says so, and then parked. It is nil when there will be none.
func (c *crew) await(r *runner) *job {
	if c.kind.BusyPoll > 0 {
		if j := c.look(r); j != nil {
			return j
		}
	}
	return <-r.jobs
}

// look polls. Each look lets others run, because a single CPU would never bring a request without that; for a locked thread it
// is a switch of OS threads.
func (c *crew) look(r *runner) *job {
	r.looking.Store(true)
	defer r.looking.Store(false)
	for end := c.clock.Now() + int64(c.kind.BusyPoll); c.clock.Now() < end; runtime.Gosched() {
		select {
		case j := <-r.jobs:
			return j
		default:
		}
	}
	return nil
}

// do runs a job, says how it ended, and returns the next one if there is one at once. A job that ends the goroutine takes it
// out of the crew.
func (c *crew) do(thread int, r *runner, j *job) (next *job) {
	var o outcome
	defer func() {
		if !o.returned {
			o.panicked = recover()
		}
		next = c.ended(thread, r, o.returned || o.panicked != nil)
		j.done <- o
	}()
	j.run(thread)
	o.returned = true
	return nil
}

// ended notes that a goroutine of the thread is free, or has come to its own end, and returns what it is to do next.
func (c *crew) ended(thread int, r *runner, lives bool) *job {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.busy = false
	if c.runners[thread] != r {
		return nil // it was replaced
	}
	if !lives {
		c.runners[thread] = nil
	}
	if c.next == nil {
		return nil
	}
	j := c.next(thread)
	switch {
	case j == nil:
	case lives:
		r.busy = true
	default:
		c.begin(thread, j)
		return nil
	}
	return j
}
