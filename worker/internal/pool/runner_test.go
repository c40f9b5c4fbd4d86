package pool

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// kinds are the pools whose threads are goroutines.
var kinds = map[string]Kind{"queue": {Name: "queue"}, "queue in batches": {Name: "queue", Batch: 3}, "lanes": {Name: "lanes"}}

// testRunner is a pool of its own, with the scoreboard that it writes to.
func testRunner(t *testing.T, k Kind, b Bounds) (Runner, *scoreboard.Board) {
	t.Helper()
	board := scoreboard.Private(b.Threads)
	cells := make([]*scoreboard.Cell, b.Threads)
	for i := range cells {
		cells[i] = board.Cell(0, i)
	}
	p, err := New(k, cells, board.Row(0), scoreboard.NewClock(), b)
	if err != nil {
		t.Fatal(err)
	}
	return p.(Runner), board
}

// perRunner runs a test with each of them, with threads and room for all.
func perRunner(t *testing.T, threads int, test func(t *testing.T, p Runner, board *scoreboard.Board)) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			p, board := testRunner(t, kind, Bounds{threads, 1000, time.Minute})
			test(t, p, board)
		})
	}
}

// serve runs f as a handler is run, and gives the thread back when it returns.
func serve(ctx context.Context, p Runner, f func(thread int)) error {
	return p.Run(ctx, 0, -1, func(thread int) {
		defer p.Give(thread)
		f(thread)
	})
}

// wantQuiet says that nothing is left of what ran.
func wantQuiet(t *testing.T, board *scoreboard.Board) {
	t.Helper()
	want(t, "busy", board.Busy(0), 0)
	want(t, "waiting", board.Row(0).Waiting.Load(), 0)
	want(t, "oldest waiting", board.Row(0).OldestWaiting.Load(), 0)
}

func TestNew(t *testing.T) {
	board := scoreboard.Private(1)
	for name, inline := range map[string]bool{"": true, "lease": true, "queue": false, "lanes": false, "unbounded": true} {
		p, err := New(Kind{Name: name}, []*scoreboard.Cell{board.Cell(0, 0)}, board.Row(0), scoreboard.NewClock(), Bounds{1, 1, time.Second})
		if _, runs := p.(Runner); err != nil || runs == inline {
			t.Errorf("%q: has goroutines of its own: %v, %v", name, runs, err)
		}
		if _, taken := p.(Taker); inline && !taken {
			t.Errorf("%q: no thread can be taken", name)
		}
		if line, ok := p.(Line); ok == (name == "lanes" || name == "unbounded") {
			t.Errorf("%q: requests can be passed on: %v", name, line)
		}
	}
	if _, err := New(Kind{Name: "heap"}, nil, nil, scoreboard.NewClock(), Bounds{}); err == nil {
		t.Error("an unknown pool was made")
	}
}

