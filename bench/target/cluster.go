package target

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// status is what is used of `cluster status --json`.
type status struct {
	State   string         `json:"state"`
	Workers int            `json:"workers"`
	Metrics string         `json:"metrics"`
	Slots   []workerStatus `json:"workers_status"`
}

type workerStatus struct {
	Slot  int    `json:"slot"`
	PID   int    `json:"pid"`
	State string `json:"state"`
}

const readyState = "ready"

// settled is nil if all that is to serve does, and nobody else is there: none starts, none drains.
func (s status) settled() error {
	if s.State != readyState {
		return fmt.Errorf("the cluster is %s", s.State)
	}
	for _, w := range s.Slots {
		if w.State != readyState {
			return fmt.Errorf("the worker in slot %d is %s", w.Slot, w.State)
		}
	}
	return nil
}

// status asks the cluster. Before it has a control socket nobody is asked.
func (r *Running) status(ctx context.Context) (s status, err error) {
	if _, err := os.Stat(r.control); err != nil {
		return s, err
	}
	text, err := r.verb(ctx, "status", "--json")
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("cluster status --json: %w", err)
	}
	return s, nil
}

// verb runs one of the command's verbs against the cluster and returns what it printed.
func (r *Running) verb(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, r.binary(), append([]string{name, "-C", os.DevNull, "--control", r.control}, args...)...)
	cmd.Env = environment()
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	text, err := cmd.Output()
	if err != nil {
		said := strings.TrimPrefix(strings.TrimSpace(complaint.String()), "cluster: ")
		return nil, fmt.Errorf("cluster %s: %w: %s", strings.Join(append([]string{name}, args...), " "), err, said)
	}
	return text, nil
}

// Event does something to a cluster and returns how long that took: restart, crash (one worker is killed), scale +1 or
// scale -1. A restart takes as long as `cluster restart --wait`. The others take until every worker is ready and none
// starts or drains; the least that can be told is a run of `cluster status`. Only a cluster knows events.
func (r *Running) Event(ctx context.Context, what string) (took time.Duration, err error) {
	if r.spec.Kind != Cluster {
		return 0, fmt.Errorf("%s: only a cluster can %s", r.spec.name(), what)
	}
	did := time.Now()
	switch what {
	case "restart":
		_, err = r.verb(ctx, "restart", "--wait")
	case "crash":
		did, err = r.crash(ctx)
	case "scale +1":
		err = r.scale(ctx, +1)
	case "scale -1":
		err = r.scale(ctx, -1)
	default:
		return 0, fmt.Errorf("unknown event %q: there are restart, crash, scale +1 and scale -1", what)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	return time.Since(did), nil
}

// crash kills the first worker that is ready and waits until another is in its place.
func (r *Running) crash(ctx context.Context) (did time.Time, err error) {
	before, err := r.status(ctx)
	if err != nil {
		return did, err
	}
	victim := 0
	for _, w := range before.Slots {
		if w.State == readyState && w.PID > 0 {
			victim = w.PID
			break
		}
	}
	if victim == 0 {
		return did, errors.New("no worker is ready that could be killed")
	}
	did = time.Now()
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		return did, fmt.Errorf("cannot kill worker %d: %w", victim, err)
	}
	return did, r.await(ctx, statusPoll, func() error {
		s, err := r.status(ctx)
		if err != nil {
			return err
		}
		for _, w := range s.Slots {
			if w.PID == victim {
				return fmt.Errorf("worker %d has not been missed yet", victim)
			}
		}
		return s.settled()
	})
}

// scale changes the number of workers and waits until they are there, or have left.
func (r *Running) scale(ctx context.Context, by int) error {
	before, err := r.status(ctx)
	if err != nil {
		return err
	}
	if _, err := r.verb(ctx, "scale", fmt.Sprintf("%+d", by)); err != nil {
		return err
	}
	return r.await(ctx, statusPoll, func() error {
		s, err := r.status(ctx)
		if err == nil && s.Workers != before.Workers+by {
			err = fmt.Errorf("%d workers are wanted, not %d", s.Workers, before.Workers+by)
		}
		if err != nil {
			return err
		}
		return s.settled()
	})
}
