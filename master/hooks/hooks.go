// Package hooks runs the commands that an operator wants to be run when something happens to the cluster.
//
// Invariant: of each kind at most one runs. What happens meanwhile is told to one more run, so neither a slow command nor a crash
// loop makes many processes. Nothing here waits: the loop that owns a Runner tells it of the time and of processes that have ended.
package hooks

import (
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/prefork/cluster/master/journal"
)

// Kind of what happens.
type Kind int

// The kinds.
const (
	Ready   Kind = iota // the cluster is ready, at first and after each restart
	Crash               // a worker has died, or cannot be started
	Restart             // a rolling restart has ended
	kinds   = iota
)

// String is the name of the kind's setting.
func (k Kind) String() string { return [kinds]string{"on-ready", "on-crash", "on-restart"}[k] }

// lastPatience is how long commands may go on when the cluster has stopped.
const lastPatience = time.Second

// Occasion is what has happened, and what to run then.
type Occasion struct {
	Command string        // for /bin/sh -c; empty: none
	Timeout time.Duration // after which its process group is killed
	Facts   []string      // variables of its environment, NAME=value
}

// System is what a Runner needs of the operating system.
type System interface {
	// StartHook starts a command in a process group of its own, without waiting.
	StartHook(k Kind, command string, facts []string) (pid int, err error)
	// KillHook kills the process group of a command.
	KillHook(pid int)
}

// Runner runs the commands. Its methods are called by one goroutine.
type Runner struct {
	system System
	log    *slog.Logger
	runs   [kinds]run
	closed bool
}

// run is what there is of a kind.
type run struct {
	pid     int // 0: none runs
	begun   time.Time
	until   time.Time
	killed  bool
	next    *Occasion // of the run after this one; nil: none
	skipped int       // occasions before it that have no run of their own
}

// New runs nothing yet.
func New(system System, log *slog.Logger) *Runner { return &Runner{system: system, log: log} }

// Fire runs the command of an occasion, or, while one of the kind runs, notes it for the next run.
func (r *Runner) Fire(k Kind, o Occasion, now time.Time) {
	if o.Command == "" || r.closed {
		return
	}
	one := &r.runs[k]
	if one.pid == 0 {
		r.begin(k, o, 0, now)
		return
	}
	if one.next != nil {
		one.skipped++
	}
	one.next = &o
}

func (r *Runner) begin(k Kind, o Occasion, skipped int, now time.Time) {
	facts := clean(append(o.Facts, "CLUSTER_SKIPPED="+strconv.Itoa(skipped)))
	pid, err := r.system.StartHook(k, o.Command, facts)
	if err != nil {
		r.log.Warn("hook cannot be started", "hook", k.String(), "err", err, "event", journal.HookFailed)
		return
	}
	r.runs[k] = run{pid: pid, begun: now, until: now.Add(o.Timeout)}
	r.log.Debug("hook started", "hook", k.String(), "pid", pid)
}

// factBytes bounds a variable: the kernel refuses a longer string than 128 KiB, and an error may quote all that a program printed.
const factBytes = 4 << 10

// clean makes strings that the kernel takes.
func clean(facts []string) []string {
	for i, fact := range facts {
		fact = strings.ReplaceAll(fact, "\x00", "")
		facts[i] = strings.ToValidUTF8(fact[:min(len(fact), factBytes)], "")
	}
	return facts
}

// Exited takes in that a process has ended, well or with status. It is false if that was no command of a hook.
func (r *Runner) Exited(pid int, well bool, status string, now time.Time) bool {
	for k := range Kind(kinds) {
		one := r.runs[k]
		if one.pid == 0 || one.pid != pid {
			continue
		}
		r.runs[k] = run{}
		args := []any{"hook", k.String(), "pid", pid, "status", status, "took", now.Sub(one.begun).Round(time.Millisecond).String()}
		if well {
			r.log.Debug("hook done", args...)
		} else {
			r.log.Warn("hook failed", append(args, "event", journal.HookFailed)...)
		}
		if one.next != nil && !r.closed {
			r.begin(k, *one.next, one.skipped, now)
		}
		return true
	}
	return false
}

// Tend kills what has run for too long. It returns when it wants to be called again, or wake if that is earlier; the zero time is
// never.
func (r *Runner) Tend(now, wake time.Time) time.Time {
	for k := range Kind(kinds) {
		one := &r.runs[k]
		switch {
		case one.pid == 0 || one.killed:
		case !now.Before(one.until):
			one.killed = true
			r.log.Warn("hook takes too long: it is killed", "hook", k.String(), "pid", one.pid, "event", journal.HookKilled)
			r.system.KillHook(one.pid)
		case wake.IsZero() || one.until.Before(wake):
			wake = one.until
		}
	}
	return wake
}

// Close begins nothing more; what runs has the rest of its time, but at most a second. It returns whether anything runs.
func (r *Runner) Close(now time.Time) (running bool) {
	for k := range Kind(kinds) {
		one := &r.runs[k]
		if last := now.Add(lastPatience); !r.closed && one.until.After(last) {
			one.until = last
		}
		if one.next != nil {
			r.log.Warn("hook is not run again: the cluster has stopped", "hook", k.String(), "event", journal.HookSkipped)
			one.next = nil
		}
		running = running || one.pid != 0
	}
	r.closed = true
	return running
}
