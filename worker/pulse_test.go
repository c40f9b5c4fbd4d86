package worker

import (
	"context"
	"math"
	"net/http"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/kernel"
	"github.com/prefork/cluster/worker/internal/pool"
)

// The heartbeat goes through the dispatcher: while nothing can be dispatched there is none.
func TestHeartbeatGoesThroughThePool(t *testing.T) {
	m := newTestMember(testConfig())
	for range m.Config.Threads {
		if _, err := m.Pool.(pool.Taker).Take(t.Context(), 0); err != nil { // long requests are no reason to miss a beat
			t.Fatal(err)
		}
	}
	before := m.Clock.Now()
	m.pulse()
	beat := m.Row.Heartbeat.Load()
	if beat < before || beat > m.Clock.Now() {
		t.Errorf("heartbeat %d, want %d..%d", beat, before, m.Clock.Now())
	}
	want(t, "coarse clock", m.coarse.Load(), beat)

	var dispatcher sync.Mutex
	m.Pool = stuck{m.Pool, &dispatcher}
	dispatcher.Lock()
	done := make(chan struct{})
	go func() {
		m.pulse()
		close(done)
	}()
	passed(time.Now().Add(20 * time.Millisecond))
	want(t, "heartbeat while the dispatcher is stuck", m.Row.Heartbeat.Load(), beat)
	dispatcher.Unlock()
	await(t, "the pulse", done)
	if m.Row.Heartbeat.Load() <= beat {
		t.Error("no heartbeat after the dispatcher went on")
	}
}

// stuck is a pool whose dispatcher can be held up.
type stuck struct {
	pool.Pool
	dispatcher *sync.Mutex
}

func (s stuck) Pass() {
	s.dispatcher.Lock()
	defer s.dispatcher.Unlock()
}

func TestPulseGoesOn(t *testing.T) {
	t.Parallel()
	w := startWorker(t, http.HandlerFunc(hello))
	first := w.Row.Heartbeat.Load()
	if first == 0 {
		t.Error("ready before the first heartbeat")
	}
	eventually(t, "two more heartbeats", func() bool { return w.Row.Heartbeat.Load() > first+int64(pulseInterval)*3/2 })
	for name, v := range map[string]int64{
		"CPU": w.Row.CPU.Load(), "heap": w.Row.Heap.Load(), "goroutines": w.Row.Goroutines.Load(), "scheduling latencies": count(&w.Row.Sched),
	} {
		if v <= 0 {
			t.Errorf("%s: %d", name, v)
		}
	}
}

// A seat's counters go on where the worker before has left them; gauges are of this process.
func TestVitalsAddToTheSeat(t *testing.T) {
	m := newTestMember(testConfig())
	m.Row.CPU.Store(int64(time.Hour))
	m.Row.GCCPU.Store(int64(time.Minute))
	m.Row.GCIdle.Store(int64(time.Minute))
	runtime.GC() // the runtime counts at the end of a collection
	m.Row.Heap.Store(1)
	m.Row.Sched.Add(1, 1000, 1000)
	v := newVitals(m)
	v.sample()
	if cpu := m.Row.CPU.Load(); cpu <= int64(time.Hour) || cpu > int64(2*time.Hour) {
		t.Errorf("CPU %v", time.Duration(cpu))
	}
	if gc := m.Row.GCCPU.Load(); gc < int64(time.Minute) {
		t.Errorf("GC CPU %v", time.Duration(gc))
	}
	if idle := m.Row.GCIdle.Load(); idle < int64(time.Minute) || idle > m.Row.GCCPU.Load() {
		t.Errorf("GC CPU %v, idle %v", time.Duration(m.Row.GCCPU.Load()), time.Duration(idle))
	}
	if heap := m.Row.Heap.Load(); heap < 1000 {
		t.Errorf("heap %d", heap)
	}
	if n := count(&m.Row.Sched); n <= 1000 {
		t.Errorf("%d scheduling latencies", n)
	}
	before := m.Row.CPU.Load()
	v.sample()
	if m.Row.CPU.Load() < before {
		t.Error("the CPU counter went back")
	}
}

// Only what the runtime's histogram has gained since the last look is added.
func TestSchedulingLatenciesAreAddedOnce(t *testing.T) {
	m := newTestMember(testConfig())
	v := newVitals(m)
	h := &metrics.Float64Histogram{Buckets: []float64{math.Inf(-1), 0, 0.002, 0.004, math.Inf(1)}, Counts: []uint64{0, 2, 1, 0}}
	sums := func() (n int64, sum time.Duration) {
		var c scoreboard.Counts
		m.Row.Sched.AddTo(&c)
		return c.Count(), c.Sum
	}
	check := func(n int64, sum time.Duration) {
		t.Helper()
		gotN, gotSum := sums()
		want(t, "observations", gotN, n)
		want(t, "sum", gotSum, sum)
	}
	v.schedule(h)
	check(3, 5*time.Millisecond)
	v.schedule(h)
	check(3, 5*time.Millisecond)
	h.Counts[3]++
	h.Counts[1]++
	v.schedule(h)
	check(5, 10*time.Millisecond)
}

func TestMiddleOfABucket(t *testing.T) {
	for _, test := range []struct {
		low, high float64
		want      int64
	}{
		{math.Inf(-1), 0.5, 0},
		{0, 1e-9, 0},
		{1e-6, 3e-6, 2000},
		{4, math.Inf(1), 4e9},
	} {
		want(t, "middle", middle(test.low, test.high), test.want)
	}
}

func TestProcessCPU(t *testing.T) {
	before := kernel.CPU()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for ctx.Err() == nil { // burn some
	}
	if after := kernel.CPU(); before <= 0 || after <= before {
		t.Errorf("%d ns, then %d", before, after)
	}
}
