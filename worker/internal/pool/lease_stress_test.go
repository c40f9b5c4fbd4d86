package pool

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Takers come, wait, lose patience and leave, all at once. Never do more run than there are threads, never two in one,
// and no thread is lost.
func TestLeaseStress(t *testing.T) {
	t.Parallel()
	const threads, takers = 3, 24
	p, board := testLease(threads, takers/2, 300*time.Microsecond)
	var running, full, late, gone, served atomic.Int64
	var users [threads]atomic.Int64
	end := time.Now().Add(500 * time.Millisecond)
	var wg sync.WaitGroup
	for seed := range uint64(takers) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			for time.Now().Before(end) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(600))*time.Microsecond)
				thread, err := p.Take(ctx, 0)
				switch err {
				case nil:
					if n := running.Add(1); n > threads {
						t.Errorf("%d run on %d threads", n, threads)
					}
					if n := users[thread].Add(1); n != 1 {
						t.Errorf("%d run on thread %d", n, thread)
					}
					for range random.IntN(2000) {
						users[thread].Load()
					}
					served.Add(1)
					users[thread].Add(-1)
					running.Add(-1)
					p.Give(thread)
				case ErrQueueFull:
					full.Add(1)
				case ErrQueueTimeout:
					late.Add(1)
				case ErrClientGone:
					gone.Add(1)
				default:
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	t.Logf("%d served, %d found the queue full, %d timed out, %d left", served.Load(), full.Load(), late.Load(), gone.Load())
	if served.Load() == 0 {
		t.Error("nobody was served")
	}
	wantAllFree(t, p, board.Busy(0), threads)
}

// Hand-over against timeout and against the client's leaving, as close to each other as can be arranged.
func TestLeaseHandOverRace(t *testing.T) {
	for _, test := range []struct {
		name    string
		timeout time.Duration
		leave   bool
	}{
		{"timeout", 20 * time.Microsecond, false},
		{"leaving", time.Minute, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, board := testLease(1, 10, test.timeout)
			won, lost := 0, 0
			spin := func() {
				for range rand.IntN(3000) {
					p.row.Waiting.Load()
				}
			}
			for range 1500 {
				holder := mustTake(t, p)
				ctx, leave := context.WithCancel(t.Context())
				got := make(chan taken, 1)
				go func() {
					thread, err := p.Take(ctx, 0)
					got <- taken{thread, err}
				}()
				for p.waiting() == 0 && len(got) == 0 {
					runtime.Gosched()
				}
				if test.leave {
					go func() {
						spin()
						leave()
					}()
				}
				spin()
				p.Give(holder)
				if second := <-got; second.err == nil {
					won++
					p.Give(second.thread)
				} else {
					lost++
				}
				leave()
				want(t, "busy", board.Busy(0), 0)
			}
			t.Logf("%d had a thread, %d not", won, lost)
			wantAllFree(t, p, board.Busy(0), 1)
		})
	}
}

// wantAllFree takes every thread without waiting.
func wantAllFree(t *testing.T, p *lease, busy, threads int) {
	t.Helper()
	want(t, "busy", busy, 0)
	want(t, "waiting", p.waiting(), 0)
	want(t, "oldest waiting", p.row.OldestWaiting.Load(), 0)
	now, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range threads {
		if _, err := p.Take(now, 0); err != nil {
			t.Errorf("thread %d of %d is lost: %v", i+1, threads, err)
		}
	}
	if _, err := p.Take(now, 0); err == nil {
		t.Errorf("more than %d threads", threads)
	}
}

func TestTakeGiveAllocatesNothing(t *testing.T) {
	p, _ := testLease(3, 10, time.Minute)
	if n := testing.AllocsPerRun(100, func() { p.Give(mustTake(t, p)) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// At most 100 ns and no allocation.
func BenchmarkTakeGive(b *testing.B) {
	p, _ := testLease(3, 10, time.Minute)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		thread, err := p.Take(ctx, 0)
		if err != nil {
			b.Fatal(err)
		}
		p.Give(thread)
	}
}
