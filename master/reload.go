package master

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/control"
	"github.com/prefork/cluster/master/journal"
)

// reloading is the reading of the configuration, which happens beside the loop: a file system may hang.
type reloading struct {
	load    func() (configs.Config, error)
	runs    bool
	again   bool               // asked for since it began
	replies []chan *api.Reload // of those who wait for the running one
	waiting []chan *api.Reload // of those who wait for the one after it
	last    *api.Reload
	before  *configs.Config // until the workers with other settings have proved good; nil: there are none
	proof   int             // the generation that has to
}

// hangUp is what SIGHUP asks for: log files, certificates and the configuration are opened anew.
func (l *loop) hangUp(reply chan *api.Reload) {
	_ = l.reopenLogs()
	l.system.readKeys()
	r := &l.reloading
	if reply != nil {
		r.waiting = append(r.waiting, reply)
	}
	if r.again = r.runs; !r.runs {
		l.readConfiguration()
	}
}

func (l *loop) readConfiguration() {
	r := &l.reloading
	r.runs, r.again = true, false
	r.replies, r.waiting = r.waiting, nil
	go func() {
		ev := loadedEvent{}
		if ev.config, ev.err = r.load(); ev.err == nil {
			ev.token, ev.err = readToken(l.log, ev.config)
		}
		l.events <- ev
	}()
}

// loaded takes over what was read, or says why not.
func (l *loop) loaded(ev loadedEvent, now time.Time) {
	r := &l.reloading
	r.runs = false
	r.last = l.take(ev, now)
	for _, reply := range r.replies {
		reply <- r.last
	}
	if r.again {
		l.readConfiguration()
	}
}

func (l *loop) take(ev loadedEvent, now time.Time) *api.Reload {
	result := &api.Reload{At: now}
	refuse := func(err error) *api.Reload {
		result.Outcome, result.Errors = api.ReloadRefused, strings.Split(err.Error(), "\n")
		result.Changes = configs.Changes{}
		for _, text := range result.Errors {
			l.log.Error("configuration refused: everything stays as it was", "err", text, "event", journal.ReloadRefused)
		}
		return result
	}
	if ev.err != nil {
		return refuse(ev.err)
	}
	l.keepThreads(&ev.config)
	taken, changes := configs.Take(l.state.Config, ev.config)
	if result.Changes = changes; changes.Empty() {
		result.Outcome = api.ReloadUnchanged
		l.level.Set(taken.Level())
		l.allow(control.Access{Page: taken.Page, Token: ev.token})
		l.log.Info("configuration unchanged", "event", journal.ReloadUnchanged)
		return result
	}
	before := l.state.Config
	if err := l.system.configure(taken); err != nil {
		return refuse(err)
	}
	l.state.Config = taken
	if len(changes.Restart) > 0 && !l.state.Stopping {
		g, err := l.restart(now)
		if err != nil {
			l.state.Config = before
			_ = l.system.configure(before) // it was good once
			return refuse(err)
		}
		result.Generation = g
		if r := &l.reloading; r.before == nil || l.state.Good >= r.proof {
			r.before = &before
		}
		l.reloading.proof = g
	}
	if slices.Compare(before.Measuring(), taken.Measuring()) != 0 {
		warnOfMeasuring(l.log, taken)
	}
	l.level.Set(taken.Level())
	l.allow(control.Access{Page: taken.Page, Token: ev.token})
	if limitsOf(before) != limitsOf(taken) {
		l.tellLimits()
	}
	if slices.Contains(changes.Live, "workers") {
		to := taken.Workers
		if taken.Elastic > 0 { // the load has decided how many of them are needed, and goes on to
			to = min(max(to, l.wanted()), taken.Elastic)
		}
		if _, err := l.scale(scaleRequest{to: to}); err != nil {
			l.log.Warn("not scaled", "err", err, "event", journal.ScaleRefused)
		}
	}
	result.Outcome = api.ReloadDone
	level, name, text := slog.LevelInfo, journal.ReloadDone, "configuration taken over"
	if len(changes.Kept) > 0 {
		result.Outcome = api.ReloadPartly
		level, name, text = slog.LevelWarn, journal.ReloadPartly, "configuration taken over in part: what was kept needs a new start"
	}
	l.log.Log(context.Background(), level, text, "live", strings.Join(changes.Live, " "), "restart", strings.Join(changes.Restart, " "), "kept", strings.Join(changes.Kept, " "), "event", name)
	return result
}

// takeBack follows the workers, which go back to an older generation: the settings that they were to see count as not taken
// over, so that another reload tries them again, and another restart does not.
func (l *loop) takeBack() {
	r := &l.reloading
	if r.before == nil || l.state.Good >= r.proof {
		return
	}
	back := configs.Undo(l.state.Config, *r.before)
	r.before = nil
	if err := l.system.configure(back); err != nil {
		l.log.Error("settings cannot be taken back", "err", err, "event", journal.ReloadBackFailed)
		return
	}
	l.state.Config = back
	last := *r.last
	last.Outcome = api.ReloadTakenBack
	r.last = &last
	l.log.Warn("settings were taken back with the workers that were to see them: correct them and reload", "settings", strings.Join(last.Restart, " "), "event", journal.ReloadTakenBack)
}

// readToken reads the token that the metrics address asks for; empty: none.
func readToken(log *slog.Logger, c configs.Config) (string, error) {
	if c.Metrics == "off" {
		return "", nil
	}
	token, open, err := control.ReadToken(c.MetricsTokenFile)
	if open {
		log.Warn("other users can read the token of the metrics address: chmod o-r it", "path", c.MetricsTokenFile, "event", journal.TokenReadable)
	}
	if err == nil && token == "" && c.Page && !control.Loopback(c.Metrics) {
		log.Warn("whoever reaches the metrics address sees the status, with the paths of requests: give --metrics-token-file, or --page=false", "metrics", c.Metrics, "event", journal.StatusPublic)
	}
	return token, err
}
