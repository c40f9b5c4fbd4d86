package master

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/master/keyring"
	"github.com/prefork/cluster/master/plan"
)

// request does what the control socket asks for; false: the event is no request.
func (l *loop) request(ev event, now time.Time) bool {
	switch ev := ev.(type) {
	case restartRequest:
		ev.reply <- l.restartAsked(ev.slot, now)
	case scaleRequest:
		n, err := l.scale(ev)
		ev.reply <- scaleReply{n, err}
	case stopRequest:
		l.stop(ev.now)
		ev.reply <- l.stopping(now)
	case threadsRequest:
		ev.reply <- l.changeThreads(ev.to)
	case levelRequest:
		ev.reply <- l.changeLevel(ev.level)
	case profileRequest:
		l.startProfile(ev, now)
	case stacksRequest:
		l.startDump(ev.reply, now)
	case reloadRequest:
		l.hangUp(ev.reply)
	case reopenRequest:
		ev.reply <- l.reopenLogs()
	default:
		return false
	}
	return true
}

// restart begins a rolling restart and returns the number of the new generation.
func (l *loop) restart(now time.Time) (int, error) {
	if l.state.Stopping {
		return 0, errors.New("the cluster is stopping")
	}
	g := l.state.Newest + 1
	if err := l.system.newGeneration(g); err != nil {
		l.log.Error("restart refused: nothing has changed", "err", err, "event", journal.RestartRefused)
		return 0, err
	}
	l.generations[g] = l.state.Config.Threads
	l.state.Restart(g, now)
	l.log.Info("rolling restart", "generation", g, "event", journal.RestartBegun)
	return g, nil
}

// restartAsked begins a rolling restart or, for one slot, the replacement of its worker.
func (l *loop) restartAsked(slot *int, now time.Time) restartReply {
	if slot == nil {
		g, err := l.restart(now)
		return restartReply{generation: g, err: err}
	}
	if l.state.Config.InProcess() {
		return restartReply{err: errors.New("one process has the threads of all workers: restart it without --slot")}
	}
	if err := l.renew(*slot, plan.Restart, "an operator asked for it", now); err != nil {
		return restartReply{err: err}
	}
	return restartReply{renewal: l.state.Renewals[len(l.state.Renewals)-1].Number}
}

func (l *loop) renew(slot int, why plan.Reason, detail string, now time.Time) error {
	if err := l.state.Renew(slot, why, detail, now); err != nil {
		return err
	}
	r := l.state.Renewals[len(l.state.Renewals)-1]
	l.log.Info("worker is to be replaced", "slot", l.slot(plan.SeatID{Slot: slot}), "pid", r.PID, "generation", r.Generation, "reason", r.Reason, "detail", detail, "event", journal.WorkerRenewed)
	return nil
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
	case l.state.Config.Elastic > 0 && (n < l.state.Config.Workers || n > l.state.Config.Elastic):
		return before, fmt.Errorf("cannot scale to %d workers: between %d and %d the load decides (the setting workers)", n, l.state.Config.Workers, l.state.Config.Elastic)
	case n < 1 || n > l.state.Config.MaxWorkers:
		return before, fmt.Errorf("cannot scale to %d workers: 1 to %d are possible (--max-workers at start sets the limit)", n, l.state.Config.MaxWorkers)
	case n == before:
		return n, nil
	case !l.state.Config.InProcess() && n > l.state.Config.FitInMemory():
		return before, fmt.Errorf("cannot scale to %d workers: memory is enough for %d (raise the setting memory and reload)", n, l.state.Config.FitInMemory())
	}
	l.log.Info("scaling", "from", before, "to", n, "why", r.why, "event", journal.Scaled)
	if l.state.Config.InProcess() {
		l.workers, l.most = n, max(l.most, n)
	} else {
		l.state.Scale(n)
	}
	if l.state.Config.InProcess() || l.state.Config.Memory > 0 { // there are more threads, or there is less memory for each
		l.tellLimits()
	}
	return n, nil
}

