package plan

import (
	"fmt"
	"time"
)

// Outcome is how a rolling restart stands.
type Outcome string

// The outcomes. Running and Returning are not final.
const (
	Running    Outcome = "running"
	Done       Outcome = "done"       // every slot has a settled worker of the generation
	Returning  Outcome = "returning"  // it failed; slots go back to the generation before
	Aborted    Outcome = "aborted"    // it failed, and every slot is ready on the generation before
	Superseded Outcome = "superseded" // a newer restart took over
	Cancelled  Outcome = "cancelled"  // the cluster stops
)

// Rollout is one rolling restart.
type Rollout struct {
	Generation int       `json:"generation"`
	From       int       `json:"from"` // the generation to go back to
	Outcome    Outcome   `json:"outcome"`
	Reason     string    `json:"reason,omitempty"` // why it went back
	Detail     string    `json:"detail,omitempty"` // the same for a person
	By         int       `json:"superseded_by,omitempty"`
	Started    time.Time `json:"started"`
	Ended      time.Time `json:"ended,omitzero"`
	Replaced   int       `json:"replaced"` // slots that have a settled worker of the generation
	Drained    bool      `json:"drained"`  // and the workers of other generations that were there when it ended have left

	proven    bool      // a worker of the generation has settled
	confirmAt time.Time // of a done one: when its last worker has passed the probation
	endedOn   int       // the generation that was wanted when it ended
	lastSpawn uint64    // before it ended
}

const rolloutsKept = 8

// Rollout is the last restart, nil if there was none.
func (s *Cluster) Rollout() *Rollout {
	if len(s.Rollouts) == 0 {
		return nil
	}
	return s.Rollouts[len(s.Rollouts)-1]
}

// Restart makes a new generation the wanted one. Slots in which a restart is under way finish first: they converge to the
// newest generation when both seats allow it.
func (s *Cluster) Restart(generation int, now time.Time) {
	if r := s.Rollout(); r != nil && r.Ended.IsZero() {
		if r.Outcome == Returning {
			s.end(r, Aborted, now)
		} else {
			r.By = generation
			s.end(r, Superseded, now)
		}
	}
	s.Newest, s.Target = generation, generation
	s.Rollouts = append(s.Rollouts, &Rollout{Generation: generation, From: s.Good, Outcome: Running, Started: now})
	s.Rollouts = s.Rollouts[max(0, len(s.Rollouts)-rolloutsKept):]
	for i := range s.Slots {
		sl := &s.Slots[i]
		sl.Failures = 0
		for j := range sl.Seats {
			if sl.Seats[j].State == Waiting {
				sl.Seats[j].Until = now
			}
		}
	}
}

// end closes a restart.
func (s *Cluster) end(r *Rollout, o Outcome, now time.Time) {
	r.Outcome, r.Ended, r.endedOn, r.lastSpawn = o, now, s.Target, s.Spawns
}

// judge decides whether the failure of a worker takes a restart back: before it has settled always, after that within the
// probation, which goes on after the last slot was replaced. It is called as soon as the failure is known, which may be
// before the worker is dead; failed is when it failed, which may be earlier still.
func (s *Cluster) judge(k *Seat, r Reason, detail string, failed time.Time) {
	if k.Generation == s.Good || s.Failed[k.Generation] || s.Stopping {
		return
	}
	inProbation := !k.ReadyAt.IsZero() && failed.Sub(k.ReadyAt) < s.Config.Probation
	if k.Settled && !inProbation {
		return
	}
	s.Failed[k.Generation] = true
	if k.Generation != s.Target {
		return // it was superseded before it failed
	}
	s.Target = s.Good
	ro := s.Rollout()
	ro.Outcome, ro.Ended, ro.Drained = Returning, time.Time{}, false
	ro.Reason = r.String()
	ro.Detail = fmt.Sprintf("generation %d: a worker (pid %d) failed: %s", k.Generation, k.PID, detail)
	switch {
	case k.Settled:
		ro.Reason = Rollback.String()
		ro.Detail = fmt.Sprintf("generation %d: a worker (pid %d) failed %v after it was ready: %s", k.Generation, k.PID, failed.Sub(k.ReadyAt).Round(time.Millisecond), detail)
	case k.PID == 0:
		ro.Detail = fmt.Sprintf("generation %d: a worker could not be started: %s", k.Generation, detail)
	}
}

// review notes how far a restart has come. It is called after each change of state, and names the next moment at which a
// generation may have passed its probation.
func (s *Cluster) review(now time.Time) (confirmAt time.Time) {
	ro := s.Rollout()
	if ro == nil {
		return time.Time{}
	}
	settled, lastReady := s.settled()
	whole := settled == s.Wanted
	if ro.Outcome == Running {
		ro.Replaced, ro.proven = settled, ro.proven || settled > 0
	}
	switch {
	case s.Stopping && ro.Ended.IsZero():
		s.end(ro, Cancelled, now)
	case ro.Outcome == Running && whole:
		s.end(ro, Done, now)
	case ro.Outcome == Returning && whole:
		s.end(ro, Aborted, now)
	}
	if ro.Outcome == Done && whole {
		ro.confirmAt = lastReady.Add(s.Config.Probation)
	}
	var next alarm
	for _, r := range s.Rollouts {
		r.Drained = r.Drained || r.Outcome != Superseded && !r.Ended.IsZero() && !s.anyOther(r)
		if r == ro && !whole || !s.onTrial(r) || !next.due(r.confirmAt, now) {
			continue
		}
		s.Good = r.Generation
		if ro.Outcome == Running {
			ro.From = s.Good
		}
	}
	return next.at
}

// settled counts the slots that have a worker of the wanted generation to rely on.
func (s *Cluster) settled() (n int, lastReady time.Time) {
	for i := range s.Wanted {
		for j := range s.Slots[i].Seats {
			k := &s.Slots[i].Seats[j]
			if k.Generation != s.Target || !k.Reliable() {
				continue
			}
			n++
			if k.ReadyAt.After(lastReady) {
				lastReady = k.ReadyAt
			}
			break
		}
	}
	return n, lastReady
}

// onTrial reports whether a done restart only has to pass its probation; a newer restart does not end that, while workers
// of the generation serve.
func (s *Cluster) onTrial(r *Rollout) bool {
	if r.Outcome != Done || r.Generation <= s.Good || r.Generation > s.Target || s.Failed[r.Generation] || s.suspect(r.Generation) {
		return false
	}
	for _, k := range s.Workers() {
		if k.Generation == r.Generation && k.Reliable() {
			return true
		}
	}
	return false
}

// anyOther reports whether a worker that was there when a restart ended, and was not to stay, still is.
func (s *Cluster) anyOther(r *Rollout) bool {
	for _, k := range s.Workers() {
		if k.Generation != r.endedOn && k.Spawn <= r.lastSpawn {
			return true
		}
	}
	return false
}

// proven reports whether the wanted generation has had a worker that settled: until then one slot alone tries it.
func (s *Cluster) proven() bool {
	return s.Target == s.Good || s.Rollout().proven && !s.suspect(s.Target)
}

// suspect reports whether a generation that is not yet known to be good has a worker that hangs. It may come back; if it
// does not, its heartbeat will take the restart back. Meanwhile nothing more is entrusted to the generation.
func (s *Cluster) suspect(generation int) bool {
	if generation == s.Good {
		return false
	}
	for _, k := range s.Workers() {
		if k.Generation == generation && k.State == Ready && k.Stalled {
			return true
		}
	}
	return false
}
