package report

import (
	"strings"
	"time"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/target"
)

// A Figure is a number that a table can show of a trial.
type Figure struct {
	Name   string // in suite.Table
	Header string
	Unit   string // empty: a count or a ratio
	Digits int    // behind the decimal point
	Lower  bool   // is better
	Total  bool   // of all rounds is shown, not the median: what was lost in one round only must be seen
	Needs  string // what it takes to know it, for people
	Of     func(record.Trial) (value float64, ok bool)
}

// Column is the header with the unit.
func (f Figure) Column() string {
	if f.Unit == "" {
		return f.Header
	}
	return f.Header + ", " + f.Unit
}

const (
	needsAnswers  = "known only of a load that was answered"
	needsUsage    = "known only of a load that was answered, where the processes can be read (Linux)"
	needsTool     = "known only of a load that was answered, if its tool tells"
	needsService  = "known only of an open loop that asks for a service time"
	needsMemory   = "known only where the processes can be read (Linux)"
	needsPSS      = "known only where there is /proc/PID/smaps_rollup"
	needsSchedule = "known only of a load that was answered, where there is /proc/PID/schedstat"
	needsMaster   = needsPSS + ", of a target with a master"
	needsThreads  = needsPSS + ", of a target whose number of workers and threads is given"
	needsEvents   = "known only of a step with events none of which failed"
	needsCounters = "known only of a cluster under load, which counts it itself"
	needsHandoff  = "known only of a cluster under load that counts handoffs"
)

// Figures are all that tables may name. What is per request, or per 1,000 of them (‰), is per answered one; a MiB is 2²⁰
// bytes, because the kernel counts memory in KiB, and the limits of cgroups and of Go's heap are set in MiB. Memory that names
// no moment is that in the last moments of the load; of a step without one, that after its event.
func Figures() []Figure {
	return []Figure{
		{Name: "rate", Header: "rate", Unit: "requests/s", Needs: needsAnswers, Of: rate},
		{Name: "cpu", Header: "CPU", Unit: "µs/request", Digits: 2, Lower: true, Needs: needsUsage, Of: perRequest(record.Trial.Serving)},
		{Name: "cpu_all", Header: "CPU with master", Unit: "µs/request", Digits: 2, Lower: true, Needs: needsUsage, Of: perRequest(record.Trial.CPU)},
		{Name: "gen_cpu", Header: "generator", Unit: "µs/request", Digits: 2, Lower: true, Needs: needsUsage, Of: perRequest(generator)},
		{Name: "efficiency", Header: "efficiency", Unit: "requests/CPU second", Needs: needsUsage, Of: efficiency},
		{Name: "of_slots", Header: "of threads ÷ wait", Unit: "%", Needs: "known only of loads that wait in a target whose number of threads is known", Of: ofSlots},
		{Name: "ok", Header: "ok", Total: true, Needs: needsAnswers, Of: succeeded},
		{Name: "lost", Header: "lost", Lower: true, Total: true, Needs: needsAnswers, Of: lost},
		{Name: "late", Header: "sent late", Unit: "%", Digits: 2, Lower: true, Needs: "known only of an open loop", Of: late},

		latency("p50", func(d load.Distribution) time.Duration { return d.P50 }),
		latency("p90", func(d load.Distribution) time.Duration { return d.P90 }),
		latency("p99", func(d load.Distribution) time.Duration { return d.P99 }),
		latency("p999", func(d load.Distribution) time.Duration { return d.P999 }),
		latency("max", func(d load.Distribution) time.Duration { return d.Max }),
		latency("mean", func(d load.Distribution) time.Duration { return d.Mean }),
		latency("sd", func(d load.Distribution) time.Duration { return d.SD }),
		wait("p50", func(d load.Distribution) time.Duration { return d.P50 }),
		wait("p90", func(d load.Distribution) time.Duration { return d.P90 }),
		wait("p99", func(d load.Distribution) time.Duration { return d.P99 }),
		wait("p999", func(d load.Distribution) time.Duration { return d.P999 }),
		wait("max", func(d load.Distribution) time.Duration { return d.Max }),

		memory("idle_pss", "PSS idle", needsPSS, func(t record.Trial) (int64, int) { return t.Idle.Serving.PSS, 1 }),
		memory("loaded_pss", "PSS loaded", needsPSS, func(t record.Trial) (int64, int) { return t.Loaded.Serving.PSS, 1 }),
		memory("rest_pss", "PSS after the load", needsPSS, func(t record.Trial) (int64, int) { return t.Rest.Serving.PSS, 1 }),
		memory("master_pss", "PSS of the master", needsMaster, func(t record.Trial) (int64, int) { return moment(t).Master.PSS, 1 }),
		memory("sum_pss", "PSS with master", needsPSS, func(t record.Trial) (int64, int) {
			m := moment(t)
			if m.Serving.PSS == 0 || m.Master.Processes > 0 && m.Master.PSS == 0 {
				return 0, 1
			}
			return m.Serving.PSS + m.Master.PSS, 1
		}),
		memory("sum_rss", "RSS with master", needsMemory, func(t record.Trial) (int64, int) {
			m := moment(t)
			return m.Serving.RSS + m.Master.RSS, 1
		}),
		memory("anonymous", "anonymous", needsPSS, func(t record.Trial) (int64, int) { return moment(t).Serving.Anonymous, 1 }),
		memory("shared", "shared", needsPSS, func(t record.Trial) (int64, int) { return moment(t).Serving.Shared, 1 }),
		memory("private", "private", needsPSS, func(t record.Trial) (int64, int) { return moment(t).Serving.Private, 1 }),
		memory("per_worker_pss", "PSS a worker", needsPSS, func(t record.Trial) (int64, int) {
			m := moment(t).Serving
			return m.PSS, m.Processes
		}),
		memory("per_thread_pss", "PSS a thread", needsThreads, func(t record.Trial) (int64, int) {
			return moment(t).Serving.PSS, t.Target.Workers * t.Target.Threads
		}),

		{Name: "switches", Header: "context switches", Unit: "1/request", Digits: 2, Lower: true, Needs: needsUsage, Of: switches},
		{Name: "run_queue", Header: "wait for a CPU", Unit: "µs/request", Digits: 2, Lower: true, Needs: needsSchedule, Of: runQueue},
		{Name: "gc", Header: "GC", Unit: "% of CPU", Digits: 1, Lower: true, Needs: needsCounters, Of: collection},
		{Name: "sched_p99", Header: "goroutine's wait p99", Unit: "ms", Digits: 3, Lower: true, Needs: needsCounters, Of: scheduling},
		{Name: "share_max", Header: "fullest slot ÷ mean", Digits: 2, Lower: true, Needs: needsCounters, Of: fullest},
		{Name: "handoffs", Header: "handoffs", Unit: "‰", Digits: 1, Lower: true, Needs: needsHandoff, Of: handoffs("pushed", "hinted", "drained")},
		{Name: "hinted", Header: "on a hint", Unit: "‰", Digits: 1, Lower: true, Needs: needsHandoff, Of: handoffs("hinted")},
		{Name: "stayed", Header: "stayed", Unit: "‰", Digits: 1, Lower: true, Needs: needsHandoff, Of: stayed},
		{Name: "ready", Header: "ready", Unit: "ms", Digits: 1, Lower: true, Needs: "known only of a target that became ready", Of: ready},
		{Name: "event_took", Header: "event took", Unit: "s", Digits: 2, Lower: true, Needs: needsEvents, Of: eventTook},
	}
}

