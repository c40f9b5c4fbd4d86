package target

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prefork/cluster/bench/proc"
)

// Stop ends the target and makes sure that nothing of it is left: no process and no listener. Whoever does not leave in time, or
// when the context ends, is killed; that is an error, as is a listener on the address. A target that is stopped again answers the same.
func (r *Running) Stop(ctx context.Context) error {
	r.stop.Do(func() { r.stopErr = r.end(ctx, cmp.Or(r.launcher.StopTimeout, defaultStopTimeout)) })
	return r.stopErr
}

func (r *Running) end(ctx context.Context, limit time.Duration) error {
	var problems []error
	r.alive() // those that are children now may be nobody's once the root has ended
	signal := cmp.Or(r.command.Stop, syscall.SIGTERM)
	_ = r.cmd.Process.Signal(signal) // fails if it has died
	stopping, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("still running %v after signal %q", limit, signal.String()))
	defer cancel()
	select {
	case <-r.ended:
		if left := r.gone(ctx, cmp.Or(r.launcher.Grace, defaultGrace), func([]proc.Process) {}); len(left) > 0 {
			problems = append(problems, fmt.Errorf("%s left processes behind, which were killed: %s", r.spec.name(), titles(left)))
		}
	case <-stopping.Done():
		problems = append(problems, fmt.Errorf("%s was killed: %w%s", r.spec.name(), context.Cause(stopping), r.lastWords()))
	}
	if left := r.gone(context.WithoutCancel(ctx), defaultGrace, kill); len(left) > 0 {
		problems = append(problems, fmt.Errorf("%s cannot be killed: %s", r.spec.name(), titles(left)))
	}
	if err := abandoned(r.addr); err != nil {
		problems = append(problems, fmt.Errorf("after the end of %s: %w", r.spec.name(), err))
	}
	return errors.Join(append(problems, r.output.Close(), os.RemoveAll(r.dir))...)
}

func titles(all []proc.Process) string {
	texts := make([]string, 0, len(all))
	for _, p := range all {
		texts = append(texts, title(p.PID))
	}
	return strings.Join(texts, ", ")
}

// abandoned is nil if nobody listens on the port of an address. Connections may be there still; they are in nobody's way.
func abandoned(addr string) error {
	err := free(addr)
	_, text, _ := net.SplitHostPort(addr)
	if port, wrong := strconv.Atoi(text); err != nil && wrong == nil && len(listening(port)) == 0 {
		return nil
	}
	return err
}

// gone waits until no process is alive, and returns those that still are when time is over. Each look at them is given to do.
func (r *Running) gone(ctx context.Context, limit time.Duration, do func([]proc.Process)) []proc.Process {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		left := r.alive()
		if len(left) == 0 {
			return nil
		}
		do(left)
		select {
		case <-ctx.Done():
			return left
		case <-time.After(answerPoll):
		}
	}
}

// alive finds every process of the target: by its having been seen before, by its parents, by its process group, and by its environment.
func (r *Running) alive() []proc.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	root := r.cmd.Process.Pid
	descends := map[int]bool{}
	select {
	case <-r.ended: // its number may be another's
	default:
		pids, _ := proc.Tree(root)
		for _, pid := range pids {
			descends[pid] = true
		}
	}
	all, _ := proc.Processes()
	var found []proc.Process
	for _, p := range all {
		id := identity{p.PID, p.Start}
		_, seen := r.seen[id]
		if !seen && !descends[p.PID] && p.Group != root && !marked(p.PID, r.mark) {
			continue
		}
		if found = append(found, p); !seen {
			r.seen[id] = proc.Usage{}
		}
	}
	return found
}

// marked reports whether a process was started with a variable in its environment (proc_pid_environ(5)).
func marked(pid int, variable string) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(text, []byte(variable))
}

// kill ends processes that may not refuse. They were alive a moment ago, so their numbers are theirs still.
func kill(all []proc.Process) {
	for _, p := range all {
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
	}
}
