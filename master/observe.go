package master

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/master/elastic"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/master/notify"
	dto "github.com/prometheus/client_model/go"

	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/master/sockets"
	"github.com/prefork/cluster/metrics"
	"github.com/prefork/cluster/metrics/rates"
)

// pids are the processes whose memory is sampled.
func (m *Master) pids() []int {
	snap := m.loop.snapshot.Load()
	pids := []int{snap.PID}
	if snap.Front != nil && snap.Front.PID != 0 {
		pids = append(pids, snap.Front.PID)
	}
	for _, w := range snap.Workers {
		if w.PID != 0 {
			pids = append(pids, w.PID)
		}
	}
	return pids
}

// processes are the workers whose rates are measured. One that has the threads of all sits in the same parity of seat of every slot.
func (m *Master) processes() []rates.Process {
	snap := m.loop.snapshot.Load()
	var all []rates.Process
	for _, w := range snap.Workers {
		if w.PID == 0 {
			continue
		}
		p := rates.Process{PID: w.PID}
		for slot := range snap.slotsOf(w) {
			p.Seats = append(p.Seats, 2*slot+w.Seat%2)
		}
		all = append(all, p)
	}
	return all
}

func (m *machine) memory(pid int) metrics.Memory { return m.sampler.Of(pid) }

// work looks at what the threads do only if all are busy. A process that has the threads of all workers has them in the same parity of seat
// of every slot.
func (m *machine) work(id plan.SeatID, threads int) (requests int64, stuck time.Duration) {
	seats := []int{id.Seat()}
	for seat := id.Side + 2; m.together && seat < 2*m.board.Slots(); seat += 2 {
		seats = append(seats, seat)
	}
	busy := 0
	for _, seat := range seats {
		requests += m.board.Row(seat).Total()
		busy += m.board.Busy(seat)
	}
	if busy < threads {
		return requests, 0
	}
	now := m.clock.Now()
	youngest := int64(0)
	for _, seat := range seats {
		for thread := range m.board.Threads() {
			cell := m.board.Cell(seat, thread)
			if !cell.Running() {
				continue
			}
			work := cell.Read()
			if !work.Running { // it has only begun, or just ended
				return requests, 0
			}
			youngest = max(youngest, work.Since)
		}
	}
	return requests, time.Duration(max(0, now-youngest))
}

var stateNames = []string{plan.Starting.String(), plan.Ready.String(), plan.Draining.String(), plan.Waiting.String()}

// View is what the metrics are made of.
func (m *Master) View() metrics.View {
	snap := m.loop.snapshot.Load()
	v := metrics.View{
		Version: m.version, Started: snap.Started, Now: m.clock.Now(), Board: m.board, Slots: snap.Slots, Wanted: snap.Wanted,
		Generation: snap.Generation, Stopping: snap.Stopping, States: stateNames, Left: snap.Left,
		Rollouts: snap.Ended, LogDropped: m.output.Dropped(), Application: m.machine.application.View(),
	}
	v.Time, v.Pressure = m.rates.Totals()
	for _, r := range plan.Reasons() {
		v.Reasons = append(v.Reasons, r.String())
	}
	for slot := range snap.Slots {
		v.OutputLost = append(v.OutputLost, m.output.Lost(slot))
	}
	for i, b := range m.binds {
		v.Binds = append(v.Binds, metrics.Bind{Name: b.Plain(), Shared: m.sockets.Shared(i)})
	}
	served := map[int]bool{}
	for _, w := range snap.Workers {
		serves := w.State == plan.Ready && !w.Stalled
		if serves && w.Slot < snap.Wanted {
			served[w.Slot] = true
		}
		v.Workers = append(v.Workers, metrics.Worker{Slot: w.Slot, Seat: w.Seat, PID: w.PID, Generation: w.Generation, State: w.State.String(), Serves: w.State == plan.Ready, Threads: w.Threads})
	}
	if v.Ready = len(served); !snap.Front.Serves() {
		v.Ready = 0 // nobody reaches them
	}
	if snap.InProcess {
		v.Workers, v.Ready = shareOut(v.Workers, snap.Wanted), v.Ready*snap.Wanted
	}
	return v
}

