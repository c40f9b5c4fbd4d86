package master

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/elastic"
	"github.com/prefork/cluster/master/journal"
)

// The number of workers follows the load between its bounds, says why, and an operator's number must lie between them too.
func TestElasticWorkers(t *testing.T) {
	inWorld(t, func(c *configs.Config) { c.Workers, c.Elastic, c.Threads = 2, 4, 3 }, nil, func(w *world) {
		look := func(l elastic.Look) {
			w.fake.mu.Lock()
			defer w.fake.mu.Unlock()
			w.fake.look = l
		}
		w.pass(20 * time.Second)
		if n := w.snapshot().Wanted; n != 2 {
			t.Fatalf("%d workers without load", n)
		}
		look(elastic.Look{Busy: 6, Waited: 50 * time.Millisecond})
		w.pass(40 * time.Second)
		if n := w.snapshot().Wanted; n != 4 {
			t.Fatalf("%d workers while requests wait", n)
		}
		var why string
		for _, e := range w.journal.Since(0) {
			if e.Name == journal.Scaled && why == "" {
				why, _ = e.Fields["why"].(string)
			}
		}
		if !strings.Contains(why, "requests have waited for a thread, the last for 50ms, with 6 of 6 threads busy") {
			t.Errorf("the reason is %q", why)
		}
		for to, says := range map[int]string{5: "between 2 and 4 the load decides", 1: "between 2 and 4 the load decides", 3: ""} {
			reply := make(chan scaleReply, 1)
			w.loop.events <- scaleRequest{to: to, reply: reply}
			if got := <-reply; (got.err == nil) != (says == "") || got.err != nil && !strings.Contains(got.err.Error(), says) {
				t.Errorf("to %d: %+v", to, got)
			}
		}
		look(elastic.Look{})
		w.pass(5 * time.Minute)
		if n := w.snapshot().Wanted; n != 2 {
			t.Errorf("%d workers after five minutes without load", n)
		}
		w.loop.events <- signalEvent{syscall.SIGTERM}
		w.code <- <-w.code
	})
}

// A machine without room is said so, once.
func TestElasticWithoutRoom(t *testing.T) {
	inWorld(t, func(c *configs.Config) { c.Workers, c.Elastic, c.Memory = 2, 4, 1<<30 }, nil, func(w *world) {
		w.fake.mu.Lock()
		w.fake.look = elastic.Look{Busy: 6, Waited: time.Second, Memory: 900 << 20, Largest: 300 << 20}
		w.fake.mu.Unlock()
		w.pass(time.Minute)
		kept := 0
		for _, e := range w.journal.Since(0) {
			if e.Name == journal.ScaleKept {
				kept++
			}
		}
		if n := w.snapshot().Wanted; n != 2 || kept != 1 {
			t.Errorf("%d workers, told %d times", n, kept)
		}
		w.loop.events <- signalEvent{syscall.SIGTERM}
		w.code <- <-w.code
	})
}

// Other bounds leave the number of workers as it is if it lies between them: the load that brought them is still there.
func TestElasticBoundsReloaded(t *testing.T) {
	inWorld(t, func(c *configs.Config) { c.Workers, c.Elastic = 2, 6 }, nil, func(w *world) {
		w.pass(2 * time.Second)
		scaled := make(chan scaleReply, 1)
		w.loop.events <- scaleRequest{to: 5, reply: scaled}
		if got := <-scaled; got.err != nil {
			t.Fatal(got.err)
		}
		for _, step := range []struct{ low, high, want int }{{2, 8, 5}, {6, 8, 6}, {2, 4, 4}, {3, 0, 3}, {2, 8, 3}} {
			r := w.reload(changed(w, func(c *configs.Config) { c.Workers, c.Elastic = step.low, step.high }))
			w.pass(2 * time.Second)
			if n := w.snapshot().Wanted; n != step.want {
				t.Errorf("%d workers with %d:%d, want %d (%+v)", n, step.low, step.high, step.want, r)
			}
		}
		w.loop.events <- signalEvent{syscall.SIGTERM}
		w.code <- <-w.code
	})
}
