package master

import (
	"iter"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/front"
	"github.com/prefork/cluster/master/hooks"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/metrics"
)

// Snapshot is the state as others may see it: immutable, made by the loop after each change. What workers count
// themselves is not in it; readers take that from the scoreboard.
type Snapshot struct {
	Time       time.Time
	PID        int
	Started    time.Time
	InProcess  bool // each entry of Workers has the threads of all
	Wanted     int  // workers
	Slots      int  // that have existed
	Threads    int
	Generation int // the wanted one
	Surge      int // workers that a restart replaces at a time, after the first
	Stopping   bool
	Ready      bool // every wanted slot is served by its own worker, and the front serves
	Front      *front.Front
	EverReady  bool // once it was so
	Workers    []WorkerView
	Deaths     []plan.Death   // the last ones of all slots, by slot
	DeathSlots []int          // of Deaths
	Left       [][]int64      // slot × plan.Reasons()
	Rollouts   []plan.Rollout // the last ones
	Renewals   []plan.Renewal // those that go on, and the last ones before
	Ended      []metrics.RolloutCount
	Reload     *api.Reload // the last one; nil: none
	KeysErr    error       // why the certificates in use are not those in the files; nil: they are
	Changed    <-chan struct{}
}

// rolloutEnd is how a restart ended, and for an aborted one why.
type rolloutEnd struct {
	outcome plan.Outcome
	reason  string
}

// rolloutEnds are all there can be, for series that must exist from the start.
func rolloutEnds() []rolloutEnd {
	ends := []rolloutEnd{{plan.Done, ""}, {plan.Superseded, ""}, {plan.Cancelled, ""}}
	for _, r := range plan.Reasons() {
		if r.Failure() || r == plan.Rollback {
			ends = append(ends, rolloutEnd{plan.Aborted, r.String()})
		}
	}
	return ends
}

// WorkerView is one seat that is not empty.
type WorkerView struct {
	Slot, Seat, PID, Generation int
	Threads                     int // a worker
	State                       plan.State
	Settled, Stalled            bool
	Since, SpawnedAt, ReadyAt   time.Time
	Until                       time.Time // of a waiting seat
	Reason                      plan.Reason
}

// publish replaces the snapshot and wakes whoever waits for a change.
func (l *loop) publish(now time.Time) {
	s := l.state
	changed := make(chan struct{})
	snap := &Snapshot{
		Time: now, PID: os.Getpid(), Started: s.Started, InProcess: s.Config.InProcess(), Wanted: l.wanted(), Slots: len(s.Slots), Threads: s.Config.Threads, Surge: s.Config.Surge,
		Generation: s.Target, Stopping: s.Stopping, Ready: l.allReady(), EverReady: l.announced, Reload: l.reloading.last, KeysErr: l.keysErr, Changed: changed,
	}
	if snap.InProcess {
		snap.Slots = l.most
	}
	if l.front != nil {
		f := *l.front
		snap.Front = &f
	}
	for i := range s.Slots {
		sl := &s.Slots[i]
		for j := range sl.Seats {
			k := &sl.Seats[j]
			if k.State == plan.Empty || k.State == plan.Waiting && !now.Before(k.Until) {
				continue
			}
			snap.Workers = append(snap.Workers, WorkerView{
				Slot: i, Seat: 2*i + j, PID: k.PID, Generation: k.Generation, Threads: l.limits(k.Generation).Threads, State: k.State, Settled: k.Settled, Stalled: k.Stalled,
				Since: k.Since, SpawnedAt: k.SpawnedAt, ReadyAt: k.ReadyAt, Until: k.Until, Reason: k.Reason,
			})
		}
		for _, d := range sl.Deaths {
			snap.Deaths, snap.DeathSlots = append(snap.Deaths, d), append(snap.DeathSlots, i)
		}
		left := make([]int64, 0, len(plan.Reasons()))
		for _, r := range plan.Reasons() {
			left = append(left, sl.Left[r])
		}
		snap.Left = append(snap.Left, left)
	}
	for len(snap.Left) < snap.Slots { // in process: no process has left but in the first slot
		snap.Left = append(snap.Left, make([]int64, len(plan.Reasons())))
	}
	for _, r := range s.Rollouts {
		ro := *r
		if snap.InProcess {
			ro.Replaced *= snap.Wanted
		}
		snap.Rollouts = append(snap.Rollouts, ro)
	}
	snap.Renewals = slices.Clone(s.Renewals)
	for _, end := range rolloutEnds() {
		snap.Ended = append(snap.Ended, metrics.RolloutCount{Outcome: string(end.outcome), Reason: end.reason, Count: l.ended[end]})
	}
	l.snapshot.Store(snap)
	if l.changed != nil {
		close(l.changed)
	}
	l.changed = changed
}

