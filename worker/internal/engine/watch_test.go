package engine

import (
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/pool"
)

func limitedWorker(t *testing.T) *Worker {
	t.Helper()
	w := &Worker{Row: scoreboard.Private(1).Row(0), Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Clock: scoreboard.NewClock()}
	p, err := pool.New(pool.Kind{}, nil, w.Row, w.Clock, pool.Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	w.SetPool(p)
	w.limits.Store(&ipc.Limits{RequestTimeout: time.Hour})
	return w
}

// Whatever the moment, the handler's side and the watch agree on whose the answer is.
func TestApartAtTheDeadline(t *testing.T) {
	t.Parallel()
	w := limitedWorker(t)
	late := int64(0)
	for round := range 2000 {
		var given atomic.Bool
		l := NewLimited(func() bool { return round%5 > 0 }, func() { given.Store(true) })
		begun := make(chan struct{})
		ended := make(chan bool, 1)
		go func() {
			<-begun
			w.Expire(w.Clock.Now() + int64(2*time.Hour))
		}()
		returned := Apart(l, func() {
			w.Limit(l, &Held{}, w.Clock.Now(), "GET", "/")
			close(begun)
			for range rand.IntN(20) {
				runtime.Gosched()
			}
			ended <- w.Ended(l)
		})
		if wasLate := <-ended; returned == wasLate || given.Load() != wasLate {
			t.Fatalf("round %d: returned %v, late %v, given %v", round, returned, wasLate, given.Load())
		} else if wasLate {
			late++
		}
	}
	if n := w.Row.TimedOut.Load(); n != late {
		t.Errorf("%d counted of %d", n, late)
	}
	if len(w.watch.running) != 0 {
		t.Errorf("%d are left", len(w.watch.running))
	}
	t.Logf("%d times late", late)
}

// A handler that is left behind may end as it likes; one that is not ends its caller in the same way.
func TestApartEnds(t *testing.T) {
	t.Parallel()
	l := NewLimited(func() bool { return true }, func() {})
	func() {
		defer func() {
			if v := recover(); v != "no reason" {
				t.Errorf("the panic is %v", v)
			}
		}()
		Apart(l, func() { panic("no reason") })
	}()
	l.late.Store(true)
	close(l.over)
	if Apart(l, func() { panic("no reason") }) {
		t.Error("it was in time")
	}
}

func TestStackOf(t *testing.T) {
	t.Parallel()
	all := []byte("goroutine 1 [running]:\nmain.main()\n\ngoroutine 12 [select, 2 minutes]:\nmain.twelve()\n\ngoroutine 123 [chan receive]:\nmain.many()\n")
	for goroutine, want := range map[uint64]string{1: "main.main", 12: "main.twelve", 123: "main.many", 2: "has ended", 0: "has ended"} {
		if got := stackOf(all, goroutine); !strings.Contains(got, want) || strings.Count(got, "main.") > 1 {
			t.Errorf("goroutine %d: %q", goroutine, got)
		}
	}
}

// The process stands still for stacks, so they are not taken one after the other without end.
func TestStacksRest(t *testing.T) {
	t.Parallel()
	var w watch
	if all, taken := w.stacks(); !taken || !strings.Contains(string(all), "TestStacksRest") {
		t.Errorf("%v, %q", taken, all)
	}
	w.rest = time.Now().Add(time.Hour)
	if _, taken := w.stacks(); taken {
		t.Error("it takes no rest")
	}
}
