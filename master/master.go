package master

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/master/application"
	"github.com/prefork/cluster/master/control"
	"github.com/prefork/cluster/master/hooks"
	"github.com/prefork/cluster/master/inboxes"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/master/keyring"
	"github.com/prefork/cluster/master/logs"
	"github.com/prefork/cluster/master/notify"
	"github.com/prefork/cluster/master/page"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/master/process"
	"github.com/prefork/cluster/master/sockets"
	"github.com/prefork/cluster/metrics"
	"github.com/prefork/cluster/metrics/rates"
)

// keptEvents are as many as a quiet cluster has in weeks, and one that restarts all the time in an hour.
const keptEvents = 1000

// Master is one running cluster.
type Master struct {
	config         configs.Config
	version        string
	load           func() (configs.Config, error)
	control        string // path of the control socket
	program        string
	byPath         bool // the program is a script
	metricsAddress string
	limits         process.Limits
	binds          []configs.Bind
	board          *scoreboard.Board
	clock          scoreboard.Clock
	sockets        *sockets.Set
	memory         *metrics.Sampler
	rates          *rates.Sampler
	ring           *keyring.Ring // nil if no bind speaks TLS
	machine        *machine
	output         *logs.Output
	level          slog.LevelVar // of the log
	journal        *journal.Journal
	loop           *loop
	done           chan struct{} // closed when the loop has ended
	listener       net.Listener  // of the control socket
	api            *control.API
	cleanups       []func()
}

// StartError is a start that did not come to be, with the exit code for it.
type StartError struct {
	Code int
	Err  error
}

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// Run starts a cluster, supervises it in the foreground until it has stopped, and returns the exit code. The error, if
// any, is for a person; the code is then the same as that of a *StartError. load reads the configuration anew, on SIGHUP.
func Run(c configs.Config, version string, load func() (configs.Config, error)) (code int, err error) {
	m := &Master{config: c, version: version, load: load, journal: journal.New(keptEvents), done: make(chan struct{})}
	defer func() {
		for i := len(m.cleanups) - 1; i >= 0; i-- {
			m.cleanups[i]()
		}
	}()
	if err := m.start(); err != nil {
		var se *StartError
		if errors.As(err, &se) {
			return se.Code, err
		}
		if errors.Is(err, sockets.ErrTaken) {
			return plan.ExitAddressTaken, err
		}
		return plan.ExitFailure, err
	}
	code = m.loop.run()
	close(m.done)
	if code == plan.ExitNoWorker {
		return code, m.startFailure()
	}
	return code, nil
}

