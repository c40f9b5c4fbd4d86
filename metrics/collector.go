package metrics

import (
	"cmp"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/metrics/rates"
)

// Collector reads the world at scrape time.
type Collector struct {
	source Source
	memory *Sampler
}

// NewCollector collects what source shows and memory has sampled.
func NewCollector(source Source, memory *Sampler) *Collector {
	return &Collector{source: source, memory: memory}
}

// Gather returns all series, those of the application included: see prometheus.Gatherer. It never fails.
func (c *Collector) Gather() ([]*dto.MetricFamily, error) {
	v := c.source.View()
	p := newPen()
	p.gauge(buildInfo, 1, v.Version, runtime.Version())
	p.gauge(startTime, float64(v.Started.UnixMilli())/1e3)
	p.gauge(workersWanted, float64(v.Wanted))
	p.gauge(workersReady, float64(v.Ready))
	p.gauge(generation, float64(v.Generation))
	for _, r := range v.Rollouts {
		p.counter(rollouts, float64(r.Count), r.Outcome, r.Reason)
	}
	p.counter(masterCPU, ownCPU().Seconds())
	own := c.memory.Of(os.Getpid())
	p.gauge(masterPSS, float64(own.PSS))
	p.gauge(masterAnon, float64(own.Anonymous))
	p.counter(logDropped, float64(v.LogDropped))
	c.pressure(p, &v.Pressure)
	for _, w := range v.Workers {
		if w.PID != 0 {
			p.gauge(workerInfo, 1, strconv.Itoa(w.Slot), strconv.Itoa(w.PID), strconv.Itoa(w.Generation))
		}
	}
	if v.Slots > 0 {
		c.backlog(p, &v, 0, true, allSlots)
	}
	for slot := range v.Slots {
		c.slot(p, &v, slot, strconv.Itoa(slot))
	}
	p.application(&v.Application)
	ours, theirs := p.all(), c.source.Families()
	i, _ := slices.BinarySearchFunc(theirs, *ours[0].Name, func(f *dto.MetricFamily, name string) int { return cmp.Compare(f.GetName(), name) })
	return slices.Insert(theirs, i, ours...), nil // no name of theirs lies between two of ours
}

// slot sends the series of one slot. Both seats count: their rows outlive their workers.
func (c *Collector) slot(p pen, v *View, slot int, label string) {
	rows := [2]*scoreboard.Row{v.Board.Row(2 * slot), v.Board.Row(2*slot + 1)}
	sum := func(read func(r *scoreboard.Row) int64) float64 { return float64(read(rows[0]) + read(rows[1])) }
	seconds := func(read func(r *scoreboard.Row) int64) float64 { return sum(read) / float64(time.Second) }

	for i, class := range classes {
		p.counter(requests, sum(func(r *scoreboard.Row) int64 { return r.Requests[i].Load() }), label, class)
	}
	p.counter(refused, sum(func(r *scoreboard.Row) int64 { return r.Refused.Load() }), label)
	p.counter(timedOut, sum(func(r *scoreboard.Row) int64 { return r.TimedOut.Load() }), label)
	p.counter(panics, sum(func(r *scoreboard.Row) int64 { return r.Panics.Load() }), label)
	for i, part := range rates.Names {
		p.counter(requestTime, v.Time[slot][i], label, part)
	}
	p.counter(lostLines, sum(func(r *scoreboard.Row) int64 { return r.LogDropped.Load() }), label)
	p.counter(lostOutput, float64(v.OutputLost[slot]), label)
	p.counter(accepted, sum(func(r *scoreboard.Row) int64 { return r.Accepted.Load() }), label)
	p.counter(cpu, seconds(func(r *scoreboard.Row) int64 { return r.CPU.Load() }), label)
	p.counter(gcCPU, seconds(func(r *scoreboard.Row) int64 { return r.GCCPU.Load() }), label)
	p.histogram(duration, label, &rows[0].Duration, &rows[1].Duration)
	p.histogram(queueWait, label, &rows[0].Wait, &rows[1].Wait)
	p.histogram(sched, label, &rows[0].Sched, &rows[1].Sched)
	p.gauge(open, sum(func(r *scoreboard.Row) int64 { return r.Open.Load() }), label)
	p.gauge(waiting, sum(func(r *scoreboard.Row) int64 { return r.Waiting.Load() }), label)
	p.gauge(heap, sum(func(r *scoreboard.Row) int64 { return r.Heap.Load() }), label)
	p.gauge(goroutines, sum(func(r *scoreboard.Row) int64 { return r.Goroutines.Load() }), label)
	p.gauge(threadsBusy, float64(v.Board.Busy(2*slot)+v.Board.Busy(2*slot+1)), label)
	since := int64(0)
	for _, r := range rows {
		if t := r.OldestWaiting.Load(); t != 0 && (since == 0 || t < since) {
			since = t
		}
	}
	age := 0.0
	if since != 0 {
		age = float64(max(0, v.Now-since)) / float64(time.Second)
	}
	p.gauge(oldest, age, label)
	p.handoff(HandoffOf(v.Board, slot, slot+1), label)

	for i, reason := range v.Reasons {
		p.counter(exits, float64(v.Left[slot][i]), label, reason)
	}
	c.backlog(p, v, slot, false, label)
	c.workers(p, v, slot, label)
}

// pressure sends what the machine tells of it.
func (c *Collector) pressure(p pen, of *rates.Pressure) {
	if of.ThrottledSeconds != nil {
		p.counter(throttled, *of.ThrottledSeconds)
	}
	for resource, share := range map[string]*float64{"cpu": of.CPU, "memory": of.Memory, "io": of.IO} {
		if share != nil {
			p.gauge(pressure, *share, resource)
		}
	}
}

// backlog sends the accept queues of one slot's own listeners, or of those that all slots share.
func (c *Collector) backlog(p pen, v *View, slot int, shared bool, label string) {
	for i, b := range v.Binds {
		if b.Shared != shared {
			continue
		}
		if n, limit, ok := c.source.Queue(slot, i); ok {
			p.gauge(backlog, float64(n), label, b.Name)
			p.gauge(backlogLimit, float64(limit), label, b.Name)
		}
	}
}

// workers sends what only living workers have.
func (c *Collector) workers(p pen, v *View, slot int, label string) {
	var memory Memory
	serving, states := 0, map[string]int{} // threads of those that serve
	silence := int64(-1)                   // the longest of the slot's ready workers
	for _, w := range v.Workers {
		if w.Slot != slot {
			continue
		}
		states[w.State]++
		m := c.memory.Of(w.PID)
		memory.PSS += m.PSS
		memory.Anonymous += m.Anonymous
		if w.Serves {
			serving += w.Threads
			// 0: it has just died and its row was cleared, which the view does not show yet.
			if beat := v.Board.Row(w.Seat).Heartbeat.Load(); beat != 0 {
				silence = max(silence, v.Now-beat, 0)
			}
		}
	}
	if silence >= 0 {
		p.gauge(heartbeat, float64(silence)/float64(time.Second), label)
	}
	for _, state := range v.States {
		p.gauge(workerState, float64(states[state]), label, state)
	}
	p.gauge(threads, float64(serving), label)
	p.gauge(pss, float64(memory.PSS), label)
	p.gauge(anonymous, float64(memory.Anonymous), label)
}
