package pool

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

func testQueue(threads int) *queue {
	l, _ := testLease(threads, 1000, time.Minute)
	return newQueue(l)
}

func TestNew(t *testing.T) {
	board := scoreboard.Private(1)
	for name, inline := range map[string]bool{"": true, "lease": true, "queue": false} {
		p, err := New(name, []*scoreboard.Cell{board.Cell(0, 0)}, board.Row(0), scoreboard.NewClock(), Bounds{1, 1, time.Second})
		if err != nil || p.Inline() != inline {
			t.Errorf("%q: inline %v, %v", name, p != nil && p.Inline(), err)
		}
	}
	if _, err := New("lanes", nil, nil, scoreboard.NewClock(), Bounds{}); err == nil {
		t.Error("an unknown pool was made")
	}
}

// Never more handlers at a time than threads, and never two on one goroutine of a thread.
func TestQueueRunsOnItsThreads(t *testing.T) {
	const threads = 3
	q := testQueue(threads)
	var running, most, ran atomic.Int32
	var onThread [threads]atomic.Int32
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for range 100 {
				thread, err := q.Take(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				q.Run(thread, func() {
					if n := running.Add(1); n > most.Load() {
						most.Store(n)
					}
					if onThread[thread].Add(1) != 1 {
						t.Error("two handlers on one thread")
					}
					runtime.Gosched()
					onThread[thread].Add(-1)
					running.Add(-1)
					ran.Add(1)
				})
				q.Give(thread)
			}
		})
	}
	all.Wait()
	want(t, "handlers that ran", ran.Load(), 3200)
	if n := most.Load(); n > threads {
		t.Errorf("%d handlers ran at a time", n)
	}
}

func TestQueuePassesAPanicOn(t *testing.T) {
	q := testQueue(1)
	boom := errors.New("boom")
	for range 3 { // the thread goes on
		thread, _ := q.Take(t.Context())
		func() {
			defer func() { want(t, "the panic", recover(), any(boom)) }()
			q.Run(thread, func() { panic(boom) })
			t.Error("Run returned")
		}()
		q.Give(thread)
	}
}

// A handler that ends its goroutine ends the connection's, as it does where handlers run inline, and the thread goes on.
func TestQueuePassesGoexitOn(t *testing.T) {
	q := testQueue(1)
	for range 3 {
		ended := make(chan bool, 1)
		go func() {
			thread, _ := q.Take(t.Context())
			returned := false
			defer func() {
				q.Give(thread)
				ended <- returned
			}()
			q.Run(thread, runtime.Goexit)
			returned = true
		}()
		want(t, "Run returned", await(t, "the end of the goroutine", ended), false)
	}
}

// A hijacked connection's handler keeps running, its thread serves others.
func TestQueueThreadGivenBackEarly(t *testing.T) {
	q := testQueue(1)
	leave := make(chan struct{})
	var handlers sync.WaitGroup
	before := runtime.NumGoroutine()
	for range 5 {
		thread, err := q.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		started := make(chan struct{})
		handlers.Go(func() {
			q.Run(thread, func() {
				close(started)
				<-leave
			})
		})
		await(t, "the handler to start", started)
		q.Give(thread)
	}
	close(leave)
	handlers.Wait()
	eventually(t, "the replaced goroutines to end", func() bool { return runtime.NumGoroutine() <= before+1 })
}

func TestSetBounds(t *testing.T) {
	p, board := testLease(4, 1, time.Minute)
	p.SetBounds(Bounds{1, 2, time.Minute})
	first := mustTake(t, p)
	second, third := queueUp(t, p, t.Context()), queueUp(t, p, t.Context())
	if _, err := p.Take(t.Context()); !errors.Is(err, ErrQueueFull) {
		t.Errorf("a third waiter: %v", err)
	}
	p.SetBounds(Bounds{3, 2, time.Minute}) // who waits gets the new threads
	a, b := await(t, "the second", second), await(t, "the third", third)
	want(t, "busy", board.Busy(0), 3)

	p.SetBounds(Bounds{1, 2, time.Minute}) // those that are out of bounds finish and are not given again
	next := queueUp(t, p, t.Context())
	for _, thread := range []int{a.thread, b.thread} {
		if thread == 0 {
			t.Fatal("a thread was given twice")
		}
		p.Give(thread)
	}
	want(t, "busy after the shrinking", board.Busy(0), 1)
	want(t, "waiting", p.waiting(), 1)
	p.Give(first)
	want(t, "the thread that is left", await(t, "the next", next).thread, 0)
	p.SetBounds(Bounds{1, 1, time.Millisecond})
	if _, err := p.Take(t.Context()); !errors.Is(err, ErrQueueTimeout) {
		t.Errorf("waiting with the new timeout: %v", err)
	}
}

func BenchmarkQueueRun(b *testing.B) {
	l, _ := testLease(1, 10, time.Minute)
	q := newQueue(l)
	b.ReportAllocs()
	f := func() {}
	for b.Loop() {
		thread, _ := q.Take(b.Context())
		q.Run(thread, f)
		q.Give(thread)
	}
}

// Run returns when its own job has ended, though the thread is given back before that and taken by others at once.
func TestQueueRunWaitsForItsOwnJob(t *testing.T) {
	const threads, takers, rounds = 1, 200, 300
	p := testQueue(threads)
	var wg sync.WaitGroup
	for range takers {
		wg.Go(func() {
			for round := range rounds {
				thread, err := p.Take(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				ended := false
				p.Run(thread, func() {
					p.Give(thread)
					ended = true
				})
				if !ended {
					t.Errorf("round %d: Run returned before its job had ended", round)
					return
				}
			}
		})
	}
	wg.Wait()
}
