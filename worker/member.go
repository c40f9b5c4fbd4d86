package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/keys"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/engine"
	"github.com/prefork/cluster/worker/internal/handoff"
	"github.com/prefork/cluster/worker/internal/kernel"
	"github.com/prefork/cluster/worker/internal/metronome"
	"github.com/prefork/cluster/worker/internal/pool"
	"github.com/prefork/cluster/worker/internal/publish"
)

// member is this process as a part of the cluster: its seat, its sources of connections and what is open.
type member struct {
	engine.Worker
	info    Info
	options options
	board   *scoreboard.Board
	control *ipc.Channel // nil when alone
	binds   []net.Listener
	engine  engine.Engine

	certificates keys.Store
	publisher    *publish.Publisher // of the application's metrics; nil: there are none, or nobody wants them

	mu        sync.Mutex
	sources   map[sourceKey]*source
	conns     map[*conn]struct{}
	accepting sync.WaitGroup // running Serve calls
	entering  int            // connections that are being accepted
	room      *sync.Cond     // on mu: perhaps one more may be open

	siblings *handoff.Siblings // to pass connections on to; nil: they stay
	inbox    *inboxSource      // nil: nobody passes any on to this worker
	final    atomic.Bool       // the whole cluster stops: connections stay, too

	descriptors int         // that this process may have
	scarce      atomic.Bool // they may run out

	coarse     atomic.Int64 // the clock at the last pulse: good enough for timeouts of seconds
	drainSince atomic.Int64
	drained    chan struct{} // closed when a draining worker accepts no more
	orders     chan order    // capacity 1: the first one counts
	empty      chan struct{} // capacity 1: a draining worker has closed its last connection
	failed     chan error    // capacity 1: a source broke
}

// order is why the worker drains.
type order struct {
	final bool // nobody else serves the listeners: accept what is queued first
	why   string
}

var (
	joined  atomic.Bool
	current atomic.Pointer[Info]
)

// Self says which worker this process is. Before Serve or Listeners was called it is the Info of a worker alone.
func Self() Info {
	if i := current.Load(); i != nil {
		return *i
	}
	return Info{Alone: true}
}

// join makes this process a member: of the cluster that started it, or of a cluster of one.
func join(o options) (*member, error) {
	if joined.Swap(true) {
		return nil, errors.New("worker: this process serves already: Serve, ServeServer and Listeners can be called once")
	}
	// The log of a worker is a pipe to the master. When the master dies, writing to it must not kill the worker.
	signal.Ignore(syscall.SIGPIPE)
	h, inherited, err := ipc.Inherit()
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	m := &member{
		Worker:  engine.Worker{Clock: scoreboard.NewClock()},
		options: o,
		sources: map[sourceKey]*source{},
		conns:   map[*conn]struct{}{},
		drained: make(chan struct{}),
		orders:  make(chan order, 1),
		empty:   make(chan struct{}, 1),
		failed:  make(chan error, 1),
	}
	if inherited {
		err = m.joinCluster(h)
	} else {
		err = m.standAlone()
	}
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	m.room = sync.NewCond(&m.mu)
	m.descriptors = kernel.DescriptorLimit()
	if m.Log = o.logger; m.Log == nil {
		var slot any = m.info.Slot
		if m.Config.InProcess() {
			slot = "all"
		}
		m.Log = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("slot", slot, "pid", os.Getpid(), "generation", m.info.Generation)
	}
	if err := m.makePool(); err != nil {
		return nil, m.giveUp(fmt.Errorf("worker: %w", err))
	}
	m.coarse.Store(m.Clock.Now())
	current.Store(&m.info)
	return m, nil
}

