package pool

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// laneTest is a pool whose ticks the test makes, and whose handlers end when it says so.
type laneTest struct {
	*lanes
	t       *testing.T
	started chan begun
	leave   []chan struct{} // by request
	ended   chan error
}

type begun struct{ request, thread int }

func newLaneTest(t *testing.T, b Bounds) *laneTest {
	p, _ := testRunner(t, Kind{Name: "lanes"}, b)
	l := p.(*lanes)
	l.ticking = true // by nobody
	return &laneTest{lanes: l, t: t, started: make(chan begun, 100), ended: make(chan error, 100)}
}

// ask brings a request and returns when it runs, waits or was refused.
func (l *laneTest) ask(ctx context.Context) {
	l.t.Helper()
	request, leave := len(l.leave), make(chan struct{})
	l.leave = append(l.leave, leave)
	waiting, started, ended := l.row.Waiting.Load(), len(l.started), len(l.ended)
	go func() {
		l.ended <- serve(ctx, l.lanes, func(thread int) {
			l.started <- begun{request, thread}
			<-leave
		})
	}()
	eventually(l.t, "the request to arrive", func() bool {
		return l.row.Waiting.Load() > waiting || len(l.started) > started || len(l.ended) > ended
	})
}

func (l *laneTest) wantStarted(request, thread int) {
	l.t.Helper()
	want(l.t, "started", await(l.t, "a request to start", l.started), begun{request, thread})
}

// end ends a request's handler.
func (l *laneTest) end(request int) {
	l.t.Helper()
	close(l.leave[request])
	want(l.t, "the outcome", await(l.t, "the end of the request", l.ended), nil)
}

func (l *laneTest) locked(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// wantLines compares how many stand in each lane, and for room at last.
func (l *laneTest) wantLines(wanted ...int) {
	l.t.Helper()
	l.locked(func() {
		var got []int
		for i := range l.own {
			got = append(got, l.own[i].Len())
		}
		if got = append(got, l.room.Len()); !slices.Equal(got, wanted) {
			l.t.Errorf("%d stand in the lanes and for room, want %d", got, wanted)
		}
	})
}

// A request stands behind a running one although a thread is parked, as long as there is room in its lane; then the next
// thread is woken. When all lanes are full requests wait for room.
func TestLanesPreferAwakeThreads(t *testing.T) {
	l := newLaneTest(t, Bounds{2, 1000, time.Minute})
	l.ask(t.Context())
	l.wantStarted(0, 0)
	for range laneDepth {
		l.ask(t.Context())
	}
	l.wantLines(laneDepth, 0, 0)
	want(t, "started", len(l.started), 0)
	l.ask(t.Context())
	l.wantStarted(5, 1) // the lane is full
	l.ask(t.Context())  // the shortest
	l.wantLines(laneDepth, 1, 0)
	for range laneDepth + 1 {
		l.ask(t.Context())
	}
	l.wantLines(laneDepth, laneDepth, 2)
	l.end(5)            // its lane
	l.wantStarted(6, 1) // the first of its own lane
	l.wantLines(laneDepth, laneDepth, 1)
	for next, end := 1, 0; next <= 4; next++ { // the other thread goes on with its own, in order
		l.end(end)
		l.wantStarted(next, 0)
		end = next
	}
	l.wantLines(1, laneDepth, 0) // one has moved up
	l.end(4)
	l.wantStarted(11, 0)
	l.end(11)
	l.wantStarted(7, 0) // stolen: the lane of the other has waited for longer
	l.wantLines(0, laneDepth-1, 0)
	for end, next := 7, 8; next <= 10; end, next = next, next+1 {
		l.end(end)
		l.wantStarted(next, 0)
	}
	l.end(10)
	l.end(6)
	l.wantLines(0, 0, 0)
}

// What stands behind a long request is stolen at a tick by a thread that is parked, from the longest lane.
func TestLanesStealAtATick(t *testing.T) {
	l := newLaneTest(t, Bounds{3, 2, time.Minute})
	l.ask(t.Context())
	l.wantStarted(0, 0)
	l.ask(t.Context())
	l.ask(t.Context())
	l.wantLines(2, 0, 0, 0)
	l.locked(l.steal)
	l.wantLines(0, 0, 0, 0)
	started := map[begun]bool{await(t, "one", l.started): true, await(t, "another", l.started): true}
	if !started[begun{1, 1}] || !started[begun{2, 2}] {
		t.Errorf("started %v, want request 1 on thread 1 and 2 on 2", started)
	}
	for _, request := range []int{1, 0, 2} {
		l.end(request)
	}
}

// A request stands in the shortest of the lanes of those that run, and a thread steals from the longest.
func TestLanesShortestAndLongest(t *testing.T) {
	l := newLaneTest(t, Bounds{3, 100, time.Minute})
	l.ask(t.Context())
	l.wantStarted(0, 0)
	l.ask(t.Context())
	l.locked(l.steal)
	l.wantStarted(1, 1)
	for range 3 {
		l.ask(t.Context())
	}
	l.wantLines(2, 1, 0, 0)
	l.locked(l.steal)
	l.wantStarted(2, 2)
	l.wantLines(1, 1, 0, 0)
	for end, next := range map[int]begun{0: {4, 0}, 1: {3, 1}} { // each has its own
		l.end(end)
		l.wantStarted(next.request, next.thread)
	}
	for request := 2; request <= 4; request++ {
		l.end(request)
	}
	wantIdle(l)
}

// A thread that was given back while its handler runs on counts as awake for two ticks, since most such handlers are about to
// return; then another goroutine takes who waits. With no room to wait it does so at once.
func TestLanesThreadGivenBackEarly(t *testing.T) {
	l := newLaneTest(t, Bounds{1, 1, time.Minute})
	hijack := func() (leave func()) {
		given, leaving := make(chan struct{}), make(chan struct{})
		go func() {
			l.ended <- l.Run(t.Context(), 0, -1, func(thread int) {
				l.Give(thread)
				close(given)
				<-leaving
			})
		}()
		await(t, "the hijacker", given)
		return func() {
			close(leaving)
			want(t, "error", await(t, "the hijacker", l.ended), nil)
		}
	}
	leave := hijack()
	l.ask(t.Context())
	l.wantLines(1, 0)
	l.ask(t.Context()) // does not overtake
	want(t, "error", await(t, "the refusal", l.ended), ErrQueueFull)
	l.locked(l.steal)
	l.wantLines(1, 0)
	l.locked(l.steal)
	l.wantStarted(0, 0)
	l.end(0)
	leave()
	l.SetBounds(Bounds{1, 0, time.Minute})
	leave = hijack()
	l.ask(t.Context())
	l.wantStarted(2, 0)
	l.end(2)
	leave()
	wantIdle(l)
}

// With the ticks that a pool has: nobody waits behind a long request for much longer than a tick while a thread is free.
func TestLanesWaitAtMostATick(t *testing.T) {
	p, board := testRunner(t, Kind{Name: "lanes"}, Bounds{2, 10, time.Minute})
	started, leave, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- serve(t.Context(), p, func(int) {
			close(started)
			<-leave
		})
	}()
	await(t, "the long request", started)
	shortest := time.Hour // the machine may be busy
	for range 20 {
		asked := time.Now()
		if err := serve(t.Context(), p, func(thread int) {
			want(t, "thread", thread, 1)
			shortest = min(shortest, time.Since(asked))
		}); err != nil {
			t.Error(err)
		}
	}
	if shortest < laneTick/4 || shortest > 20*laneTick {
		t.Errorf("a request has waited for %v, want about %v", shortest, laneTick)
	}
	close(leave)
	want(t, "error", await(t, "the long request", ended), nil)
	wantQuiet(t, board)
}

