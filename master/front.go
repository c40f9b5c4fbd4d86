package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/master/control"
	"github.com/prefork/cluster/master/front"
	"github.com/prefork/cluster/master/inboxes"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/master/logs"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/master/process"
	"github.com/prefork/cluster/master/sockets"
)

// frontVerb is how the program of the master is run as a front, of which package cmd/cluster/front is the other side.
const frontVerb = "front"

// frontProcess is how the front is run, and what is held of the one that runs. A nil one is that of a cluster without a front.
type frontProcess struct {
	program *generation      // the master's own, as it was at the start: no restart changes it
	private *sockets.Private // where it finds the workers; nil with passed: it sends to their inboxes
	config  ipc.WorkerConfig // but for the limits
	control *ipc.Channel     // nil: none runs
}

// makeFront makes what a front needs, if the dispatch has one.
func (m *Master) makeFront(r *recipe) error {
	if !m.config.Fronted() {
		return nil
	}
	own := *r
	own.argv = nil
	g, err := own.resolve(0)
	if err != nil {
		return err
	}
	g.args = []string{frontVerb, m.config.Dispatch}
	g.env = process.Environment(os.Environ(), configs.OwnVariables(), g.as.Env()...) // GOMAXPROCS: all CPUs
	f := &frontProcess{program: g, config: ipc.WorkerConfig{MaxHead: int(m.config.MaxHead)}}
	if m.config.Copied() {
		folder := m.control + ".front"
		if most := ipc.SlotSocket(folder, m.config.MaxWorkers-1); len(most) > control.MaxSocketPath {
			return &StartError{plan.ExitConfig, fmt.Errorf("socket %s of a worker: the path has %d bytes, a unix socket allows %d: give a shorter --control", most, len(most), control.MaxSocketPath)}
		}
		if err := control.PrivateDir(folder); err != nil {
			return &StartError{plan.ExitConfig, err}
		}
		if f.private, err = sockets.NewPrivate(folder, m.config.Backlog); err != nil {
			return &StartError{plan.ExitConfig, err}
		}
		g.args = append(g.args, folder)
		m.cleanups = append(m.cleanups, f.private.Remove)
	}
	m.machine.front = f
	return nil
}

// copies says whether workers serve the private sockets of their slots instead of the clients' listeners.
func (f *frontProcess) copies() bool { return f != nil && f.private != nil }

// openSlot lets the front reach the workers of a new slot.
func (f *frontProcess) openSlot(all *inboxes.Set, slot int) error {
	switch {
	case f == nil:
		return nil
	case f.private != nil:
		return f.private.OpenSlot(slot)
	case f.control == nil:
		return nil
	}
	for seat, send := range all.Senders() {
		if seat/2 != slot {
			continue
		}
		if err := f.control.Send(ipc.Message{Type: ipc.Peer, Seat: seat}, send.Int()); err != nil {
			return fmt.Errorf("the front cannot be told of a new slot: %w", err)
		}
	}
	return nil
}

func (m *machine) startFront(limits ipc.Limits) (int, error) {
	f := m.front
	h := ipc.Handover{Seat: ipc.FrontSeat, Config: f.config, Binds: m.sockets.Slot(0), Peers: m.inboxes.Senders()}
	h.Config.Limits = limits
	c, pid, err := m.launch(f.program, sockets.FrontTitle, &h, logs.Origin{Title: "front", Event: journal.FrontOutput})
	if err != nil {
		return 0, err
	}
	if f.control != nil {
		f.control.Close()
	}
	f.control = c.control
	go m.hearFront(pid, c)
	return pid, nil
}

// hearFront waits for the only thing that a front has to say, and for its end.
func (m *machine) hearFront(pid int, c *child) {
	defer c.output.Ended()
	for {
		msg, fd, err := c.control.Receive()
		if fd != nil {
			fd.Close()
		}
		var malformed *ipc.MalformedError
		switch {
		case err == nil && msg.Type == ipc.Ready:
			m.emit(frontEvent{pid})
		case err != nil && !errors.As(err, &malformed):
			return
		}
	}
}

// tendFront does what the supervision of the front wants now. It is true if that may have changed what else there is to do.
func (l *loop) tendFront(now time.Time) (changed bool, wake time.Time) {
	if l.front.Hopeless() && !l.state.Stopping {
		l.log.Error("start failed: the front has ended each time before it was ready", "event", journal.FrontHopeless)
		l.state.Stop(plan.ExitFailure, "the front cannot be started")
		l.state.Force()
	}
	if l.state.Leaving() {
		l.front.Stop()
	}
	do, wake := l.front.Next(now, l.state.Config.BootTimeout, l.state.Config.DrainTimeout)
	switch do {
	case front.Start:
		pid, err := l.system.startFront(limitsOf(l.state.Config))
		if err != nil {
			l.log.Error("front cannot be started", "err", err, "event", journal.FrontStartFailed)
			l.front.Failed(now)
			break
		}
		l.front.Started(pid, now)
		l.log.Debug("front started", "pid", pid, "event", journal.FrontStarted)
	case front.Terminate:
		_ = l.system.signal(l.front.PID, syscall.SIGTERM)
	case front.Kill:
		l.log.Warn("front hangs: it is killed", "pid", l.front.PID, "event", journal.FrontKilled)
		_ = l.system.signal(l.front.PID, syscall.SIGKILL)
	}
	return do != front.Nothing || l.state.Fronted == l.front.Gone(), wake
}

func (l *loop) forceFront(now time.Time) {
	if l.front.Force(now) == front.Kill {
		_ = l.system.signal(l.front.PID, syscall.SIGKILL)
	}
}

func (l *loop) frontReady(pid int, now time.Time) {
	if l.front.Ready(pid, now) {
		l.log.Info("front ready", "pid", pid, "took", now.Sub(l.front.Spawned).Round(time.Millisecond).String(), "event", journal.FrontReady)
	}
}

// frontLeft takes the end of the front in; it is false if another process has ended.
func (l *loop) frontLeft(ev exitEvent, now time.Time) bool {
	if !l.front.Exited(ev.pid, now) {
		return false
	}
	level, name, text := slog.LevelError, journal.FrontDied, "front died: the connections in its hands are lost, others wait"
	if l.state.Leaving() {
		level, name, text = slog.LevelInfo, journal.FrontLeft, "front left"
	}
	l.log.Log(context.Background(), level, text, "pid", ev.pid, "status", ev.status.String(), "event", name)
	return true
}
