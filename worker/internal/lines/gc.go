package lines

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// GCClock tells how much CPU time the garbage collector has spent in this process. It costs a request nothing but an atomic
// load: it is read anew once at the end of each collection. So a collection counts as a whole, for the requests in which it
// ended; and since the runtime announces its end a little later, now and then for one that began right after.
type GCClock struct {
	spent   atomic.Int64 // nanoseconds
	stopped atomic.Bool
	mu      sync.Mutex
	sample  []metrics.Sample
}

// sentinel is garbage from its birth: that it was collected shows that a collection has ended. It has a pointer in it, for
// the runtime puts small things without one together into blocks that live longer.
type sentinel struct{ _ *byte }

// NewGCClock starts a clock. It costs a small allocation and a reading of runtime/metrics for each collection.
func NewGCClock() *GCClock {
	c := &GCClock{sample: []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}}
	c.read()
	c.watch()
	return c
}

// Spent is the CPU time of the collector from the start of the process to the end of its last collection.
func (c *GCClock) Spent() time.Duration { return time.Duration(c.spent.Load()) }

// Stop ends the clock: it stands still from the next collection on at the latest.
func (c *GCClock) Stop() { c.stopped.Store(true) }

func (c *GCClock) watch() {
	runtime.AddCleanup(&sentinel{}, (*GCClock).collected, c)
}

func (c *GCClock) collected() {
	if c.stopped.Load() {
		return
	}
	c.watch()
	c.read()
}

// read takes a lock, since cleanups may run at the same time.
func (c *GCClock) read() {
	c.mu.Lock()
	defer c.mu.Unlock()
	metrics.Read(c.sample)
	c.spent.Store(int64(c.sample[0].Value.Float64() * 1e9))
}
