package master

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/prefork/cluster/ipc/profile"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/control"
	"github.com/prefork/cluster/master/plan"
)

// These methods are the control.Cluster of the API: each hands a request to the loop and waits for its reply.

// ask hands a request to the loop and waits for its reply.
func ask[T any](ctx context.Context, m *Master, ev event, reply chan T) (T, error) {
	var zero T
	select {
	case m.loop.events <- ev:
	case <-m.done:
		return zero, control.ErrEnded
	case <-ctx.Done():
		return zero, ctx.Err()
	}
	select {
	case v := <-reply:
		return v, nil
	case <-m.done:
		return zero, control.ErrEnded
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}

// Stacks are those of the master and all workers.
func (m *Master) Stacks(ctx context.Context) ([]api.StackDump, error) {
	reply := make(chan []api.StackDump, 1)
	return ask(ctx, m, stacksRequest{reply: reply}, reply)
}

// Profile is one of a worker, or of the master.
func (m *Master) Profile(ctx context.Context, slot int, kind string, length time.Duration) ([]byte, error) {
	if slot == control.Master {
		return profile.Take(kind, length, ctx.Done())
	}
	reply := make(chan profileReply, 1)
	got, err := ask(ctx, m, profileRequest{slot: slot, kind: kind, length: length, reply: reply}, reply)
	return got.data, errors.Join(err, got.err)
}

// Scale sets the number of workers, or changes it if to is 0.
func (m *Master) Scale(ctx context.Context, to, by int) (workers int, err error) {
	reply := make(chan scaleReply, 1)
	got, err := ask(ctx, m, scaleRequest{to: to, by: by, reply: reply}, reply)
	return got.workers, errors.Join(err, got.err)
}

// SetThreads sets how many threads each worker has.
func (m *Master) SetThreads(ctx context.Context, threads int) error {
	reply := make(chan error, 1)
	err, ended := ask(ctx, m, threadsRequest{to: threads, reply: reply}, reply)
	return errors.Join(err, ended)
}

// SetLogLevel sets the least that is logged, until the configuration is read anew.
func (m *Master) SetLogLevel(ctx context.Context, level slog.Level) (before slog.Level, err error) {
	reply := make(chan slog.Level, 1)
	return ask(ctx, m, levelRequest{level: level, reply: reply}, reply)
}

// Reload reads the configuration anew.
func (m *Master) Reload(ctx context.Context) (*api.Reload, error) {
	reply := make(chan *api.Reload, 1)
	return ask(ctx, m, reloadRequest{reply: reply}, reply)
}

// Stop begins the end of the cluster, and tells what it waits for.
func (m *Master) Stop(ctx context.Context, now bool) (api.Stopping, error) {
	reply := make(chan api.Stopping, 1)
	return ask(ctx, m, stopRequest{now: now, reply: reply}, reply)
}

// ReopenLogs opens the log files anew.
func (m *Master) ReopenLogs(ctx context.Context) error {
	reply := make(chan error, 1)
	err, ended := ask(ctx, m, reopenRequest{reply: reply}, reply)
	return errors.Join(err, ended)
}

// Restart begins a rolling restart.
func (m *Master) Restart(ctx context.Context) (generation int, err error) {
	reply := make(chan restartReply, 1)
	got, err := ask(ctx, m, restartRequest{reply: reply}, reply)
	return got.generation, errors.Join(err, got.err)
}

// Renew begins to replace the worker of one slot.
func (m *Master) Renew(ctx context.Context, slot int) (number int, err error) {
	reply := make(chan restartReply, 1)
	got, err := ask(ctx, m, restartRequest{slot: &slot, reply: reply}, reply)
	return got.renewal, errors.Join(err, got.err)
}

// Renewing yields how the replacement of one worker goes until it is over.
func (m *Master) Renewing(ctx context.Context, number int, wait string) iter.Seq[api.RenewalProgress] {
	return func(yield func(api.RenewalProgress) bool) {
		var last api.RenewalProgress
		for {
			snap := m.loop.snapshot.Load()
			if i := slices.IndexFunc(snap.Renewals, func(r plan.Renewal) bool { return r.Number == number }); i >= 0 { // else it is not published yet
				p := api.RenewalProgress{Renewal: snap.Renewals[i]}
				p.Final = wait == "" || !p.Ended.IsZero() && (wait == "ready" || p.Drained || p.Outcome != plan.Done)
				if p != last {
					last = p
					if !yield(p) || p.Final {
						return
					}
				}
			} else if last.Number != 0 {
				return // it is forgotten
			}
			select {
			case <-snap.Changed:
			case <-m.done:
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

// Progress yields how a restart goes until it is over; a superseded one goes on as its successor.
func (m *Master) Progress(ctx context.Context, generation int, wait string) iter.Seq[api.RestartProgress] {
	return func(yield func(api.RestartProgress) bool) {
		var last api.RestartProgress
		for {
			snap := m.loop.snapshot.Load()
			ro := snap.rollout(generation)
			for ro != nil && ro.Outcome == plan.Superseded {
				generation = ro.By
				ro = snap.rollout(generation)
			}
			if ro == nil {
				// The loop has not published it yet, or so many restarts have followed that it is forgotten: then the newest counts.
				if n := len(snap.Rollouts); n > 0 && snap.Rollouts[0].Generation > generation {
					generation = snap.Rollouts[n-1].Generation
					continue
				}
			} else {
				p := api.RestartProgress{Rollout: *ro, Workers: snap.Wanted, Surge: snap.Surge, Slots: snap.slots(ro)}
				over := ro.Outcome == plan.Done || ro.Outcome == plan.Aborted || ro.Outcome == plan.Cancelled
				p.Final = wait == "" || over && (wait == "ready" || ro.Drained || ro.Outcome == plan.Cancelled)
				if !reflect.DeepEqual(p, last) {
					last = p
					if !yield(p) {
						return
					}
				}
				if p.Final {
					return
				}
			}
			select {
			case <-snap.Changed:
			case <-m.done:
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

// slots says how each wanted slot stands in a restart: those of one that goes back, towards the generation before.
func (s *Snapshot) slots(ro *plan.Rollout) []string {
	target, n := ro.Generation, s.Wanted
	if ro.Outcome == plan.Returning || ro.Outcome == plan.Aborted {
		target = ro.From
	}
	if s.InProcess {
		n = 1
	}
	all := make([]string, n)
	for i := range all {
		all[i] = api.SlotOld
	}
	for _, w := range s.Workers {
		if w.Generation != target || w.Slot >= n {
			continue
		}
		switch {
		case w.State == plan.Starting:
			all[w.Slot] = api.SlotStarting
		case w.State == plan.Ready && w.Settled:
			all[w.Slot] = api.SlotReplaced
		case w.State == plan.Ready:
			all[w.Slot] = api.SlotSettling
		}
	}
	return all
}