func (m *member) joinCluster(h *ipc.Handover) error {
	m.info = Info{Slot: h.Slot(), Seat: h.Seat, Generation: h.Generation}
	m.Config = h.Config
	// In ps and top a process has the name of its program file, which is a number here: it was run through a descriptor.
	name := fmt.Sprintf("cluster-w%d", m.info.Slot)
	if m.Config.InProcess() {
		name = "cluster-workers"
	}
	_ = os.WriteFile("/proc/self/comm", []byte(name), 0)
	var err error
	if m.control, err = ipc.OpenChannel(h.Control); err != nil {
		return err
	}
	hello := ipc.Message{Type: ipc.Hello, ProtocolMin: ipc.Spoken.Min, ProtocolMax: ipc.Spoken.Max}
	if err := m.control.Send(hello, -1); err != nil {
		return err
	}
	if _, ok := h.Protocol.Common(ipc.Spoken); !ok {
		return m.giveUp(fmt.Errorf("the master speaks versions %v of the control protocol, this program %v: build both from the same release of cluster", h.Protocol, ipc.Spoken))
	}
	if m.board, err = scoreboard.Attach(h.Scoreboard.Int()); err != nil {
		return m.giveUp(err)
	}
	h.Scoreboard.Close()
	if h.Seat < 0 || h.Seat >= 2*m.board.Slots() || m.Config.InProcess() && h.Seat > 1 || !m.fits(&m.Config.Limits) {
		return m.giveUp(fmt.Errorf("seat %d with %d threads does not fit a scoreboard of %d slots × %d threads", h.Seat, m.Config.InAll(), m.board.Slots(), m.board.Threads()))
	}
	for i, fd := range h.Binds {
		l, err := listen(fd)
		if err != nil {
			return m.giveUp(fmt.Errorf("bind %d: %w", i, err))
		}
		if m.Config.Passed {
			l.Close() // it tells the address; the front accepts
		}
		m.binds = append(m.binds, l)
	}
	if h.Keys != nil {
		k, err := keys.Open(h.Keys)
		if err == nil {
			err = m.certificates.Replace(k)
		}
		if err != nil {
			return m.giveUp(err)
		}
		m.KeysFor = m.certificates.For
	}
	m.Row = m.board.Row(m.info.Seat)
	if err := m.meetSiblings(h); err != nil {
		return m.giveUp(err)
	}
	if err := m.openRequestLog(h.Requests); err != nil {
		return m.giveUp(err)
	}
	m.Row.PID.Store(int64(os.Getpid()))
	m.Row.Generation.Store(int64(m.info.Generation))
	m.Row.State.Store(scoreboard.StateBoot)
	m.Row.Heartbeat.Store(m.Clock.Now())
	return nil
}

// fits says whether the scoreboard has room for the threads.
func (m *member) fits(l *ipc.Limits) bool {
	return l.Threads >= 1 && l.Threads <= m.board.Threads() && l.Workers >= 0 && l.Workers <= m.board.Slots()
}

// makePool makes the threads: as many places as the scoreboard has, as many in use as are wanted. In process the threads of one
// worker follow those of the one before, in the same parity of seat, and how many a worker has is fixed.
func (m *member) makePool() error {
	l := m.Config.Limits
	seats, each := []int{m.info.Seat}, m.board.Threads()
	if l.InProcess() {
		seats, each = nil, l.Threads
		for slot := range m.board.Slots() {
			seats = append(seats, 2*slot+m.info.Seat)
			m.Shares = append(m.Shares, m.board.Row(2*slot+m.info.Seat))
		}
	}
	var cells []*scoreboard.Cell
	for _, seat := range seats {
		for i := range each {
			cells = append(cells, m.board.Cell(seat, i))
		}
	}
	limitHeap(0, l.Memory)
	m.SetLimits(l)
	kind := pool.Kind{Name: m.Config.Pool, OSThreads: m.Config.OSThreads, BusyPoll: m.Config.BusyPoll, Batch: m.Config.Batch}
	p, err := pool.New(kind, cells, m.Row, m.Clock, engine.Bounds(&l))
	if err != nil {
		return err
	}
	m.SetPool(p)
	if m.siblings == nil {
		return nil
	}
	line, ok := m.Pool.(pool.Line)
	if !ok {
		return fmt.Errorf("requests of pool %s cannot be passed on to siblings", m.Config.Pool)
	}
	m.Line, m.Idle = line, m.siblings.Offer
	line.Look(m.look)
	return nil
}

