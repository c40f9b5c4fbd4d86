package pool

import (
	"context"
	"testing"
	"time"
)

func testBatches(size, threads, depth int, timeout time.Duration) *lease {
	l, _ := testLease(threads, depth, timeout)
	return newQueue(Kind{Batch: size}, l).lease
}

// A thread takes several requests from the queue, and those behind the first wait for it though another one is free.
func TestBatchWaitsForItsThread(t *testing.T) {
	p := testBatches(3, 2, 10, time.Minute)
	first, other := mustTake(t, p), mustTake(t, p)
	var queue []<-chan taken
	for range 4 {
		queue = append(queue, queueUp(t, p, t.Context()))
	}
	p.Give(first) // takes three
	want(t, "the first has", await(t, "the first of the batch", queue[0]), taken{thread: first})
	p.Give(other) // takes the one that is left
	want(t, "the fourth has", await(t, "the fourth", queue[3]), taken{thread: other})
	want(t, "idle", p.Give(other), true)
	want(t, "waiting, with a free thread", p.waiting(), 2)
	want(t, "a newcomer has", mustTake(t, p), other) // and overtakes
	want(t, "the second has a thread", len(queue[1]), 0)
	for i := 1; i <= 2; i++ {
		p.Give(first)
		want(t, "one of the batch has", await(t, "one of the batch", queue[i]), taken{thread: first})
	}
	p.Give(first)
	p.Give(other)
	wantAllFree(t, p, 0, 2)
}

// Who stands in a batch counts as waiting, for the scoreboard and for the bound, and may give up.
func TestBatchIsWaiting(t *testing.T) {
	p := testBatches(8, 1, 3, time.Minute)
	thread := mustTake(t, p)
	first := queueUp(t, p, t.Context())
	ctx, leave := context.WithCancel(t.Context())
	second, third := queueUp(t, p, ctx), queueUp(t, p, t.Context())
	p.Give(thread)
	await(t, "the first", first)
	oldest := p.row.OldestWaiting.Load()
	fourth := queueUp(t, p, t.Context()) // in the queue
	want(t, "waiting", p.waiting(), 3)
	want(t, "oldest", p.row.OldestWaiting.Load(), oldest)
	if _, err := p.Take(t.Context(), 0); err != ErrQueueFull {
		t.Errorf("%v, want %v", err, ErrQueueFull)
	}
	leave()
	want(t, "error", await(t, "the second to leave", second).err, ErrClientGone)
	want(t, "waiting", p.waiting(), 2)
	if now := p.row.OldestWaiting.Load(); now <= oldest {
		t.Errorf("oldest waits since %d after the one of %d has left", now, oldest)
	}
	for _, next := range []<-chan taken{third, fourth} {
		p.Give(thread)
		want(t, "error", await(t, "the next", next).err, nil)
	}
	p.Give(thread)
	wantAllFree(t, p, 0, 1)
}

func TestBatchTimeout(t *testing.T) {
	p := testBatches(2, 1, 10, time.Minute)
	thread := mustTake(t, p)
	first := queueUp(t, p, t.Context())
	p.SetBounds(Bounds{1, 10, 100 * time.Millisecond})
	second := make(chan taken, 1)
	go func() {
		thread, err := p.Take(t.Context(), 0)
		second <- taken{thread, err}
	}()
	eventually(t, "the second to wait", func() bool { return p.waiting() == 2 || len(second) > 0 })
	p.Give(thread)
	want(t, "error", await(t, "the first", first).err, nil)
	want(t, "error", await(t, "the second", second).err, ErrQueueTimeout)
	want(t, "idle", p.Give(thread), true)
	wantAllFree(t, p, 0, 1)
}

// What a thread has taken goes back when it is no longer there, before those that came later.
func TestBatchOfAThreadThatGoes(t *testing.T) {
	p := testBatches(2, 2, 10, time.Minute)
	first, last := mustTake(t, p), mustTake(t, p)
	var queue []<-chan taken
	for range 3 {
		queue = append(queue, queueUp(t, p, t.Context()))
	}
	p.Give(last)
	await(t, "the first of the batch", queue[0])
	p.SetBounds(Bounds{1, 10, time.Minute})
	want(t, "waiting", p.waiting(), 2)
	p.Give(last)
	want(t, "waiting behind a thread that has gone", p.waiting(), 2)
	for i := 1; i <= 2; i++ {
		p.Give(first)
		want(t, "the next has", await(t, "the next", queue[i]), taken{thread: first})
	}
	p.Give(first)
	wantAllFree(t, p, 0, 1)
}
