package pool

import "context"

// queue is the pool in which each thread is a goroutine that takes requests from one bounded queue, as the threads of Puma
// do; the connection's goroutine waits until its request has been handled. Who comes first, how many wait and for how long
// is the lease's business: only where the handler runs differs, and, with batches, how many requests a thread takes at once.
type queue struct {
	*lease
	crew *crew
}

func newQueue(k Kind, l *lease) *queue {
	l.batches = newBatches(k.Batch, len(l.cells))
	c := newCrew(k, l.clock, len(l.cells))
	return &queue{lease: l, crew: &c}
}

// Goroutine is that of a thread.
func (q *queue) Goroutine(thread int) *Goroutine { return q.crew.Goroutine(thread) }

func (q *queue) Run(ctx context.Context, since int64, thread int, f func(thread int)) error {
	if thread < 0 {
		var err error
		if thread, err = q.Take(ctx, since); err != nil {
			return err
		}
	}
	j := newJob(f)
	q.crew.mu.Lock()
	q.crew.begin(thread, j)
	q.crew.mu.Unlock()
	j.wait()
	return nil
}
