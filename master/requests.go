package master

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/keyring"
	"github.com/prefork/cluster/master/plan"
)

// restart begins a rolling restart and returns the number of the new generation.
func (l *loop) restart(now time.Time) (int, error) {
	if l.state.Stopping {
		return 0, errors.New("the cluster is stopping")
	}
	g := l.state.Newest + 1
	if err := l.system.newGeneration(g); err != nil {
		l.log.Error("restart refused: nothing has changed", "err", err)
		return 0, err
	}
	l.generations[g] = l.state.Config.Threads
	l.state.Restart(g, now)
	l.log.Info("rolling restart", "generation", g)
	return g, nil
}

// wanted is how many workers there are to be. To the plan one process that has the threads of all is a single one.
func (l *loop) wanted() int {
	if l.state.Config.InProcess() {
		return l.workers
	}
	return l.state.Wanted
}

func (l *loop) scale(r scaleRequest) (int, error) {
	before := l.wanted()
	n := r.to
	if n == 0 {
		n = before + r.by
	}
	switch {
	case l.state.Stopping:
		return before, errors.New("the cluster is stopping")
	case n < 1 || n > l.state.Config.MaxWorkers:
		return before, fmt.Errorf("cannot scale to %d workers: 1 to %d are possible (--max-workers at start sets the limit)", n, l.state.Config.MaxWorkers)
	case n == before:
		return n, nil
	}
	l.log.Info("scaling", "from", before, "to", n)
	if l.state.Config.InProcess() {
		l.workers, l.most = n, max(l.most, n)
		l.tellLimits()
	} else {
		l.state.Scale(n)
	}
	return n, nil
}

// limits are those that a worker of a generation has now. In process its number of threads is that of the generation.
func (l *loop) limits(generation int) ipc.Limits {
	limits := limitsOf(l.state.Config)
	limits.Leaving = l.state.Stopping
	if l.state.Config.InProcess() {
		limits.Workers, limits.Threads = l.workers, l.generations[generation]
	}
	return limits
}

// tellLimits puts the limits in force in the workers that run. Those to come are started with them.
func (l *loop) tellLimits() {
	for id, k := range l.state.Workers() {
		limits := l.limits(k.Generation)
		if err := l.system.send(id, ipc.Message{Type: ipc.Configure, Limits: &limits}); err != nil {
			l.worker(slog.LevelWarn, "worker cannot be told the new limits: it keeps the old ones", id, "err", err)
		}
	}
}

// stop drains all workers or, now, kills them.
func (l *loop) stop(now bool) {
	switch {
	case now:
		l.log.Warn("stopping at once: workers are killed")
		l.state.Stop(plan.ExitForced, "the cluster was told to stop at once")
		if l.state.ExitCode == plan.ExitClean {
			l.state.ExitCode = plan.ExitForced
		}
		l.state.Force()
		l.forceFront(time.Now())
		l.beginDrain()
	case !l.state.Stopping:
		l.state.StopAfter(l.state.Config.DrainDelay, plan.ExitClean, "the cluster stops", time.Now())
		if l.state.Lingers() {
			l.log.Info("stopping: all is served as before, and workers drain after the delay", "delay", l.state.Config.DrainDelay.String())
			l.tellLimits() // each answer is the last one of its connection
			return
		}
		l.beginDrain()
	}
}

// beginDrain takes nothing new from here on. Workers hold duplicates: each listener lives until its worker has taken what waits
// in it.
func (l *loop) beginDrain() {
	if l.state.ExitCode == plan.ExitClean {
		l.log.Info("stopping: workers drain", "timeout", l.state.Config.DrainTimeout.String())
	}
	l.system.closeListeners()
}

// advance lets time pass for the state, and begins the drain when its delay is over.
func (l *loop) advance(now time.Time) (wake time.Time) {
	lingers := l.state.Lingers()
	wake = l.state.Advance(now)
	if lingers && l.state.Leaving() {
		l.beginDrain()
	}
	return wake
}

// stopping is what a stop waits for.
func (l *loop) stopping(now time.Time) (s api.Stopping) {
	if l.state.Lingers() {
		s.DrainDelay = l.state.DrainFrom.Sub(now).Seconds()
	}
	if l.state.ExitCode == plan.ExitClean {
		s.DrainTimeout = l.state.Config.DrainTimeout.Seconds()
	}
	return s
}

func (l *loop) reopenLogs() error {
	err := l.system.reopenLogs()
	if err != nil {
		l.log.Error("log file cannot be reopened: writing to the old one", "err", err)
	} else {
		l.log.Info("logs reopened")
	}
	for id := range l.state.Workers() { // one of two files may have been opened
		_ = l.system.tellReopened(id) // if it does not read, it writes to the old one
	}
	return err
}

// newKeys hands keys to all workers; those to come get them at their start. Broken files change nothing.
func (l *loop) newKeys(u keyring.Update, now time.Time) {
	l.keysErr = u.Err
	if u.Err != nil {
		l.log.Error("certificates cannot be read: the old ones stay in use", "err", u.Err)
		return
	}
	l.system.setKeys(u.Sealed)
	for id := range l.state.Workers() {
		if err := l.system.giveKeys(id); err != nil {
			l.worker(slog.LevelWarn, "worker cannot be given certificates", id, "err", err)
		}
	}
	if u.Ticket {
		return
	}
	l.log.Info("certificates read", "why", u.Why, "expires", u.Expiry.UTC().Format(time.RFC3339))
	warnOfExpiry(l.log, u.Expiry, now)
}

// expiryNotice is how long before a certificate expires its owner is told.
const expiryNotice = 14 * 24 * time.Hour

func warnOfExpiry(log *slog.Logger, expiry, now time.Time) {
	if !expiry.IsZero() && expiry.Sub(now) < expiryNotice {
		log.Warn("a certificate expires soon, or has expired: put a new one in its place, it is read at once", "expires", expiry.UTC().Format(time.RFC3339))
	}
}
