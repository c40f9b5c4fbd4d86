package master

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/front"
	"github.com/prefork/cluster/master/plan"
)

func passed(c *configs.Config) { c.Dispatch = "passed" }

func (w *world) expectFront(state front.State, starts int) {
	w.Helper()
	f := w.snapshot().Front
	if f == nil || f.State != state || f.Starts != starts {
		w.Errorf("the front is %+v, want %v after %d starts\n%s", f, state, starts, w.log)
	}
}

func (w *world) signals() string {
	w.fake.mu.Lock()
	defer w.fake.mu.Unlock()
	return strings.Join(w.fake.signals, ", ")
}

// The cluster is ready when the front is, too, and not while there is none.
func TestFrontIsPartOfReady(t *testing.T) {
	inWorld(t, passed, nil, func(w *world) {
		w.pass(5 * time.Millisecond)
		w.expectFront(front.Starting, 1)
		w.pass(10 * time.Millisecond)
		w.expectFront(front.Serving, 1)
		if s := w.snapshot().state(); s != "ready" {
			t.Errorf("the cluster is %s", s)
		}
		w.loop.events <- exitEvent{pid: w.snapshot().Front.PID, status: plan.ExitStatus{Code: -1, Signal: syscall.SIGKILL}}
		w.pass(time.Millisecond)
		w.expectFront(front.Starting, 2)
		if s := w.snapshot().state(); s != "degraded" {
			t.Errorf("without a front the cluster is %s", s)
		}
		w.pass(10 * time.Millisecond)
		w.expectFront(front.Serving, 2)
		w.expect("1 1 1")
		if n := len(w.snapshot().Deaths); n != 0 {
			t.Errorf("%d workers died of it", n)
		}
	})
}

// At a stop the front leaves first: the workers serve what it has begun.
func TestFrontLeavesFirst(t *testing.T) {
	inWorld(t, passed, nil, func(w *world) {
		w.pass(100 * time.Millisecond)
		w.loop.events <- signalEvent{syscall.SIGTERM}
		w.pass(40 * time.Millisecond)
		w.expectFront(front.Leaving, 1)
		w.expect("1 1 1")
		w.pass(15 * time.Millisecond)
		w.expectFront(front.Gone, 1)
		w.expect("0 0 0")
		if code := <-w.code; code != plan.ExitClean {
			t.Errorf("exit code %d", code)
		}
		w.code <- 0
		if got := w.signals(); got != "front terminated" {
			t.Errorf("signals: %s", got)
		}
	})
}

// One that does not leave is killed after the drain timeout, and at once by a second wish.
func TestFrontThatStays(t *testing.T) {
	deaf := map[int]behaviour{0: {deaf: true}}
	inWorld(t, passed, deaf, func(w *world) {
		w.pass(100 * time.Millisecond)
		w.loop.events <- signalEvent{syscall.SIGTERM}
		w.pass(31 * time.Second)
		w.expectFront(front.Leaving, 1)
		w.pass(1100 * time.Millisecond)
		w.expectFront(front.Gone, 1)
		if got := w.signals(); got != "front terminated, front killed" {
			t.Errorf("signals: %s", got)
		}
	})
	inWorld(t, passed, deaf, func(w *world) {
		w.pass(100 * time.Millisecond)
		w.loop.events <- signalEvent{syscall.SIGTERM}
		w.pass(time.Second)
		w.loop.events <- signalEvent{syscall.SIGTERM}
		if code := <-w.code; code != plan.ExitForced {
			t.Errorf("exit code %d", code)
		}
		w.code <- 0
		if got := w.signals(); !strings.Contains(got, "front killed") {
			t.Errorf("signals: %s", got)
		}
	})
}

// A front that cannot be started is tried again; if none ever could, the start has failed.
func TestFrontCannotBeStarted(t *testing.T) {
	for failures, want := range map[int]int{2: plan.ExitClean, 3: plan.ExitFailure} {
		inWorld(t, passed, map[int]behaviour{0: {refused: failures}}, func(w *world) {
			w.pass(time.Second)
			if want == plan.ExitClean {
				w.expectFront(front.Serving, failures+1)
				return
			}
			if code := <-w.code; code != want {
				t.Errorf("after %d failures: exit code %d", failures, code)
			}
			w.code <- 0
		})
	}
}