func (m *Master) start() error {
	if runtime.GOOS != "linux" {
		return &StartError{plan.ExitConfig, fmt.Errorf("a cluster needs Linux (memfd, SO_REUSEPORT groups, /proc), this is %s: a program that uses the worker library also runs alone, without cluster", runtime.GOOS)}
	}
	// The master works little and holds little: a small heap is worth more to its users than its own speed.
	debug.SetGCPercent(50)
	if m.config.Name != configs.DefaultName {
		// In ps and top masters are told apart by it; the kernel cuts it at 15 bytes.
		_ = os.WriteFile("/proc/self/comm", []byte("cluster:"+m.config.Name), 0)
	}
	recipe, err := newRecipe(m.config)
	if err != nil {
		return err
	}
	first, err := recipe.resolve(1)
	if se := (*StartError)(nil); errors.As(err, &se) {
		return err
	}
	if err != nil {
		return &StartError{plan.ExitUsage, err}
	}
	m.program, m.byPath = first.path, first.program == nil
	if m.limits, err = process.ReadLimits(); err != nil {
		return err
	}
	switch { // how many ends a worker holds
	case m.config.Handoff():
		m.limits.Inboxes = 2 * int64(min(m.config.MaxWorkers, inbox.GroupSlots))
	case m.config.Inboxes():
		m.limits.Inboxes = 1
	}
	if err := m.limits.Enough(m.config.MostProcesses(), len(m.config.Binds)); err != nil {
		return &StartError{plan.ExitConfig, err}
	}
	if err := m.openControl(); err != nil {
		return err
	}
	if m.output, err = logs.Open(m.config.LogFile, m.config.LogFormat); err != nil {
		return &StartError{plan.ExitConfig, err}
	}
	m.cleanups = append(m.cleanups, m.output.Close)
	m.level.Set(m.config.Level())
	log := slog.New(m.journal.Handler(newHandler(m.config.LogFormat, &m.level, m.output)))
	m.logLimits(log)
	warnOfMeasuring(log, m.config)
	if err := m.bind(log); err != nil {
		return err
	}
	if err := m.writePidfile(); err != nil {
		return err
	}
	if m.board, err = scoreboard.Create(m.config.MaxWorkers, m.config.Cells()); err != nil {
		return err
	}
	m.clock = scoreboard.NewClock()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("standard input of the workers: %w", err)
	}
	m.machine = &machine{
		Shell:   hooks.Shell{Output: m.output, Settings: configs.OwnVariables()},
		sockets: m.sockets, inboxes: inboxes.New(m.board, m.config.Inboxes()), board: m.board, boardFD: ipc.Own(m.board.FD()), clock: m.clock, together: m.config.InProcess(), recipe: recipe, output: m.output, application: application.New(log),
		generations: map[int]*generation{1: first}, stop: m.done, workers: map[plan.SeatID]*child{}, null: null, reloadKeys: make(chan struct{}, 1),
	}
	if m.machine.requests, err = openRequests(m.config); err != nil {
		return &StartError{plan.ExitConfig, err}
	}
	m.machine.requestsPath = m.config.LogRequestsFile
	if err := m.makeFront(recipe); err != nil {
		return err
	}
	if err := m.readKeys(log); err != nil {
		return err
	}
	m.loop = newLoop(plan.New(m.config, time.Now()), m.machine, log)
	m.machine.events = m.loop.events
	m.loop.control = m.control
	m.loop.level, m.loop.reloading.load = &m.level, m.load
	m.memory = metrics.NewSampler(m.pids)
	m.machine.sampler = m.memory
	m.rates = rates.NewSampler(m.board, m.clock, m.processes)
	m.api = control.New(m, m.journal, log, m.done)
	if err := m.serveMetrics(log); err != nil {
		return err
	}
	go process.Reap(m.done, func(e process.Ended) {
		status := plan.StatusOf(e.Status)
		status.OOM = e.OOM
		m.machine.emit(exitEvent{pid: e.PID, status: status, cpu: e.CPU})
	})
	go m.memory.Run(m.done)
	go m.rates.Run(m.done)
	if m.ring != nil {
		go m.ring.Watch(m.machine.reloadKeys, m.done, func(u keyring.Update) { m.machine.emit(keysEvent{u}) })
	}
	m.watchSignals()
	m.serveControl()
	go notify.Run(m.done, m.look, func(err error) {
		log.Warn("the service manager cannot be told how the cluster is", "err", err, "event", journal.NotifyFailed)
	})
	log.Info("cluster starts", "version", m.version, "pid", os.Getpid(), "binds", joinBinds(m.binds), "mode", m.config.Mode, "workers", m.config.Workers,
		"threads", m.config.Threads, "metrics", cmp.Or(m.metricsAddress, "off"), "control", m.control, "event", journal.ClusterStarting)
	return nil
}

// readKeys reads the certificates of tls binds, if there are any.
func (m *Master) readKeys(log *slog.Logger) error {
	m.ring = keyring.New(m.binds, time.Now())
	if m.ring == nil {
		return nil
	}
	u := m.ring.Seal()
	if u.Err != nil {
		return &StartError{plan.ExitConfig, u.Err}
	}
	m.machine.setKeys(u.Sealed)
	warnOfExpiry(log, u.Expiry, time.Now())
	return nil
}

func newHandler(format string, level *slog.LevelVar, o *logs.Output) slog.Handler {
	opts := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.NewJSONHandler(o, opts)
	}
	return slog.NewTextHandler(o, opts)
}

func joinBinds(binds []configs.Bind) string {
	text := make([]string, len(binds))
	for i, b := range binds {
		text[i] = b.Plain()
	}
	return strings.Join(text, " ")
}

func (m *Master) logLimits(log *slog.Logger) {
	log.Debug("limits", "files", m.limits.Files, "files_max", m.limits.FilesMax, "core", m.limits.Core, "core_pattern", m.limits.CorePattern, "event", journal.LimitsRead)
	wanted := int64(cmp.Or(m.config.MaxConnections, process.FewConnections))
	if fit := m.limits.Connections(); fit >= 0 && fit < wanted {
		log.Warn("few connections fit under the limit of file descriptors: raise `ulimit -n`, or LimitNOFILE= of the unit", "limit", m.limits.FilesMax, "connections", fit, "wanted", wanted, "event", journal.DescriptorsFew)
	}
}

// warnOfMeasuring names the settings in use that no service should have.
func warnOfMeasuring(log *slog.Logger, c configs.Config) {
	if names := c.Measuring(); len(names) > 0 {
		log.Warn("settings are in use that are for measuring only: a service is better off without them", "settings", strings.Join(names, " "), "event", journal.MeasuringOnly)
	}
}

// writePidfile comes after the addresses are bound, so that nobody takes the cluster for started when it cannot be.
func (m *Master) writePidfile() error {
	if m.config.Pidfile == "" {
		return nil
	}
	p, err := process.WritePidfile(m.config.Pidfile)
	var held *process.HeldError
	if errors.As(err, &held) {
		return &StartError{plan.ExitAddressTaken, err}
	}
	if err != nil {
		return &StartError{plan.ExitConfig, err}
	}
	m.cleanups = append(m.cleanups, p.Remove)
	return nil
}