// allReady says whether every wanted slot is served by its own worker, and the front, if there is one, serves.
func (l *loop) allReady() bool {
	if !l.front.Serves() {
		return false
	}
	for i := range l.state.Wanted {
		if !l.state.Slots[i].Served() {
			return false
		}
	}
	return true
}

// count counts how restarts ended. One that was done and is taken back within the probation has ended twice.
func (l *loop) count() {
	for _, ro := range l.state.Rollouts {
		if ro.Ended.IsZero() || l.counted[ro.Generation] == ro.Outcome {
			continue
		}
		l.counted[ro.Generation] = ro.Outcome
		end := rolloutEnd{outcome: ro.Outcome}
		if ro.Outcome == plan.Aborted {
			end.reason = ro.Reason
		}
		l.ended[end]++
		l.fireRestart(ro)
	}
	maps.DeleteFunc(l.counted, func(g int, _ plan.Outcome) bool {
		return len(l.state.Rollouts) > 0 && g < l.state.Rollouts[0].Generation
	})
}

// slotsOf are the slots that a worker sits in: its own, or all.
func (s *Snapshot) slotsOf(w WorkerView) iter.Seq[int] {
	first, end := w.Slot, w.Slot+1
	if s.InProcess {
		first, end = 0, s.Slots
	}
	return func(yield func(int) bool) {
		for slot := first; slot < end && yield(slot); slot++ {
		}
	}
}

// fire runs the command for what has happened, if there is one. facts are names and values; those without a value are left out.
func (l *loop) fire(k hooks.Kind, event string, now time.Time, facts ...string) {
	c := &l.state.Config
	o := hooks.Occasion{Timeout: c.HookTimeout, Facts: []string{"CLUSTER_EVENT=" + event, "CLUSTER_NAME=" + c.Name, "CLUSTER_CONTROL=" + l.control}}
	switch k {
	case hooks.Ready:
		o.Command = c.OnReady
	case hooks.Crash:
		o.Command = c.OnCrash
	case hooks.Restart:
		o.Command = c.OnRestart
	}
	for i := 0; i < len(facts); i += 2 {
		if facts[i+1] != "" {
			o.Facts = append(o.Facts, facts[i]+"="+facts[i+1])
		}
	}
	l.hooks.Fire(k, o, now)
}

// fireCrash is called when a worker of a slot has died, of which the last death tells, unless it is not the worker's failure.
func (l *loop) fireCrash(slot int, now time.Time) {
	deaths := l.state.Slots[slot].Deaths
	d := deaths[len(deaths)-1]
	for _, r := range plan.Reasons() {
		if r.Failure() && r.String() == d.Reason {
			l.fire(hooks.Crash, "crash", now, "CLUSTER_SLOT", strconv.Itoa(slot), "CLUSTER_GENERATION", strconv.Itoa(d.Generation), "CLUSTER_REASON", d.Reason, "CLUSTER_DETAIL", d.Detail)
		}
	}
}

// fireRestart is called when a restart has ended.
func (l *loop) fireRestart(ro *plan.Rollout) {
	generation := strconv.Itoa(ro.Generation)
	l.fire(hooks.Restart, "restart", ro.Ended, "CLUSTER_GENERATION", generation, "CLUSTER_OUTCOME", string(ro.Outcome), "CLUSTER_REASON", ro.Reason, "CLUSTER_DETAIL", ro.Detail)
	if ro.Outcome == plan.Done {
		l.fire(hooks.Ready, "ready", ro.Ended, "CLUSTER_GENERATION", generation)
	}
}

// hooksPatience is when a command is given up that was killed and does not end.
const hooksPatience = 2 * time.Second

// awaitHooks lets commands that run come to their end when everything else has.
func (l *loop) awaitHooks() {
	end := time.Now().Add(hooksPatience)
	for now := time.Now(); l.hooks.Close(now) && now.Before(end); now = time.Now() {
		wake := l.hooks.Tend(now, end)
		select {
		case ev := <-l.events:
			if exit, ok := ev.(exitEvent); ok {
				l.hooks.Exited(exit.pid, exit.status == plan.ExitStatus{}, exit.status.String(), now)
			}
		case <-time.After(time.Until(wake)):
		}
	}
}

// rollout is the restart that made a generation; nil if it is too long ago.
func (s *Snapshot) rollout(generation int) *plan.Rollout {
	for i := range s.Rollouts {
		if s.Rollouts[i].Generation == generation {
			return &s.Rollouts[i]
		}
	}
	return nil
}
