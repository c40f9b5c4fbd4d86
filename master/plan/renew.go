package plan

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Besides those of a restart, a renewal has the outcome Pending. Its Aborted means that the old worker stays.
const Pending Outcome = "pending" // no newcomer is there yet, or any more

// Renewal is the replacement of one worker by another of the same generation: docs/adr/0011-recycling.md.
type Renewal struct {
	Number     int       `json:"number"` // rises with each
	Slot       int       `json:"slot"`
	PID        int       `json:"pid"`   // of the worker that is to be replaced
	Spawn      uint64    `json:"spawn"` // likewise
	Generation int       `json:"generation"`
	Why        Reason    `json:"-"`
	Reason     string    `json:"reason"` // Why, by name
	Detail     string    `json:"detail"` // the same for a person
	Outcome    Outcome   `json:"outcome"`
	Failures   int       `json:"failures,omitempty"` // newcomers that failed
	Failure    string    `json:"failure,omitempty"`  // how the last of them did, or why it was cancelled
	Asked      time.Time `json:"asked"`
	Ended      time.Time `json:"ended,omitzero"` // when the outcome was final
	Drained    bool      `json:"drained"`        // the old worker has left
}

const (
	renewAttempts = 3 // newcomers that fail before a renewal is given up
	renewalsKept  = 8 // that are over
)

// Renew wants the worker of a slot replaced, new before old, by one of the same generation. It begins when no other one is under way and
// no restart; see Renewals for what becomes of it. An error says why there is nothing to renew; then nothing has changed.
func (s *Cluster) Renew(slot int, why Reason, detail string, now time.Time) error {
	if s.Stopping {
		return errors.New("the cluster is stopping")
	}
	if slot < 0 || slot >= s.Wanted {
		return fmt.Errorf("there is no slot %d: there are 0 to %d", slot, s.Wanted-1)
	}
	var k *Seat
	for j := range s.Slots[slot].Seats {
		if seat := &s.Slots[slot].Seats[j]; seat.State == Ready && (k == nil || s.better(seat, k)) {
			k = seat
		}
	}
	if k == nil {
		return fmt.Errorf("slot %d has no worker that is ready: there is nothing to replace", slot)
	}
	if r := s.renewal(k); r != nil {
		return fmt.Errorf("the worker of slot %d (pid %d) is to be replaced already (%v)", slot, k.PID, r.Why)
	}
	s.renewals++
	s.Renewals = append(s.Renewals, Renewal{
		Number: s.renewals, Slot: slot, PID: k.PID, Spawn: k.Spawn, Generation: k.Generation, Why: why, Reason: why.String(), Detail: detail,
		Outcome: Pending, Asked: now,
	})
	return nil
}

// Renewing reports whether a worker is to be renewed and has not been told to drain yet.
func (s *Cluster) Renewing(k *Seat) bool { return s.renewal(k) != nil }

// renewal is the one of a worker that is not over; nil if there is none.
func (s *Cluster) renewal(k *Seat) *Renewal {
	for i := range s.Renewals {
		if r := &s.Renewals[i]; r.Spawn == k.Spawn && r.Ended.IsZero() {
			return r
		}
	}
	return nil
}

// nextRenewal is the spawn number of the worker whose turn it is; 0 if it is nobody's. A restart comes first, its probation included: the
// generation of a newcomer that fails is known to be good.
func (s *Cluster) nextRenewal(now time.Time) uint64 {
	if ro := s.Rollout(); s.Target != s.Good || ro != nil && ro.Ended.IsZero() {
		return 0
	}
	for i := range s.Renewals {
		r := &s.Renewals[i]
		k, other := s.seatsOf(r)
		if !r.Ended.IsZero() || k == nil || k.State != Ready || k.Generation != s.Target {
			continue
		}
		if other.State == Empty || other.State == Waiting && !now.Before(other.Until) {
			return r.Spawn
		}
	}
	return 0
}

// seatsOf are the seat of the worker that is to be replaced, nil if it has left, and the one for the newcomer.
func (s *Cluster) seatsOf(r *Renewal) (k, other *Seat) {
	seats := &s.Slots[r.Slot].Seats
	for j := range seats {
		if seats[j].Spawn == r.Spawn && seats[j].Alive() {
			return &seats[j], &seats[1-j]
		}
	}
	return nil, nil
}

// newcomerFailed counts the failure of a worker that was started beside one that is renewed.
func (s *Cluster) newcomerFailed(id SeatID, generation int, detail string, now time.Time) {
	r := s.renewal(&s.Slots[id.Slot].Seats[1-id.Side])
	if r == nil || id.Spawn < r.Spawn || generation != r.Generation {
		return
	}
	r.Failures++
	r.Outcome, r.Failure = Pending, detail
	if r.Failures >= renewAttempts {
		r.Outcome, r.Ended = Aborted, now
	}
}

// reviewRenewals notes what has become of renewals. It is called after each change of state.
func (s *Cluster) reviewRenewals(now time.Time) {
	over := 0
	for i := range s.Renewals {
		r := &s.Renewals[i]
		k, other := s.seatsOf(r)
		if r.Ended.IsZero() {
			if r.Outcome = s.renewalOutcome(r, k, other); r.Outcome != Pending && r.Outcome != Running {
				r.Ended = now
			}
		}
		if r.Drained = k == nil; r.over() {
			over++
		}
	}
	s.Renewals = slices.DeleteFunc(s.Renewals, func(r Renewal) bool {
		drop := r.over() && over > renewalsKept
		if drop {
			over--
		}
		return drop
	})
}

// over reports whether nothing more will become of a renewal.
func (r *Renewal) over() bool { return !r.Ended.IsZero() && (r.Drained || r.Outcome == Aborted) }

// renewalOutcome is how a renewal that was not over stands. k is the worker that is to be replaced, nil if it has left; other the other seat.
func (s *Cluster) renewalOutcome(r *Renewal, k, other *Seat) Outcome {
	newcomer := k != nil && (other.State == Starting || other.State == Ready) && other.Spawn > k.Spawn && other.Generation == k.Generation
	switch {
	case k == nil:
		r.Failure = "the worker left before it was replaced"
		return Cancelled
	case s.Stopping:
		r.Failure = "the cluster stops"
		return Cancelled
	case k.State == Draining && newcomer && k.Asked && k.Reason == r.Why:
		return Done
	case k.State == Draining && (k.Reason == Restart || k.Reason == Rollback):
		return Superseded
	case k.State == Draining:
		r.Failure = "the worker leaves before it was replaced: " + k.Reason.String()
		return Cancelled
	case newcomer:
		return Running
	}
	return Pending
}