// openControl takes the control socket, before anything is bound, so that a second start fails early and harmlessly.
func (m *Master) openControl() error {
	if err := control.PrivateDir(control.RuntimeDir()); err != nil {
		return &StartError{plan.ExitConfig, err}
	}
	m.control = m.config.Control
	if m.control == "" {
		m.control = control.SocketPath(m.config.Name)
	}
	l, lock, err := control.Listen(m.control)
	if err != nil {
		if errors.Is(err, sockets.ErrTaken) {
			return err
		}
		return &StartError{plan.ExitConfig, err}
	}
	m.listener = l
	m.cleanups = append(m.cleanups, func() {
		l.Close()
		lock.Release()
	})
	return nil
}

func (m *Master) serveControl() {
	server := m.api.Server()
	m.cleanups = append(m.cleanups, server.Close)
	go server.Serve(m.listener)
}

// bind claims the addresses. Workers of a dead master may still hold one: they leave by themselves, which is waited for.
func (m *Master) bind(log *slog.Logger) error {
	dir := filepath.Join(control.RuntimeDir(), "locks")
	if err := control.PrivateDir(dir); err != nil {
		return &StartError{plan.ExitConfig, err}
	}
	options := sockets.Options{
		Dir: dir, Holder: fmt.Sprintf("pid %d, control socket %s", os.Getpid(), m.control),
		Backlog: m.config.Backlog, Shared: m.config.OneListener(),
	}
	patience, told := sockets.NewPatience(time.Now().Add(m.config.OrphanGrace+m.config.DrainTimeout+time.Second)), false
	for {
		set, err := sockets.Open(m.config.Binds, options)
		if err == nil {
			m.sockets, m.binds = set, set.Binds()
			m.cleanups = append(m.cleanups, set.Unlock, set.Close)
			if note := set.Note(); note != "" {
				log.Warn(note, "event", journal.SocketsDiffer)
			}
			return nil
		}
		var taken *sockets.TakenError
		switch {
		case !errors.Is(err, sockets.ErrTaken):
			return &StartError{plan.ExitConfig, err}
		case !errors.As(err, &taken), !patience.Again(taken, time.Now()):
			return fmt.Errorf("%w; stop that one or give another --bind", err)
		case taken.Orphans() && !told:
			told = true
			log.Warn("workers of a dead master hold the address: waiting for them to leave", "err", err, "event", journal.AddressHeld)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (m *Master) serveMetrics(log *slog.Logger) error {
	if m.config.Metrics == "off" {
		return nil
	}
	token, err := readToken(log, m.config)
	if err != nil {
		return &StartError{plan.ExitConfig, err}
	}
	l, err := net.Listen("tcp", m.config.Metrics)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("cannot serve metrics: %w (give another --metrics HOST:PORT, port 0 for any, or off)", sockets.Taken(configs.Bind{Scheme: "tcp", Address: m.config.Metrics}))
		}
		return &StartError{plan.ExitConfig, fmt.Errorf("cannot serve metrics on %s: %w", m.config.Metrics, err)}
	}
	m.metricsAddress = l.Addr().String()
	public := control.NewPublic(m.api, metrics.Handler(m, m.memory), page.Handler(), m.config.Metrics, control.Access{Page: m.config.Page, Token: token})
	m.loop.allow = public.Allow
	server := &http.Server{Handler: public, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute}
	go func() { _ = server.Serve(l) }()
	m.cleanups = append(m.cleanups, func() { _ = server.Close() })
	return nil
}

func (m *Master) watchSignals() {
	signals := make(chan os.Signal, 16)
	for _, row := range Signals {
		signal.Notify(signals, row.Signal)
	}
	signal.Ignore(syscall.SIGPIPE)
	go func() {
		for {
			select {
			case s := <-signals:
				m.machine.emit(signalEvent{s})
			case <-m.done:
				return
			}
		}
	}()
}

// startFailure says what the worker that died last had to say.
func (m *Master) startFailure() error {
	text := m.loop.state.StopWhy
	if lines := m.machine.lastLines(); len(lines) > 0 {
		return fmt.Errorf("start failed: %s; the last of them wrote:\n    %s", text, strings.Join(lines, "\n    "))
	}
	deaths := m.loop.snapshot.Load().Deaths
	if n := len(deaths); n > 0 && deaths[n-1].Reason != plan.BootTimeout.String() {
		text += "; the last of them: " + deaths[n-1].Detail
	} else if len(m.config.Program) > 0 {
		text += " (a program says that it is ready through the package worker: does " + m.program + " call worker.Serve?)"
	}
	return errors.New("start failed: " + text)
}
