package pool

import (
	"runtime"
	"sync"
)

// queue is the pool in which each thread is a goroutine that takes requests from one bounded queue, as the threads of Puma
// do; the connection's goroutine waits until its request has been handled. Who comes first, how many wait and for how long
// is the lease's business: only where the handler runs differs.
type queue struct {
	*lease
	kind      Kind
	runnersMu sync.Mutex
	runners   []*runner // by thread, made when first needed
}

// runner is the goroutine of a thread.
type runner struct {
	jobs chan job // capacity 1: who has claimed the runner puts its job there without waiting
	busy bool     // guarded by the pool's runnersMu
}

// job is a handler to run. Its outcome has a channel of its own: the next job of the thread may begin and end before the
// goroutine that waits for this one has looked.
type job struct {
	run  func()
	done chan outcome // capacity 1
}

// outcome says how a job ended.
type outcome struct {
	returned bool
	panicked any // nil with returned false: the job called runtime.Goexit
}

func newQueue(k Kind, l *lease) *queue {
	return &queue{lease: l, kind: k, runners: make([]*runner, len(l.cells))}
}

func (q *queue) Inline() bool { return false }

func (q *queue) Run(thread int, f func()) {
	j := job{run: f, done: make(chan outcome, 1)}
	q.claim(thread).jobs <- j
	o := <-j.done
	switch {
	case o.returned:
	case o.panicked != nil:
		panic(o.panicked)
	default:
		runtime.Goexit()
	}
}

// claim returns the thread's goroutine, not busy until now. One that still runs a handler whose thread was given back is
// replaced; it ends with its job.
func (q *queue) claim(thread int) *runner {
	q.runnersMu.Lock()
	defer q.runnersMu.Unlock()
	r := q.runners[thread]
	if r == nil || r.busy {
		if r != nil {
			close(r.jobs)
		}
		r = &runner{jobs: make(chan job, 1)}
		q.runners[thread] = r
		go q.work(thread, r)
	}
	r.busy = true
	return r
}

func (q *queue) work(thread int, r *runner) {
	if q.kind.OSThreads {
		runtime.LockOSThread() // for its life: the OS thread ends with it
	}
	for j, ok := q.next(r); ok; j, ok = q.next(r) {
		q.do(thread, r, j)
	}
}

// next waits for a job: looking for it first, if the kind says so, and then parked. ok is false when there will be none. Each
// look lets others run, because a single CPU would never bring a request without that; for a locked thread it is a switch
// of OS threads.
func (q *queue) next(r *runner) (j job, ok bool) {
	if q.kind.BusyPoll > 0 {
		for end := q.clock.Now() + int64(q.kind.BusyPoll); q.clock.Now() < end; runtime.Gosched() {
			select {
			case j, ok = <-r.jobs:
				return j, ok
			default:
			}
		}
	}
	j, ok = <-r.jobs
	return j, ok
}

// do runs a job and says how it ended. A job that ends the goroutine takes it out of the pool.
func (q *queue) do(thread int, r *runner, j job) {
	var o outcome
	defer func() {
		if !o.returned {
			o.panicked = recover()
		}
		q.runnersMu.Lock()
		r.busy = false
		if !o.returned && o.panicked == nil && q.runners[thread] == r {
			q.runners[thread] = nil
		}
		q.runnersMu.Unlock()
		j.done <- o
	}()
	j.run()
	o.returned = true
}
