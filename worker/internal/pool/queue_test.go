package pool

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

func testQueue(threads int) *queue {
	l, _ := testLease(threads, 1000, time.Minute)
	return newQueue(Kind{Name: "queue"}, l)
}

func TestNew(t *testing.T) {
	board := scoreboard.Private(1)
	for name, inline := range map[string]bool{"": true, "lease": true, "queue": false} {
		p, err := New(Kind{Name: name}, []*scoreboard.Cell{board.Cell(0, 0)}, board.Row(0), scoreboard.NewClock(), Bounds{1, 1, time.Second})
		if err != nil || p.Inline() != inline {
			t.Errorf("%q: inline %v, %v", name, p != nil && p.Inline(), err)
		}
	}
	if _, err := New(Kind{Name: "lanes"}, nil, nil, scoreboard.NewClock(), Bounds{}); err == nil {
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
				thread, err := q.Take(t.Context(), 0)
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
		thread, _ := q.Take(t.Context(), 0)
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
			thread, _ := q.Take(t.Context(), 0)
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
		thread, err := q.Take(t.Context(), 0)
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

// stateOf is what the runtime says of the goroutine that runs the thread's handlers: "chan receive" if it is parked, and
// "locked to thread" if it has an OS thread for itself.
func stateOf(t *testing.T, q *queue, thread int) string {
	t.Helper()
	var number string
	q.Run(thread, func() { number, _, _ = strings.Cut(stack(false), " [") })
	for goroutine := range strings.SplitSeq(stack(true), "\n\n") {
		if state, ok := strings.CutPrefix(goroutine, number+" ["); ok {
			state, _, _ = strings.Cut(state, "]")
			return state
		}
	}
	t.Fatalf("%s is gone", number)
	return ""
}

func stack(all bool) string {
	text := make([]byte, 1<<20)
	return string(text[:runtime.Stack(text, all)])
}

// Each thread keeps an OS thread of its own with --os-threads, and none without.
func TestQueueOnOSThreads(t *testing.T) {
	for _, locked := range []bool{false, true} {
		l, _ := testLease(2, 1, time.Minute)
		q := newQueue(Kind{OSThreads: locked}, l)
		for thread := range 2 {
			want(t, "locked to an OS thread", strings.Contains(stateOf(t, q, thread), "locked to thread"), locked)
			close(q.runners[thread].jobs)
		}
	}
}

// A thread that polls is not parked, and takes what comes; when its time is over it parks.
func TestQueuePolls(t *testing.T) {
	for _, poll := range []time.Duration{0, time.Millisecond, time.Hour} {
		l, _ := testLease(1, 1, time.Minute)
		q := newQueue(Kind{BusyPoll: poll}, l)
		if poll == time.Hour {
			for range 100 {
				if state := stateOf(t, q, 0); strings.Contains(state, "chan receive") {
					t.Fatalf("a thread that is to poll is parked: %s", state)
				}
			}
		} else {
			eventually(t, "the thread to park", func() bool { return strings.Contains(stateOf(t, q, 0), "chan receive") })
		}
		q.runners[0].jobs <- job{run: runtime.Goexit, done: make(chan outcome, 1)} // ends the goroutine, polling or not
	}
}

func TestSetBounds(t *testing.T) {
	p, board := testLease(4, 1, time.Minute)
	p.SetBounds(Bounds{1, 2, time.Minute})
	first := mustTake(t, p)
	second, third := queueUp(t, p, t.Context()), queueUp(t, p, t.Context())
	if _, err := p.Take(t.Context(), 0); !errors.Is(err, ErrQueueFull) {
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
	if _, err := p.Take(t.Context(), 0); !errors.Is(err, ErrQueueTimeout) {
		t.Errorf("waiting with the new timeout: %v", err)
	}
}

func BenchmarkQueueRun(b *testing.B) {
	l, _ := testLease(1, 10, time.Minute)
	q := newQueue(Kind{}, l)
	b.ReportAllocs()
	f := func() {}
	for b.Loop() {
		thread, _ := q.Take(b.Context(), 0)
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
				thread, err := p.Take(t.Context(), 0)
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
