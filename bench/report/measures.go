package report

import (
	"math"
	"sort"
	"time"

	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/target"
)

func answered(t record.Trial) (n float64, ok bool) {
	if t.Result == nil || t.Result.Answered <= 0 {
		return 0, false
	}
	return float64(t.Result.Answered), true
}

func rate(t record.Trial) (float64, bool) {
	n, ok := answered(t)
	if !ok || t.Result.Elapsed <= 0 {
		return 0, false
	}
	return n / t.Result.Elapsed.Seconds(), true
}

func perRequest(of func(record.Trial) time.Duration) func(record.Trial) (float64, bool) {
	return func(t record.Trial) (float64, bool) {
		n, ok := answered(t)
		if !ok || of(t) <= 0 {
			return 0, false
		}
		return of(t).Seconds() * 1e6 / n, true
	}
}

func generator(t record.Trial) time.Duration { return t.Result.CPU }

func efficiency(t record.Trial) (float64, bool) {
	n, ok := answered(t)
	if !ok || t.Serving() <= 0 {
		return 0, false
	}
	return n / t.Serving().Seconds(), true
}

// wait5 is how long the reference application's /io and /io_native wait unless they are told.
const wait5 = 5 * time.Millisecond

// ofSlots compares the rate with what so many threads can do that only wait.
func ofSlots(t record.Trial) (float64, bool) {
	r, ok := rate(t)
	threads := t.Target.Workers * t.Target.Threads
	if !ok || threads == 0 || t.Load.Path != "/io" && t.Load.Path != "/io_native" {
		return 0, false
	}
	return 100 * r * wait5.Seconds() / float64(threads), true
}

func succeeded(t record.Trial) (float64, bool) {
	if t.Result == nil {
		return 0, false
	}
	return float64(t.Result.Outcomes["ok"]), true
}

// notLost are the outcomes that lose nothing: what was wrong with the request is its sender's, and a connection that was
// closed while it was idle carried none. Whatever else the load generator comes to tell apart counts as lost.
var notLost = map[string]bool{"ok": true, "4xx": true, "closed_idle": true}

func lost(t record.Trial) (float64, bool) {
	if t.Result == nil {
		return 0, false
	}
	sum := int64(0)
	for outcome, n := range t.Result.Outcomes {
		if !notLost[outcome] {
			sum += n
		}
	}
	return float64(sum), true
}

func late(t record.Trial) (float64, bool) {
	if t.Result == nil || t.Result.Late == nil || t.Result.Late.Sent == 0 {
		return 0, false
	}
	return 100 * float64(t.Result.Late.Late) / float64(t.Result.Late.Sent), true
}

func switches(t record.Trial) (float64, bool) {
	before, after := t.Before.Serving, t.After.Serving
	return ratio(float64(after.Voluntary+after.Involuntary-before.Voluntary-before.Involuntary), t)
}

func runQueue(t record.Trial) (float64, bool) {
	if t.After.Serving.RunQueue == 0 {
		return 0, false
	}
	return ratio((t.After.Serving.RunQueue-t.Before.Serving.RunQueue).Seconds()*1e6, t)
}

// ratio is per answered request, if the usage of the processes is known at all.
func ratio(used float64, t record.Trial) (float64, bool) {
	n, ok := answered(t)
	if !ok || used < 0 || t.After.Serving.CPU == 0 {
		return 0, false
	}
	return used / n, true
}

func counted(t record.Trial) bool { return t.Before.Counters.Known && t.After.Counters.Known }

func collection(t record.Trial) (float64, bool) {
	if !counted(t) || t.Serving() <= 0 {
		return 0, false
	}
	return 100 * (t.After.Counters.GC - t.Before.Counters.GC).Seconds() / t.Serving().Seconds(), true
}

// scheduling is the 99th percentile of the goroutines' waits between the readings, interpolated in its bucket as Prometheus's
// histogram_quantile does it.
func scheduling(t record.Trial) (float64, bool) {
	bounds, after, before := t.After.Counters.SchedBounds, t.After.Counters.SchedCounts, t.Before.Counters.SchedCounts
	if !counted(t) || len(bounds) == 0 || len(after) < len(bounds) || len(before) != len(after) {
		return 0, false
	}
	between := func(i int) float64 { return float64(after[i]) - float64(before[i]) }
	all := between(len(after) - 1)
	if all <= 0 {
		return 0, false
	}
	wanted := 0.99 * all
	i := sort.Search(len(bounds), func(i int) bool { return between(i) >= wanted })
	if i == len(bounds) { // above the last bound: at least that
		return bounds[len(bounds)-1] * 1e3, true
	}
	below, from := 0., 0.
	if i > 0 {
		below, from = between(i-1), bounds[i-1]
	}
	if math.IsInf(bounds[i], 1) {
		return from * 1e3, true
	}
	return (from + (bounds[i]-from)*(wanted-below)/(between(i)-below)) * 1e3, true
}

func fullest(t record.Trial) (float64, bool) {
	if !counted(t) {
		return 0, false
	}
	most, sum := 0., 0.
	for slot, requests := range t.After.Counters.Slots {
		if slot < len(t.Before.Counters.Slots) {
			requests -= t.Before.Counters.Slots[slot]
		}
		most = max(most, float64(requests))
		sum += float64(requests)
	}
	if sum <= 0 {
		return 0, false
	}
	return most * float64(len(t.After.Counters.Slots)) / sum, true
}

// handoffs are the connections that were passed on for the reasons.
func handoffs(reasons ...string) func(record.Trial) (float64, bool) {
	return perThousand(func(h *target.Handoff) (n int64) {
		for _, reason := range reasons {
			n += h.Moved[reason]
		}
		return n
	})
}

var stayed = perThousand(func(h *target.Handoff) (n int64) {
	for _, times := range h.Stayed {
		n += times
	}
	return n
})

// perThousand is what the workers counted of handoff between the readings, per 1,000 requests that were answered.
func perThousand(of func(*target.Handoff) int64) func(record.Trial) (float64, bool) {
	return func(t record.Trial) (float64, bool) {
		n, ok := answered(t)
		before, after := t.Before.Counters.Handoff, t.After.Counters.Handoff
		if !ok || before == nil || after == nil {
			return 0, false
		}
		return 1000 * float64(of(after)-of(before)) / n, true
	}
}

func ready(t record.Trial) (float64, bool) { return t.Ready.Seconds() * 1e3, t.Ready > 0 }

// eventTook is the longest of the events.
func eventTook(t record.Trial) (float64, bool) {
	longest := time.Duration(0)
	for _, e := range t.Events {
		if e.Error != "" {
			return 0, false
		}
		longest = max(longest, e.Took)
	}
	return longest.Seconds(), len(t.Events) > 0
}
