package engine

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/pool"
)

// Held is the thread that a request has; it may be given back by another goroutine. The zero value is none.
type Held struct {
	thread atomic.Int32   // + 1; 0: none
	share  atomic.Int32   // + 1, of the thread that it has or had last, of a Worker with Shares; 0: none
	own    pool.Goroutine // of its connection, on which handlers run unless threads have goroutines
}

// Thread is the number of the thread, -1 for none.
func (h *Held) Thread() int { return int(h.thread.Load()) - 1 }

// Forget ends the account of a request that has been answered.
func (h *Held) Forget() {
	if h.share.Load() != 0 { // a store costs more than a load
		h.share.Store(0)
	}
}

// Adopt takes the thread over that another request, or the same one under another name, has, and whose it is.
func (h *Held) Adopt(other *Held) {
	h.thread.Store(other.thread.Swap(0))
	h.share.Store(other.share.Load())
}

// CountAs has what follows of the request counted for the worker whose thread another has, or had.
func (h *Held) CountAs(other *Held) { h.share.Store(other.share.Load()) }

// Keep notes a thread that was taken.
func (h *Held) Keep(thread int) { h.thread.Store(int32(thread) + 1) }

// Inline says that a handler runs where its request was read, with a thread that it is to Take. Else it is to Run.
func (w *Worker) Inline() bool { return w.runner == nil }

// Take waits for a thread, and notes it in held, unless the request has one already. It stands in line since it became readable; 0: now.
// bound is called if it has to wait: it tells why the request cannot be passed on to a sibling, as scoreboard.Stayed….
func (w *Worker) Take(ctx context.Context, held *Held, since int64, bound func() int) error {
	if w.has(held, bound) {
		return nil
	}
	thread, err := w.taker.Take(ctx, since)
	if err == nil {
		w.keep(held, thread)
	}
	return err
}

// Run is Take, and runs f on the thread's goroutine. It returns when f has.
func (w *Worker) Run(ctx context.Context, held *Held, since int64, bound func() int, f func()) error {
	w.has(held, bound)
	return w.runner.Run(ctx, since, held.Thread(), func(thread int) {
		w.keep(held, thread)
		f()
	})
}

// has says whether the request has a thread, now that it has tried to take one without waiting if it could be passed on.
func (w *Worker) has(held *Held, bound func() int) bool {
	if held.Thread() >= 0 {
		return true
	}
	if w.Line == nil {
		return false
	}
	if thread, ok := w.Line.TryTake(); ok {
		held.Keep(thread)
		return true
	}
	w.Row.Handoff.Stayed[bound()].Add(1)
	return false
}

// keep notes a thread, and whose it is.
func (w *Worker) keep(held *Held, thread int) {
	held.Keep(thread)
	if w.Shares != nil {
		held.share.Store(int32(thread/w.Config.Threads) + 1)
	}
}

// Account is the row in which a request is counted: that of the worker whose thread it has, or had until it is forgotten. One
// that has had no thread is the process's, which the row of the first worker stands for.
func (w *Worker) Account(held *Held) *scoreboard.Row {
	if w.Shares != nil {
		if share := held.share.Load(); share != 0 {
			return w.Shares[share-1]
		}
	}
	return w.Row
}

// Begin notes that a handler runs on the thread that was taken, and returns when it began. readable is when the request
// could have begun, entry its line in the access log; nil if there is none.
func (w *Worker) Begin(held *Held, readable int64, method, path string, entry *Entry) (started int64) {
	started = w.Clock.Now()
	w.Account(held).Wait.Observe(started - readable)
	w.Pool.Cell(held.Thread()).Begin(started, method, path)
	if entry != nil {
		if share := held.share.Load(); share != 0 {
			entry.slot.Store(share - 1)
		}
		entry.Started(started, time.Duration(started-readable))
	}
	return started
}

// End notes that the handler which began at started has ended, and gives its thread back.
func (w *Worker) End(held *Held, started int64, entry *Entry) {
	took := w.Clock.Now() - started
	row := w.Account(held)
	row.Duration.Observe(took)
	if held.Thread() < 0 {
		row.Detached.Add(took)
	}
	if entry != nil {
		entry.Handled(time.Duration(took))
	}
	w.GiveBack(held)
}

// GiveBack gives the thread back unless that has been done, as Hijack does before the handler returns.
func (w *Worker) GiveBack(held *Held) {
	if held.thread.Load() == 0 { // which costs less than a swap
		return
	}
	if t := held.thread.Swap(0); t != 0 && w.Pool.Give(int(t)-1) && w.Idle != nil {
		w.Idle()
	}
}
