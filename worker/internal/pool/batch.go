package pool

import "container/list"

// batches are the requests that threads have taken from the queue at once, to run them one after the other. Those behind the
// first wait for their thread though another may be free: that is what there is to measure. Kino has it as `batch`.
// Its methods are called with the mutex of the lease held.
type batches struct {
	size int         // requests that a thread takes at once; 0: there are no batches
	own  []list.List // of *waiter, by thread
	len  int         // requests in all of them
}

func newBatches(size, threads int) batches {
	if size <= 1 {
		return batches{}
	}
	return batches{size: size, own: make([]list.List, threads)}
}

// fill returns the line from which the thread takes its next request: its batch, which it fills when it is empty, or the
// queue.
func (b *batches) fill(thread int, queue *list.List) *list.List {
	if b.size == 0 {
		return queue
	}
	own := &b.own[thread]
	if own.Len() == 0 {
		for w := head(queue); w != nil && own.Len() < b.size; w = head(queue) {
			w.step()
			w.stand(own)
			b.len++
		}
	}
	return own
}

// left counts one that has left a line.
func (b *batches) left(line, queue *list.List) {
	if line != queue {
		b.len--
	}
}

// scatter puts what threads from one number on have taken back into the queue.
func (b *batches) scatter(thread int, queue *list.List) {
	for i := thread; i < len(b.own); i++ {
		for w := head(&b.own[i]); w != nil; w = head(&b.own[i]) {
			w.step()
			w.stand(queue)
			b.len--
		}
	}
}

// since is since when the oldest in a batch waits; 0 if nobody does.
func (b *batches) since() (when int64) {
	if b.len == 0 {
		return 0
	}
	for i := range b.own {
		when = earlier(when, headSince(&b.own[i]))
	}
	return when
}
