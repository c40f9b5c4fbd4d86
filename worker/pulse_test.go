package worker

import (
	"context"
	"math"
	"net/http"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// The heartbeat goes through the dispatcher: while nothing can be dispatched there is none.
func TestHeartbeatGoesThroughThePool(t *testing.T) {
	m := newTestMember(testConfig())
	for range m.config.Threads {
		mustTake(t, m.pool) // long requests are no reason to miss a beat
	}
	before := m.clock.Now()
	m.pulse()
	beat := m.row.Heartbeat.Load()
	if beat < before || beat > m.clock.Now() {
		t.Errorf("heartbeat %d, want %d..%d", beat, before, m.clock.Now())
	}
	want(t, "coarse clock", m.coarse.Load(), beat)

	m.pool.mu.Lock()
	done := make(chan struct{})
	go func() {
		m.pulse()
		close(done)
	}()
	passed(time.Now().Add(20 * time.Millisecond))
	want(t, "heartbeat while the dispatcher is stuck", m.row.Heartbeat.Load(), beat)
	m.pool.mu.Unlock()
	await(t, "the pulse", done)
	if m.row.Heartbeat.Load() <= beat {
		t.Error("no heartbeat after the dispatcher went on")
	}
}

func TestPulseGoesOn(t *testing.T) {
	t.Parallel()
	w := startWorker(t, http.HandlerFunc(hello))
	first := w.row.Heartbeat.Load()
	if first == 0 {
		t.Error("ready before the first heartbeat")
	}
	eventually(t, "two more heartbeats", func() bool { return w.row.Heartbeat.Load() > first+int64(pulseInterval)*3/2 })
	for name, v := range map[string]int64{
		"CPU": w.row.CPU.Load(), "heap": w.row.Heap.Load(), "goroutines": w.row.Goroutines.Load(), "scheduling latencies": count(&w.row.Sched),
	} {
		if v <= 0 {
			t.Errorf("%s: %d", name, v)
		}
	}
}

// A seat's counters go on where the worker before has left them; gauges are of this process.
func TestVitalsAddToTheSeat(t *testing.T) {
	m := newTestMember(testConfig())
	m.row.CPU.Store(int64(time.Hour))
	m.row.GCCPU.Store(int64(time.Minute))
	m.row.Heap.Store(1)
	m.row.Sched.Add(1, 1000, 1000)
	v := newVitals(m)
	v.sample()
	if cpu := m.row.CPU.Load(); cpu <= int64(time.Hour) || cpu > int64(2*time.Hour) {
		t.Errorf("CPU %v", time.Duration(cpu))
	}
	if gc := m.row.GCCPU.Load(); gc < int64(time.Minute) {
		t.Errorf("GC CPU %v", time.Duration(gc))
	}
	if heap := m.row.Heap.Load(); heap < 1000 {
		t.Errorf("heap %d", heap)
	}
	if n := count(&m.row.Sched); n <= 1000 {
		t.Errorf("%d scheduling latencies", n)
	}
	before := m.row.CPU.Load()
	v.sample()
	if m.row.CPU.Load() < before {
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
		m.row.Sched.AddTo(&c)
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
	before := processCPU()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for ctx.Err() == nil { // burn some
	}
	if after := processCPU(); before <= 0 || after <= before {
		t.Errorf("%d ns, then %d", before, after)
	}
}