// Lookup finds a figure by its name.
func Lookup(name string) (Figure, bool) {
	for _, f := range Figures() {
		if f.Name == name {
			return f, true
		}
	}
	return Figure{}, false
}

func latency(name string, of func(load.Distribution) time.Duration) Figure {
	return milliseconds(name, percentile(name), needsTool, func(t record.Trial) (time.Duration, bool) {
		if t.Result == nil || of(t.Result.Latency) == 0 {
			return 0, false
		}
		return of(t.Result.Latency), true
	})
}

func wait(name string, of func(load.Distribution) time.Duration) Figure {
	return milliseconds("wait_"+name, "wait "+percentile(name), needsService, func(t record.Trial) (time.Duration, bool) {
		if t.Result == nil || t.Result.Wait == nil || t.Result.Wait.Count == 0 {
			return 0, false
		}
		return of(*t.Result.Wait), true
	})
}

func percentile(name string) string { return strings.Replace(name, "p999", "p99.9", 1) }

func milliseconds(name, header, needs string, of func(record.Trial) (time.Duration, bool)) Figure {
	return Figure{Name: name, Header: header, Unit: "ms", Digits: 3, Lower: true, Needs: needs, Of: func(t record.Trial) (float64, bool) {
		value, ok := of(t)
		return value.Seconds() * 1e3, ok
	}}
}

// memory is a figure of bytes, divided by how many share them. 0 bytes or nobody: not known.
func memory(name, header, needs string, of func(record.Trial) (bytes int64, among int)) Figure {
	return Figure{Name: name, Header: header, Unit: "MiB", Digits: 2, Lower: true, Needs: needs, Of: func(t record.Trial) (float64, bool) {
		bytes, among := of(t)
		if bytes <= 0 || among <= 0 {
			return 0, false
		}
		return float64(bytes) / float64(among) / (1 << 20), true
	}}
}

// moment is the memory under load, else that of the idle target.
func moment(t record.Trial) target.Memory {
	if t.Loaded.Serving.Processes > 0 {
		return t.Loaded
	}
	if t.Rest.Serving.Processes > 0 { // a step that was an event only
		return t.Rest
	}
	return t.Idle
}