// giveUp tells the master why the worker will not start, and returns the same error for standard error.
func (m *member) giveUp(err error) error {
	if m.control != nil {
		_ = m.control.Send(ipc.Message{Type: ipc.Error, Text: err.Error()}, -1)
	}
	return err
}

// run serves until the worker has been drained.
func (m *member) run() error {
	for _, f := range m.options.onBoot {
		if err := f(m.info); err != nil {
			return m.giveUp(fmt.Errorf("worker: boot: %w", err))
		}
	}
	beat, err := metronome.New()
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	defer beat.Stop()
	stop := make(chan struct{})
	defer close(stop)
	m.watchSignals(stop)
	for i, l := range m.binds {
		if !m.Config.Passed {
			m.attach(sourceKey{slot: m.info.Slot, bind: i}, l)
		}
	}
	m.openInbox()
	m.pulse() // the first heartbeat comes before ready
	go m.keepPulse(beat)
	if m.control != nil {
		go m.obey()
	}
	m.Row.State.Store(scoreboard.StateReady)
	m.settle() // siblings may wait for a thread
	if m.control != nil {
		// It fails if the master has died, which obey sees too; connections may have been accepted by now.
		_ = m.control.Send(ipc.Message{Type: ipc.Ready}, -1)
		m.publish()
	}
	select {
	case o := <-m.orders:
		return m.drain(o)
	case err := <-m.failed:
		err = fmt.Errorf("worker: %w", err)
		return errors.Join(err, m.drain(order{why: err.Error()}))
	}
}

// watchSignals makes SIGTERM a drain. Alone, SIGINT is one too; in a cluster it is the master's business.
func (m *member) watchSignals(stop chan struct{}) {
	signals := make(chan os.Signal, 4) // room, so that an ignored one does not displace one that counts
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		defer signal.Stop(signals)
		for asked := 0; ; {
			select {
			case s := <-signals:
				if s == syscall.SIGINT && !m.info.Alone {
					continue
				}
				if asked++; asked > 1 {
					m.Log.Warn("second signal: leaving now", "signal", s.String(), "open", m.Row.Open.Load())
					os.Exit(8)
				}
				m.order(order{final: m.info.Alone, why: s.String()})
			case <-stop:
				return
			}
		}
	}()
}

func (m *member) order(o order) {
	select {
	case m.orders <- o:
	default: // one is given already
	}
}

// standAlone is the membership of a program that was started by hand: no master, private counters, its own listener.
func (m *member) standAlone() error {
	address := aloneAddress(os.Args[1:], os.Getenv)
	l, err := listenAlone(address)
	if err != nil {
		return err
	}
	m.info = Info{Alone: true}
	m.Config = aloneConfig()
	m.board = scoreboard.Private(m.Config.Threads)
	m.Row = m.board.Row(0)
	m.binds = []net.Listener{l}
	fmt.Fprintf(os.Stderr, "serving alone on http://%s with %d threads (no cluster)\n", l.Addr(), m.Config.Threads)
	return nil
}

func aloneConfig() ipc.WorkerConfig {
	return ipc.WorkerConfig{
		Limits: ipc.Limits{
			Threads: 3, QueueDepth: 1024, QueueTimeout: 30 * time.Second, BodyTimeout: 60 * time.Second,
			HeadTimeout: 15 * time.Second, IdleTimeout: 65 * time.Second, WriteTimeout: 60 * time.Second,
			DrainTimeout: 30 * time.Second, DrainIdle: 10 * time.Second,
		},
	}
}