// changeThreads sets the threads of each worker, as a reload of the setting does.
func (l *loop) changeThreads(n int) error {
	c := &l.state.Config
	switch {
	case l.state.Stopping:
		return errors.New("the cluster is stopping")
	case c.InProcess():
		return errors.New("threads cannot be changed in process, since each is counted by its number: change the setting and reload, which replaces the process")
	case n < 1 || n > c.Cells():
		return fmt.Errorf("cannot have %d threads a worker: 1 to %d are possible (--max-threads at start sets the limit)", n, c.Cells())
	case n == c.Threads:
		return nil
	}
	l.log.Info("threads changed", "from", c.Threads, "to", n, "event", journal.ThreadsChanged)
	if l.setThreads == nil {
		before := c.Threads
		l.setThreads = &before
	}
	c.Threads = n
	l.tellLimits()
	return nil
}

// keepThreads leaves threads that were set by hand as they are, unless the configuration says something new of them.
func (l *loop) keepThreads(c *configs.Config) {
	if l.setThreads != nil && c.Threads == *l.setThreads {
		c.Threads = l.state.Config.Threads
	} else {
		l.setThreads = nil
	}
}

// changeLevel sets the least that is logged, until the configuration is read anew. It returns what it was.
func (l *loop) changeLevel(level slog.Level) (before slog.Level) {
	before = l.level.Level()
	l.level.Set(min(level, before)) // so that it is seen
	l.log.Info("log level changed, until the next reload", "from", before.String(), "to", level.String(), "event", journal.LogLevelChanged)
	l.level.Set(level)
	return before
}

// limits are those that a worker of a generation has now. In process its number of threads is that of the generation.
func (l *loop) limits(generation int) ipc.Limits {
	limits := limitsOf(l.state.Config)
	limits.Leaving = l.state.Stopping
	if l.state.Config.InProcess() {
		limits.Workers, limits.Threads = l.workers, l.generations[generation]
	} else {
		limits.Memory = l.state.Config.WorkerMemory(l.state.Wanted)
	}
	return limits
}

// tellLimits puts the limits in force in the workers that run. Those to come are started with them.
func (l *loop) tellLimits() {
	for id, k := range l.state.Workers() {
		limits := l.limits(k.Generation)
		if err := l.system.send(id, ipc.Message{Type: ipc.Configure, Limits: &limits}); err != nil {
			l.worker(slog.LevelWarn, "worker cannot be told the new limits: it keeps the old ones", id, "err", err, "event", journal.WorkerLimitsFailed)
		}
	}
}

// stop drains all workers or, now, kills them.
func (l *loop) stop(now bool) {
	switch {
	case now:
		l.log.Warn("stopping at once: workers are killed", "event", journal.StoppingNow)
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
			l.log.Info("stopping: all is served as before, and workers drain after the delay", "delay", l.state.Config.DrainDelay.String(), "event", journal.StopDelayed)
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
		l.log.Info("stopping: workers drain", "timeout", l.state.Config.DrainTimeout.String(), "event", journal.Stopping)
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
		l.log.Error("log file cannot be reopened: writing to the old one", "err", err, "event", journal.LogsReopenFailed)
	} else {
		l.log.Info("logs reopened", "event", journal.LogsReopened)
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
		l.log.Error("certificates cannot be read: the old ones stay in use", "err", u.Err, "event", journal.CertificatesFailed)
		return
	}
	l.system.setKeys(u.Sealed)
	for id := range l.state.Workers() {
		if err := l.system.giveKeys(id); err != nil {
			l.worker(slog.LevelWarn, "worker cannot be given certificates", id, "err", err, "event", journal.WorkerKeysFailed)
		}
	}
	if u.Ticket {
		return
	}
	l.log.Info("certificates read", "why", u.Why, "expires", u.Expiry.UTC().Format(time.RFC3339), "event", journal.CertificatesRead)
	warnOfExpiry(l.log, u.Expiry, now)
}

// expiryNotice is how long before a certificate expires its owner is told.
const expiryNotice = 14 * 24 * time.Hour

func warnOfExpiry(log *slog.Logger, expiry, now time.Time) {
	if !expiry.IsZero() && expiry.Sub(now) < expiryNotice {
		log.Warn("a certificate expires soon, or has expired: put a new one in its place, it is read at once", "expires", expiry.UTC().Format(time.RFC3339), "event", journal.CertificateExpires)
	}
}
