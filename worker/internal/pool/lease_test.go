package pool

import (
	"context"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// testLease is a pool of its own, with the scoreboard that it writes to.
func testLease(threads, depth int, timeout time.Duration) (*lease, *scoreboard.Board) {
	board := scoreboard.Private(threads)
	cells := make([]*scoreboard.Cell, threads)
	for i := range cells {
		cells[i] = board.Cell(0, i)
	}
	return newLease(cells, board.Row(0), scoreboard.NewClock(), Bounds{threads, depth, timeout}), board
}

func (p *lease) waiting() int { return int(p.row.Waiting.Load()) }

func mustTake(t *testing.T, p *lease) int {
	t.Helper()
	thread, err := p.Take(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return thread
}

// taken is what a take in a goroutine of its own has brought.
type taken struct {
	thread int
	err    error
}

// queueUp starts a take and returns when it waits.
func queueUp(t *testing.T, p *lease, ctx context.Context) <-chan taken {
	t.Helper()
	before := p.waiting()
	got := make(chan taken, 1)
	go func() {
		thread, err := p.Take(ctx, 0)
		got <- taken{thread, err}
	}()
	eventually(t, "one more to wait", func() bool { return p.waiting() == before+1 })
	return got
}

func TestLeaseGivesEachThreadOnce(t *testing.T) {
	p, board := testLease(3, 10, time.Minute)
	seen := map[int]bool{}
	for i := range 3 {
		want(t, "busy", board.Busy(0), i)
		seen[mustTake(t, p)] = true
	}
	want(t, "busy", board.Busy(0), 3)
	if len(seen) != 3 {
		t.Errorf("threads %v, want three different ones", seen)
	}
	p.Give(1)
	want(t, "busy", board.Busy(0), 2)
	want(t, "the thread that was given back", mustTake(t, p), 1)
}

func TestLeaseIsFirstComeFirstServed(t *testing.T) {
	p, board := testLease(1, 100, time.Minute)
	thread := mustTake(t, p)
	var queue []<-chan taken
	for range 20 {
		queue = append(queue, queueUp(t, p, t.Context()))
	}
	for i, first := range queue {
		for _, later := range queue[i:] {
			if len(later) != 0 {
				t.Fatal("a request overtook another")
			}
		}
		want(t, "waiting", p.waiting(), len(queue)-i)
		p.Give(thread)
		got := await(t, "the first in the queue", first)
		want(t, "its thread", got, taken{thread: thread})
		want(t, "busy after a hand-over", board.Busy(0), 1)
	}
	p.Give(thread)
	want(t, "busy", board.Busy(0), 0)
}

// A free thread is not for somebody who comes while others wait.
func TestLeaseNewcomerDoesNotOvertake(t *testing.T) {
	p, _ := testLease(1, 10, time.Minute)
	thread := mustTake(t, p)
	first := queueUp(t, p, t.Context())
	second := queueUp(t, p, t.Context())
	p.Give(thread)
	await(t, "the first", first)
	third := queueUp(t, p, t.Context())
	p.Give(thread)
	await(t, "the second", second)
	want(t, "the third has one", len(third), 0)
	p.Give(thread)
	await(t, "the third", third)
}

func TestLeaseDepth(t *testing.T) {
	for _, depth := range []int{0, 1, 5} {
		p, _ := testLease(1, depth, time.Minute)
		thread := mustTake(t, p)
		var queue []<-chan taken
		for range depth {
			queue = append(queue, queueUp(t, p, t.Context()))
		}
		for range 3 {
			if _, err := p.Take(t.Context(), 0); err != ErrQueueFull {
				t.Errorf("depth %d: %v, want %v", depth, err, ErrQueueFull)
			}
		}
		want(t, "waiting", p.waiting(), depth)
		for _, q := range queue { // those who were in it are not disturbed
			p.Give(thread)
			want(t, "error", await(t, "a place in the queue", q).err, nil)
		}
		p.Give(thread)
		want(t, "a free thread after all that", mustTake(t, p), thread)
	}
}

func TestLeaseTimeout(t *testing.T) {
	const timeout = 30 * time.Millisecond
	p, board := testLease(1, 10, timeout)
	thread := mustTake(t, p)
	started := time.Now()
	if _, err := p.Take(t.Context(), 0); err != ErrQueueTimeout {
		t.Errorf("%v, want %v", err, ErrQueueTimeout)
	}
	if waited := time.Since(started); waited < timeout {
		t.Errorf("gave up after %v of %v", waited, timeout)
	}
	want(t, "waiting", p.waiting(), 0)
	want(t, "oldest waiting", p.row.OldestWaiting.Load(), 0)
	p.Give(thread)
	want(t, "busy", board.Busy(0), 0)
}

func TestLeaseClientGone(t *testing.T) {
	p, board := testLease(1, 10, time.Minute)
	thread := mustTake(t, p)
	first := queueUp(t, p, t.Context())
	ctx, leave := context.WithCancel(t.Context())
	second := queueUp(t, p, ctx)
	third := queueUp(t, p, t.Context())
	leave()
	want(t, "error", await(t, "the second to leave", second).err, ErrClientGone)
	want(t, "waiting", p.waiting(), 2)
	p.Give(thread)
	want(t, "error", await(t, "the first", first).err, nil)
	p.Give(thread)
	want(t, "error", await(t, "the third", third).err, nil)
	p.Give(thread)
	want(t, "busy", board.Busy(0), 0)
}

// A thread that is handed over in the moment in which the waiter gives up is the waiter's: it would be lost otherwise.
func TestLeaseHandOverWins(t *testing.T) {
	p, _ := testLease(1, 10, 0) // the timer has always fired
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range 100 { // select chooses at random
		w := &waiter{place: make(chan Place, 1)}
		w.stand(&p.queue)
		p.leave(w) // as give does
		w.place <- Place{Thread: 7}
		if given, err := p.wait(gone.Done(), w); given.Thread != 7 || err != nil {
			t.Fatalf("thread %d, %v; want the 7 that was handed over", given.Thread, err)
		}
	}
}

func TestLeaseGauges(t *testing.T) {
	p, _ := testLease(1, 10, time.Minute)
	gauges := func(waiting int, oldest int64) {
		t.Helper()
		want(t, "waiting", p.waiting(), waiting)
		want(t, "oldest waiting", p.row.OldestWaiting.Load(), oldest)
	}
	gauges(0, 0)
	thread := mustTake(t, p)
	gauges(0, 0)
	start := p.clock.Now()
	first := queueUp(t, p, t.Context())
	oldest := p.row.OldestWaiting.Load()
	if now := p.clock.Now(); oldest < start || oldest > now {
		t.Errorf("oldest waits since %d, want %d..%d", oldest, start, now)
	}
	ctx, leave := context.WithCancel(t.Context())
	second := queueUp(t, p, ctx)
	gauges(2, oldest)
	third := queueUp(t, p, t.Context())
	p.Give(thread)
	await(t, "the first", first)
	if next := p.row.OldestWaiting.Load(); next <= oldest {
		t.Errorf("oldest waits since %d after the one of %d has gone", next, oldest)
	}
	leave()
	await(t, "the second to leave", second)
	want(t, "waiting", p.waiting(), 1)
	p.Give(thread)
	await(t, "the third", third)
	gauges(0, 0)
}