// shareOut makes so many workers of each process. The first one stands for the process: the others have no pid, so that
// nothing of it is counted twice.
func shareOut(processes []metrics.Worker, workers int) []metrics.Worker {
	all := processes
	for _, p := range processes {
		for slot := 1; slot < workers; slot++ {
			all = append(all, metrics.Worker{Slot: slot, Seat: 2*slot + p.Seat, Generation: p.Generation, State: p.State, Serves: p.Serves, Threads: p.Threads})
		}
	}
	return all
}

// Families are the metrics of the application.
func (m *Master) Families() []*dto.MetricFamily { return m.machine.application.Families() }

// Queue is the accept queue of a listener; every slot has that of a shared one.
func (m *Master) Queue(slot, bind int) (waiting, limit int, ok bool) {
	fds := m.sockets.Slot(slot)
	if bind >= len(fds) {
		return 0, 0, false
	}
	waiting, limit, err := sockets.Queue(fds[bind])
	return waiting, limit, err == nil
}

// look is what the service manager is told.
func (m *Master) look() (notify.State, <-chan struct{}) {
	snap := m.loop.snapshot.Load()
	s := notify.State{
		Started: snap.EverReady, Stopping: snap.Stopping, Turned: snap.Time, Monotonic: time.Duration(m.clock.Now()),
		Text: fmt.Sprintf("%s: %d workers × %d threads, generation %d", snap.state(), snap.Wanted, snap.Threads, snap.Generation),
	}
	if snap.Reload != nil {
		s.Reloaded = snap.Reload.At
	}
	for _, w := range snap.Workers {
		s.Serving = s.Serving || w.State == plan.Ready && !w.Stalled
	}
	if n := len(snap.Rollouts); n > 0 {
		ro := &snap.Rollouts[n-1]
		if s.Changing = ro.Outcome == plan.Running || ro.Outcome == plan.Returning; s.Changing {
			s.Text += fmt.Sprintf(", %d of %d workers replaced", ro.Replaced, snap.Wanted)
		}
	}
	return s, snap.Changed
}

// listen looks at the heartbeats. If this look comes late, the machine or this process was stopped, and the workers with
// it: they get the time until the next look to stamp theirs.
func (l *loop) listen(now time.Time) {
	late := now.Sub(l.listened) > 2*tickInterval
	l.listened = now
	l.expireDumps(now)
	if late {
		return
	}
	ages, stalled := map[plan.SeatID]time.Duration{}, map[plan.SeatID]bool{}
	for id, k := range l.state.Workers() {
		ages[id], stalled[id] = l.system.heartbeatAge(id), k.Stalled
	}
	l.state.Heard(ages, now)
	for id, k := range l.state.Workers() {
		switch {
		case k.Stalled && !stalled[id]:
			l.worker(slog.LevelWarn, "worker stalled: others serve its listeners", id, "silent", ages[id].Round(time.Millisecond).String(), "event", journal.WorkerStalled)
		case !k.Stalled && stalled[id]:
			l.worker(slog.LevelInfo, "worker recovered: its heartbeat is back", id, "event", journal.WorkerRecovered)
		}
	}
	l.recycle(now)
	l.adapt(now)
}

// loaded is what the rows have counted, of all workers that there were.
type loaded struct {
	requests    int64 // that got a thread
	waited, cpu time.Duration
}

func (m *machine) load(ready []plan.SeatID) elastic.Look {
	var sum loaded
	var waits scoreboard.Counts
	for seat := range 2 * m.board.Slots() {
		row := m.board.Row(seat)
		row.Wait.AddTo(&waits)
		sum.cpu += time.Duration(row.CPU.Load())
	}
	sum.requests, sum.waited = waits.Count(), waits.Sum
	l := elastic.Look{CPU: max(0, sum.cpu-m.loaded.cpu), Memory: m.sampler.Of(os.Getpid()).PSS}
	if n := sum.requests - m.loaded.requests; n > 0 {
		l.Waited = (sum.waited - m.loaded.waited) / time.Duration(n)
	}
	m.loaded = sum
	for _, id := range ready {
		row := m.board.Row(id.Seat())
		l.Busy += m.board.Busy(id.Seat())
		if since := row.OldestWaiting.Load(); since != 0 {
			l.Waited = max(l.Waited, time.Duration(m.clock.Now()-since))
		}
		size := m.sampler.Of(int(row.PID.Load())).PSS
		l.Memory += size
		l.Largest = max(l.Largest, size)
	}
	return l
}