// Never more handlers at a time than threads, and never two on one goroutine of a thread.
func TestRunsOnItsThreads(t *testing.T) {
	const threads = 3
	perRunner(t, threads, func(t *testing.T, p Runner, board *scoreboard.Board) {
		var running, ran atomic.Int32
		var onThread [threads]atomic.Int32
		var all sync.WaitGroup
		for range 32 {
			all.Go(func() {
				for range 100 {
					err := serve(t.Context(), p, func(thread int) {
						if n := running.Add(1); n > threads {
							t.Errorf("%d handlers run at a time", n)
						}
						if onThread[thread].Add(1) != 1 {
							t.Error("two handlers on one thread")
						}
						runtime.Gosched()
						onThread[thread].Add(-1)
						running.Add(-1)
						ran.Add(1)
					})
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		want(t, "handlers that ran", ran.Load(), 3200)
		wantQuiet(t, board)
	})
}

// A request that has a thread already runs on that one.
func TestQueueRunsOnTheThreadThatIsTaken(t *testing.T) {
	p, board := testRunner(t, Kind{Name: "queue"}, Bounds{3, 0, time.Minute})
	var threads []int
	for range 3 {
		thread, err := p.(Taker).Take(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		threads = append(threads, thread)
	}
	for _, thread := range threads {
		if err := p.Run(t.Context(), 0, thread, func(on int) { want(t, "thread", on, thread) }); err != nil {
			t.Error(err)
		}
		p.Give(thread)
	}
	wantQuiet(t, board)
}

func TestRunPassesAPanicOn(t *testing.T) {
	perRunner(t, 1, func(t *testing.T, p Runner, board *scoreboard.Board) {
		boom := errors.New("boom")
		for range 3 { // the thread goes on
			func() {
				defer func() { want(t, "the panic", recover(), any(boom)) }()
				err := serve(t.Context(), p, func(int) { panic(boom) })
				t.Errorf("Run returned: %v", err)
			}()
		}
		wantQuiet(t, board)
	})
}

// A handler that ends its goroutine ends the connection's, as it does where handlers run inline, and the thread goes on:
// with the requests that stood behind it, too.
func TestRunPassesGoexitOn(t *testing.T) {
	perRunner(t, 1, func(t *testing.T, p Runner, board *scoreboard.Board) {
		const requests = 20
		ended, all := make(chan bool, requests), make(chan struct{})
		for range requests {
			go func() {
				returned := false
				defer func() { ended <- returned }()
				_ = serve(t.Context(), p, func(int) {
					<-all
					runtime.Goexit()
				})
				returned = true
			}()
		}
		eventually(t, "the others to wait", func() bool { return board.Row(0).Waiting.Load() == requests-1 })
		close(all)
		for range requests {
			want(t, "Run returned", await(t, "the end of the goroutine", ended), false)
		}
		wantQuiet(t, board)
	})
}

// A hijacked connection's handler keeps running, its thread serves others, and no goroutine is left of those that it had.
func TestThreadGivenBackEarly(t *testing.T) {
	perRunner(t, 1, func(t *testing.T, p Runner, board *scoreboard.Board) {
		leave := make(chan struct{})
		var handlers sync.WaitGroup
		before := runtime.NumGoroutine()
		for i := range 6 {
			given := make(chan struct{})
			handlers.Go(func() {
				err := p.Run(t.Context(), 0, -1, func(thread int) {
					p.Give(thread)
					close(given)
					<-leave
					if i%2 == 1 {
						runtime.Goexit()
					}
				})
				if err != nil {
					t.Error(err)
				}
			})
			await(t, "the handler to start", given)
		}
		want(t, "error", serve(t.Context(), p, func(int) {}), nil)
		close(leave)
		handlers.Wait()
		want(t, "error", serve(t.Context(), p, func(int) {}), nil)
		eventually(t, "the replaced goroutines to end", func() bool { return runtime.NumGoroutine() <= before+1 })
		wantQuiet(t, board)
	})
}

// A response stream keeps the thread behind its handler; meanwhile nothing runs on it.
func TestThreadKeptBehindItsHandler(t *testing.T) {
	perRunner(t, 1, func(t *testing.T, p Runner, board *scoreboard.Board) {
		if l, ok := p.(*lanes); ok {
			l.ticking = true // by the test
		}
		var kept int
		if err := p.Run(t.Context(), 0, -1, func(thread int) { kept = thread }); err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- serve(t.Context(), p, func(int) {}) }()
		eventually(t, "the next to wait", func() bool { return board.Row(0).Waiting.Load() == 1 })
		if l, ok := p.(*lanes); ok {
			l.mu.Lock()
			l.steal()
			l.mu.Unlock()
		}
		want(t, "ran on a thread that is kept", len(ran), 0)
		p.Give(kept)
		want(t, "error", await(t, "the next", ran), nil)
		wantQuiet(t, board)
	})
}

// stateOf is what the runtime says of the goroutine that runs the thread's handlers: "chan receive" if it is parked, and
// "locked to thread" if it has an OS thread for itself.
func stateOf(t *testing.T, p Runner) string {
	t.Helper()
	var number string
	if err := serve(t.Context(), p, func(int) { number, _, _ = strings.Cut(stack(false), " [") }); err != nil {
		t.Fatal(err)
	}
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

// crewOf are the goroutines of a pool.
func crewOf(p Runner) *crew {
	if q, ok := p.(*queue); ok {
		return q.crew
	}
	return &p.(*lanes).crew
}

// Each thread keeps an OS thread of its own with --os-threads, and none without.
func TestOSThreads(t *testing.T) {
	for _, name := range []string{"queue", "lanes"} {
		for _, locked := range []bool{false, true} {
			p, _ := testRunner(t, Kind{Name: name, OSThreads: locked}, Bounds{1, 1, time.Minute})
			want(t, "locked to an OS thread", strings.Contains(stateOf(t, p), "locked to thread"), locked)
			close(crewOf(p).runners[0].jobs)
		}
	}
}

// A thread that polls is not parked, and takes what comes; when its time is over it parks.
func TestBusyPoll(t *testing.T) {
	for _, name := range []string{"queue", "lanes"} {
		for _, poll := range []time.Duration{0, time.Millisecond, time.Hour} {
			p, _ := testRunner(t, Kind{Name: name, BusyPoll: poll}, Bounds{1, 1, time.Minute})
			if poll == time.Hour {
				for range 100 {
					if state := stateOf(t, p); strings.Contains(state, "chan receive") {
						t.Fatalf("a thread that is to poll is parked: %s", state)
					}
				}
			} else {
				eventually(t, "the thread to park", func() bool { return strings.Contains(stateOf(t, p), "chan receive") })
			}
			crewOf(p).runners[0].jobs <- newJob(func(int) { runtime.Goexit() }) // ends the goroutine, polling or not
		}
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

func BenchmarkRun(b *testing.B) {
	for name, kind := range kinds {
		b.Run(name, func(b *testing.B) {
			board := scoreboard.Private(1)
			p, err := New(kind, []*scoreboard.Cell{board.Cell(0, 0)}, board.Row(0), scoreboard.NewClock(), Bounds{1, 10, time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				_ = serve(b.Context(), p.(Runner), func(int) {})
			}
		})
	}
}

// Run returns when its own job has ended, though the thread is given back before that and taken by others at once.
func TestRunWaitsForItsOwnJob(t *testing.T) {
	const takers, rounds = 100, 100
	perRunner(t, 1, func(t *testing.T, p Runner, board *scoreboard.Board) {
		var wg sync.WaitGroup
		for range takers {
			wg.Go(func() {
				for round := range rounds {
					ended := false
					err := p.Run(t.Context(), 0, -1, func(thread int) {
						p.Give(thread)
						ended = true
					})
					if err != nil || !ended {
						t.Errorf("round %d: its job has ended: %v, %v", round, ended, err)
						return
					}
				}
			})
		}
		wg.Wait()
		wantQuiet(t, board)
	})
}
