package worker

import (
	"math"
	"runtime/metrics"
	"time"

	"github.com/prefork/cluster/worker/internal/kernel"
	"github.com/prefork/cluster/worker/internal/metronome"
)

// pulseInterval is how often the worker shows that it lives and looks at its connections' deadlines.
const pulseInterval = 500 * time.Millisecond

// quietPulse is the interval while no connection is open: what wakes an idle worker is most of what it costs. It leaves a
// second until the master calls a worker stalled.
const quietPulse = 2 * pulseInterval

// keepPulse beats until the metronome is stopped.
func (m *member) keepPulse(beat *metronome.Metronome) {
	v := newVitals(m)
	v.sample()
	for next := pulseInterval; beat.Wait(next); v.sample() {
		if next = pulseInterval; m.pulse() == 0 {
			next = quietPulse
		}
	}
}

// pulse stamps the heartbeat by way of the pool's dispatcher, so that it says: Go code runs and requests are dispatched. It
// looks at all connections, and returns how many there are.
func (m *member) pulse() int {
	m.Pool.Pass()
	m.settle()
	now := m.Clock.Now()
	m.coarse.Store(now)
	m.Row.Heartbeat.Store(now)
	m.mu.Lock()
	looked := make([]*conn, 0, len(m.conns))
	for c := range m.conns {
		looked = append(looked, c)
	}
	m.mu.Unlock()
	for _, c := range looked {
		c.look(now)
	}
	m.Expire(now)
	return len(looked)
}

// settle ends what a sibling has left behind that was stopped or killed: a reservation, or a hint that was never given.
func (m *member) settle() {
	if m.Line == nil {
		return
	}
	m.Line.Expire()
	if thread, ok := m.Line.TryTake(); ok && m.Line.Give(thread) {
		m.Idle()
	}
}

// vitals copies what the process and the Go runtime know of themselves into the row. The row's counters outlive
// processes, so what earlier workers of the seat have counted is the base.
type vitals struct {
	m           *member
	samples     []metrics.Sample
	cpu, gc     int64 // bases
	gcIdle      int64
	schedCounts []uint64
	schedMiddle []int64 // nanoseconds: the middle of each runtime bucket
}

const (
	sampleGC = iota
	sampleGCIdle
	sampleSched
	sampleHeap
	sampleGoroutines
)

func newVitals(m *member) *vitals {
	return &vitals{
		m: m, cpu: m.Row.CPU.Load(), gc: m.Row.GCCPU.Load(), gcIdle: m.Row.GCIdle.Load(),
		samples: []metrics.Sample{
			{Name: "/cpu/classes/gc/total:cpu-seconds"},
			{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"},
			{Name: "/sched/latencies:seconds"},
			{Name: "/memory/classes/heap/objects:bytes"},
			{Name: "/sched/goroutines:goroutines"},
		},
	}
}

func (v *vitals) sample() {
	metrics.Read(v.samples)
	row := v.m.Row
	v.m.countDropped()
	row.CPU.Store(v.cpu + kernel.CPU())
	row.GCCPU.Store(v.gc + int64(v.samples[sampleGC].Value.Float64()*1e9))
	row.GCIdle.Store(v.gcIdle + int64(v.samples[sampleGCIdle].Value.Float64()*1e9))
	row.Heap.Store(int64(v.samples[sampleHeap].Value.Uint64()))
	row.Goroutines.Store(int64(v.samples[sampleGoroutines].Value.Uint64()))
	v.schedule(v.samples[sampleSched].Value.Float64Histogram())
}

// schedule adds what the runtime's histogram has gained to the row's.
func (v *vitals) schedule(h *metrics.Float64Histogram) {
	if v.schedCounts == nil {
		v.schedCounts = make([]uint64, len(h.Counts))
		v.schedMiddle = make([]int64, len(h.Counts))
		for i := range h.Counts {
			v.schedMiddle[i] = middle(h.Buckets[i], h.Buckets[i+1])
		}
	}
	for i, n := range h.Counts {
		if gained := int64(n - v.schedCounts[i]); gained > 0 {
			each := v.schedMiddle[i]
			v.m.Row.Sched.Add(each, gained, each*gained)
			v.schedCounts[i] = n
		}
	}
}

func middle(low, high float64) int64 {
	switch {
	case math.IsInf(low, -1):
		return 0
	case math.IsInf(high, 1):
		return int64(low * 1e9)
	}
	return int64((low + high) / 2 * 1e9)
}