// The bound is on all that wait, in lanes and for room; with a free thread nobody is refused.
func TestLanesDepth(t *testing.T) {
	for _, depth := range []int{0, 1, laneDepth, 2*laneDepth + 3} {
		l := newLaneTest(t, Bounds{2, depth, time.Minute})
		for range 2 + depth {
			l.ask(t.Context())
		}
		for range 3 {
			l.ask(t.Context())
			want(t, "error", await(t, "the refusal", l.ended), ErrQueueFull)
		}
		want(t, "waiting", l.row.Waiting.Load(), int64(depth))
		for range 2 + depth { // those who were in line are not disturbed
			l.end(await(t, "the next", l.started).request)
		}
		wantIdle(l)
	}
}

// wantIdle says that nobody runs or waits.
func wantIdle(l *laneTest) {
	l.t.Helper()
	want(l.t, "waiting", l.row.Waiting.Load(), 0)
	want(l.t, "oldest waiting", l.row.OldestWaiting.Load(), 0)
	for i, c := range l.cells {
		if !c.Free() {
			l.t.Errorf("thread %d is not free", i)
		}
	}
}

func TestLanesGiveUp(t *testing.T) {
	l := newLaneTest(t, Bounds{1, 100, time.Minute})
	l.ask(t.Context())
	l.wantStarted(0, 0)
	before := l.clock.Now()
	ctx, leave := context.WithCancel(t.Context())
	l.ask(ctx)
	first := l.row.OldestWaiting.Load()
	if first < before || first > l.clock.Now() {
		t.Errorf("oldest waits since %d, want %d..%d", first, before, l.clock.Now())
	}
	for range laneDepth { // the last one for room
		l.ask(t.Context())
	}
	l.wantLines(laneDepth, 1)
	leave()
	want(t, "error", await(t, "the first to leave", l.ended), ErrClientGone)
	l.wantLines(laneDepth, 0) // and it has the room
	if now := l.row.OldestWaiting.Load(); now <= first {
		t.Errorf("oldest waits since %d after the one of %d has left", now, first)
	}
	l.locked(func() { l.bounds.Timeout = 20 * time.Millisecond })
	asked := time.Now()
	l.ask(t.Context())
	want(t, "error", await(t, "the last to give up", l.ended), ErrQueueTimeout)
	if waited := time.Since(asked); waited < 20*time.Millisecond {
		t.Errorf("gave up after %v", waited)
	}
	want(t, "waiting", l.row.Waiting.Load(), laneDepth)
	for request, next := 0, 2; next < 2+laneDepth; request, next = next, next+1 {
		l.end(request)
		l.wantStarted(next, 0)
	}
	l.end(1 + laneDepth)
	wantIdle(l)
}

