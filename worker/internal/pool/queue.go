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
	runnersMu sync.Mutex
	runners   []*runner // by thread, made when first needed
}

// runner is the goroutine of a thread.
type runner struct {
	jobs chan job
	busy bool // guarded by the pool's runnersMu
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

func newQueue(l *lease) *queue {
	return &queue{lease: l, runners: make([]*runner, len(l.cells))}
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
		r = &runner{jobs: make(chan job)}
		q.runners[thread] = r
		go q.work(thread, r)
	}
	r.busy = true
	return r
}

func (q *queue) work(thread int, r *runner) {
	for j := range r.jobs {
		q.do(thread, r, j)
	}
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
