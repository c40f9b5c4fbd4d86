package master

import (
	"context"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/master/sockets"
	"github.com/prefork/cluster/metrics"
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

var stateNames = []string{plan.Starting.String(), plan.Ready.String(), plan.Draining.String(), plan.Waiting.String()}

// View is what the metrics are made of.
func (m *Master) View() metrics.View {
	snap := m.loop.snapshot.Load()
	v := metrics.View{
		Version: m.version, Started: snap.Started, Now: m.clock.Now(), Board: m.board, Slots: snap.Slots, Wanted: snap.Wanted,
		Generation: snap.Generation, Stopping: snap.Stopping, States: stateNames, Left: snap.Left,
		Rollouts: snap.Ended, LogDropped: m.output.Dropped(), Application: m.machine.application.View(),
	}
	for _, r := range plan.Reasons() {
		v.Reasons = append(v.Reasons, r.String())
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

// waitBriefly lets a server finish what it answers.
func waitBriefly(s *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		_ = s.Close()
	}
}