// Those who stand in the lane of a thread that goes have another one; new threads have those who wait at once.
func TestLanesBounds(t *testing.T) {
	l := newLaneTest(t, Bounds{3, 100, time.Minute})
	l.SetBounds(Bounds{2, 100, time.Minute})
	for range 2 + 2*laneDepth {
		l.ask(t.Context())
	}
	l.wantStarted(0, 0)
	l.wantStarted(5, 1)
	l.wantLines(laneDepth, laneDepth, 0, 0)
	l.SetBounds(Bounds{1, 100, time.Minute})
	l.wantLines(laneDepth, 0, 0, laneDepth)
	l.end(5)
	want(t, "started by a thread that has gone", len(l.started), 0)
	l.SetBounds(Bounds{3, 100, time.Minute})
	started := []int{await(t, "one", l.started).thread, await(t, "another", l.started).thread}
	if slices.Sort(started); !slices.Equal(started, []int{1, 2}) {
		t.Errorf("threads %d have started, want 1 and 2", started)
	}
	want(t, "waiting", l.row.Waiting.Load(), 2*laneDepth-2)
	for _, leave := range l.leave {
		select {
		case <-leave:
		default:
			close(leave)
		}
	}
	for range 1 + 2*laneDepth {
		want(t, "the outcome", await(t, "the end of a request", l.ended), nil)
	}
	wantIdle(l)
}

// A thread that polls is awake and free: it has a request before a running one, or one that is parked.
func TestLanesGiveToAThreadThatPolls(t *testing.T) {
	l := newLaneTest(t, Bounds{3, 10, time.Minute})
	l.kind.BusyPoll = time.Hour
	l.ask(t.Context())
	l.wantStarted(0, 0)
	l.locked(func() { l.begin(2, newJob(func(int) {})) })
	eventually(t, "thread 2 to poll", func() (polls bool) {
		l.locked(func() { polls = l.looking(2) && !l.busy(2) })
		return polls
	})
	l.ask(t.Context())
	l.wantStarted(1, 2)
	l.ask(t.Context())
	l.wantLines(1, 0, 0, 0)
	l.end(0)
	l.wantStarted(2, 0)
	l.end(1)
	l.end(2)
	wantIdle(l)
	l.locked(func() {
		close(l.runners[0].jobs)
		close(l.runners[2].jobs)
	})
}

// Requests come, wait, lose patience and leave, threads come and go, all at once: nothing is lost, and never do more run than
// there are threads.
func TestRunnersStress(t *testing.T) {
	const threads, takers = 4, 24
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, board := testRunner(t, kind, Bounds{threads, takers / 2, 2 * time.Millisecond})
			var running, served, refused, late, gone atomic.Int64
			end := time.Now().Add(400 * time.Millisecond)
			all := make(chan struct{}, takers)
			for seed := range uint64(takers) {
				go func() {
					defer func() { all <- struct{}{} }()
					random := rand.New(rand.NewPCG(seed, 0))
					for time.Now().Before(end) {
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(4000))*time.Microsecond)
						err := serve(ctx, p, func(int) {
							if n := running.Add(1); n > threads {
								t.Errorf("%d run on %d threads", n, threads)
							}
							for range random.IntN(4000) {
								running.Load()
							}
							running.Add(-1)
						})
						cancel()
						switch err {
						case nil:
							served.Add(1)
						case ErrQueueFull:
							refused.Add(1)
						case ErrQueueTimeout:
							late.Add(1)
						case ErrClientGone:
							gone.Add(1)
						default:
							t.Error(err)
						}
						if random.IntN(50) == 0 {
							p.SetBounds(Bounds{1 + random.IntN(threads), takers / 2, 2 * time.Millisecond})
						}
					}
				}()
			}
			for range takers {
				await(t, "a client", all)
			}
			t.Logf("%d served, %d found the lines full, %d timed out, %d left", served.Load(), refused.Load(), late.Load(), gone.Load())
			if served.Load() == 0 {
				t.Error("nobody was served")
			}
			eventually(t, "quiet", func() bool { return board.Busy(0) == 0 })
			wantQuiet(t, board)
		})
	}
}
