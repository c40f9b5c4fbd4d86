package master

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/journal"
)

// What happens in the life of a worker that stalls, recovers, stalls for good and is replaced, and of a restart, is told by name, in order.
func TestLoopEvents(t *testing.T) {
	inWorld(t, func(c *configs.Config) { c.Workers = 2 }, nil, func(w *world) {
		w.pass(100 * time.Millisecond)
		pid := w.snapshot().Workers[1].PID
		w.stopWorker(pid)
		w.pass(3 * time.Second)
		w.fake.mu.Lock()
		delete(w.fake.silent, pid)
		w.fake.mu.Unlock()
		w.pass(time.Second)
		w.stopWorker(pid)
		w.pass(time.Minute)
		w.loop.events <- signalEvent{syscall.SIGUSR2}
		w.pass(time.Minute)
		w.loop.events <- signalEvent{syscall.SIGTERM}
		w.code <- <-w.code
		var names []string
		for _, e := range w.journal.Since(0) {
			names = append(names, e.Name)
			switch e.Name {
			case journal.WorkerDied:
				if e.Level != "error" || e.Fields["reason"] != "heartbeat" || e.Fields["slot"] != int64(1) || !slices.Equal(e.Fields["output"].([]string), []string{"its last words"}) {
					t.Errorf("of the death is told %+v", e)
				}
			case journal.WorkerStalled:
				if e.Fields["pid"] != int64(pid) || e.Fields["silent"] == "" {
					t.Errorf("of the stall is told %+v", e)
				}
			}
		}
		want := "worker_started worker_started worker_ready worker_ready cluster_ready " +
			"worker_stalled worker_recovered worker_stalled worker_started worker_hangs worker_ready worker_killed worker_died " +
			"restart_begun worker_started worker_ready worker_drains worker_started worker_ready worker_left worker_drains restart_done worker_left " +
			"stopping worker_drains worker_drains worker_left worker_left"
		if got := strings.Join(names, " "); got != want {
			t.Errorf("events\n%s, want\n%s", got, want)
		}
		if strings.Contains(w.log.String(), "worker_started") || strings.Contains(w.log.String(), "last words") {
			t.Errorf("the log has more than its level allows, or the last lines again:\n%s", w.log)
		}
	})
}
