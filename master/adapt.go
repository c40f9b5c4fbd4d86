package master

import (
	"math/rand/v2"
	"os"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/elastic"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/master/recycle"
)

// recycling is what the loop keeps of workers that are replaced one by one.
type recycling struct {
	watch  *recycle.Watch
	gaveUp map[int]bool // numbers of renewals whose end was logged
}

func newRecycling() recycling {
	return recycling{watch: recycle.New(rand.Float64)}
}

// recycle looks which workers are to be replaced. Memory is looked at only if a setting asks for it.
func (l *loop) recycle(now time.Time) {
	c := &l.state.Config
	if l.state.Stopping {
		return
	}
	memory := c.Memory > 0 || c.RecycleMemory > 0
	var seen []recycle.Seen
	for id, k := range l.state.Workers() {
		limits := l.limits(k.Generation)
		s := recycle.Seen{ID: id, Generation: k.Generation, Ready: k.State == plan.Ready && k.Settled, ReadyAt: k.ReadyAt, Renewing: l.state.Renewing(k), Threads: limits.InAll()}
		s.Requests, s.Stuck = l.system.work(id, s.Threads)
		if memory {
			m := l.system.memory(k.PID)
			s.PSS, s.Anonymous = m.PSS, m.Anonymous
		}
		seen = append(seen, s)
	}
	rest := int64(0)
	if memory {
		rest = l.system.memory(os.Getpid()).PSS
		if l.front != nil {
			rest += l.system.memory(l.front.PID).PSS
		}
	}
	causes, warnings := l.recycling.watch.Look(c, seen, rest, now)
	for _, w := range warnings {
		l.log.Warn(w.Text, "slot", l.slot(plan.SeatID{Slot: w.Slot}), "event", journal.WorkerTooLarge)
	}
	for _, cause := range causes {
		if err := l.renew(cause.Slot, cause.Reason, cause.Detail, now); err != nil {
			l.log.Debug("worker is not replaced", "slot", cause.Slot, "reason", cause.Reason.String(), "err", err)
		}
	}
}

// reportRenewals logs those that were given up.
func (l *loop) reportRenewals() {
	there := map[int]bool{}
	for _, r := range l.state.Renewals {
		if r.Outcome != plan.Aborted {
			continue
		}
		if there[r.Number] = true; !l.recycling.gaveUp[r.Number] {
			l.log.Warn("worker is not replaced: the new one has failed every time, so the old one stays until there is another cause",
				"slot", l.slot(plan.SeatID{Slot: r.Slot}), "pid", r.PID, "generation", r.Generation, "reason", r.Reason, "attempts", r.Failures, "err", r.Failure, "event", journal.WorkerNotRenewed)
		}
	}
	l.recycling.gaveUp = there
}

// elasticity is what the loop keeps of a number of workers that the load decides.
type elasticity struct {
	judge elastic.Judge
	kept  time.Time // when it was last logged that the machine has no room for more
}

// keptPause is how long the same need is not logged again.
const keptPause = 10 * time.Minute

// adapt makes the number of workers what the load needs, if its setting is a range.
func (l *loop) adapt(now time.Time) {
	c := &l.state.Config
	if c.Elastic == 0 || l.state.Stopping {
		return
	}
	var ready []plan.SeatID
	for id, k := range l.state.Workers() {
		if k.State == plan.Ready {
			ready = append(ready, id)
		}
	}
	look := l.system.load(ready)
	ro := l.state.Rollout()
	look.At, look.Workers, look.Threads = now, l.wanted(), c.Threads
	look.Steady = l.allReady() && (ro == nil || !ro.Ended.IsZero())
	bounds := elastic.Bounds{Low: c.Workers, High: c.Elastic, CPUs: configs.AvailableCPUs(), Memory: c.Memory}
	if machine := configs.AvailableMemory(); machine > 0 && (bounds.Memory == 0 || machine < bounds.Memory) {
		bounds.Memory = machine
	}
	d := l.elasticity.judge.Decide(bounds, look)
	switch {
	case d.Workers != look.Workers:
		if _, err := l.scale(scaleRequest{to: d.Workers, why: d.Why}); err != nil {
			d.Kept, d.Why = true, err.Error()
		}
	}
	if d.Kept && now.Sub(l.elasticity.kept) >= keptPause {
		l.elasticity.kept = now
		l.log.Warn("no more workers, although requests wait", "why", d.Why, "event", journal.ScaleKept)
	}
}
