// Package bench measures topologies of the cluster, and other servers, side by side: it starts each as a user would,
// puts load on it, and keeps the raw result of each load.
//
// Invariant: whatever is compared ran interleaved, in rounds of a random order; a cell that others are compared with ran twice
// in each round, so that the noise of the machine stands beside every comparison. What failed is recorded as failed and
// never left out.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/suite"
	"github.com/prefork/cluster/bench/target"
)

// Target is something that has been started and is ready.
type Target interface {
	Addr() string
	Argv() []string
	Ready() time.Duration // from its start
	Read() (target.Reading, error)
	Memory() (target.Memory, error)
	Died() error // nil while it runs
	Event(ctx context.Context, what string) (time.Duration, error)
	Stop(ctx context.Context) error // also an error if anything is left of it
}

// Session measures suites.
type Session struct {
	Suites []suite.Suite
	Seed   uint64 // of the order in each round
	// Start starts a target and waits until it is ready.
	Start func(context.Context, target.Spec) (Target, error)
	// Load puts load on an address.
	Load func(ctx context.Context, addr string, p load.Plan, o load.Observer) (load.Result, error)
	// Serves says whether a peer knows a path; cells leave out the others.
	Serves func(peer, path string) bool
	// Keep is given each trial as soon as it has ended. Its error ends the session: measuring on would be in vain.
	Keep func(record.Trial) error
	// Progress is told what is about to be measured.
	Progress func(Progress)

	clock progressClock
}

// ErrStopped is the error of a session whose context ended.
var ErrStopped = errors.New("stopped before the end")

// stopLimit is how long a target may take to end, whatever ended the session.
const stopLimit = time.Minute

// Run measures everything, in rounds. When ctx ends, so does the load that runs, the target is stopped, and the error is
// ErrStopped. Trials that failed are no error of Run.
func (s *Session) Run(ctx context.Context) error {
	s.clock = newProgressClock(s.Suites)
	for i := range s.Suites {
		one := &s.Suites[i]
		order := rand.New(rand.NewPCG(s.Seed, uint64(i)))
		cells, again := one.Runs()
		for round := 1; round <= one.Rounds; round++ {
			for n, j := range order.Perm(len(cells)) {
				at := place{suite: one, cell: cells[j], round: round, order: n + 1, again: j >= len(cells)-again}
				if err := s.measure(ctx, at); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// place is where in the session a cell is measured.
type place struct {
	suite *suite.Suite
	cell  suite.Cell
	round int
	order int
	again bool
}

func (p place) trial() record.Trial {
	return record.Trial{
		Suite: p.suite.Name, Cell: p.cell.Name, Again: p.again, Round: p.round, Order: p.order,
		Start: time.Now(), Target: p.cell.Spec,
	}
}

// measure starts a cell, takes it through its steps, and stops it.
func (s *Session) measure(ctx context.Context, at place) error {
	s.tell(at, "starts")
	begun := time.Now()
	defer func() { s.clock.passed(at.suite, time.Since(begun)) }()
	t, err := s.Start(ctx, at.cell.Spec)
	switch {
	case errors.Is(err, target.ErrTaken):
		return err // it will be for the others, too
	case err != nil && ctx.Err() != nil:
		return ErrStopped
	case err != nil:
		return s.failed(at, "start", err)
	}
	stepsErr := s.steps(ctx, at, t)
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	if err := t.Stop(stopCtx); err != nil && stepsErr == nil && t.Died() == nil {
		stepsErr = s.failed(at, "stop", err)
	}
	return stepsErr
}

func (s *Session) failed(at place, step string, err error) error {
	trial := at.trial()
	trial.Step, trial.Failed = step, err.Error()
	return s.Keep(trial)
}

func (s *Session) steps(ctx context.Context, at place, t Target) error {
	idle, err := t.Memory()
	if err != nil {
		return s.failed(at, "start", err)
	}
	for _, step := range at.cell.Steps {
		if spec := at.cell.Spec; spec.Kind == target.Peer && step.Load.Path != "" && !s.Serves(spec.Peer, step.Load.Path) {
			continue
		}
		if step.Load.Rate > 0 { // rounds are samples: of the same arrivals they would show the machine's noise only
			step.Load.Seed += uint64(at.round-1) << 8
		}
		s.tell(at, step.Name)
		trial := at.trial()
		trial.Step, trial.Load, trial.Argv, trial.Ready, trial.Idle = step.Name, step.Load, t.Argv(), t.Ready(), idle
		err := s.step(ctx, t, step, &trial)
		if ctx.Err() != nil {
			return ErrStopped
		}
		if died := t.Died(); died != nil {
			err = died // which explains all other errors
		}
		if err != nil {
			trial.Failed = err.Error()
		}
		if keepErr := s.Keep(trial); keepErr != nil || t.Died() != nil {
			return keepErr
		}
	}
	return nil
}

// step puts the load on, and does to the target what is to happen meanwhile.
func (s *Session) step(ctx context.Context, t Target, step suite.Step, trial *record.Trial) error {
	events := make(chan []record.Event, 1)
	begin := func() { go func() { events <- happen(ctx, t, step.Events) }() }
	var readErr error
	read := func(r *target.Reading) {
		var err error
		*r, err = t.Read()
		readErr = errors.Join(readErr, err)
	}
	if step.Load.Path == "" {
		read(&trial.Before)
		begin()
		trial.Events = <-events
		read(&trial.After)
	} else {
		observer := load.Observer{
			Begin: func() { read(&trial.Before); begin() },
			End: func() {
				read(&trial.After)
				loaded, err := t.Memory()
				trial.Loaded, readErr = loaded, errors.Join(readErr, err)
			},
		}
		result, err := s.Load(ctx, t.Addr(), step.Load, observer)
		trial.Result = &result
		if err != nil {
			return err
		}
		trial.Events = <-events
		last, err := t.Read()
		trial.Final, readErr = last.Counters, errors.Join(readErr, err)
	}
	for _, e := range trial.Events {
		if e.Error != "" {
			return fmt.Errorf("%s: %s", e.What, e.Error)
		}
	}
	select {
	case <-time.After(step.Rest):
	case <-ctx.Done():
	}
	var err error
	trial.Rest, err = t.Memory()
	return errors.Join(readErr, err)
}

// happen does the events at their times, one after the other.
func happen(ctx context.Context, t Target, events []suite.Event) []record.Event {
	var done []record.Event
	begun := time.Now()
	for _, e := range events {
		select {
		case <-time.After(e.At - time.Since(begun)):
		case <-ctx.Done():
			return done
		}
		at := time.Since(begun)
		took, err := t.Event(ctx, e.What)
		event := record.Event{What: e.What, At: at, Took: took}
		if err != nil {
			event.Error = err.Error()
		}
		done = append(done, event)
	}
	return done
}
