// Package application takes the copies of the application's metrics that the workers send, and adds them up.
//
// Invariant: the loop of the master waits for none of it, and no copy, however it looks, stops the master or spoils a scrape.
package application

import (
	"log/slog"
	"slices"
	"sync"

	dto "github.com/prometheus/client_model/go"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/metrics"
	"github.com/prefork/cluster/metrics/merge"
)

// unreadable is the failure of a copy that the master does not understand.
const unreadable = "unreadable"

// failures are the values of the label reason.
var failures = []string{ipc.MetricsFailed, ipc.MetricsHang, ipc.MetricsTooLarge, unreadable}

// Metrics are those of all workers. Its methods may be called by any goroutine.
type Metrics struct {
	set *merge.Set
	log *slog.Logger

	decoding sync.Mutex // one copy at a time, so that many large ones do not need their memory at once

	mu     sync.Mutex
	failed map[string]int64
}

// New has no worker yet. What cannot be shown is logged, each kind of it once.
func New(log *slog.Logger) *Metrics {
	return &Metrics{set: merge.New(merge.MaxSeries), log: log, failed: map[string]int64{}}
}

// Worker is one process whose metrics are taken.
type Worker struct {
	all     *Metrics
	copies  *merge.Worker
	slot    string
	garbled bool // which was logged
}

// Join adds a worker. slot is what its gauges by slot are labelled with.
func (m *Metrics) Join(slot string) *Worker {
	return &Worker{all: m, copies: m.set.Join(slot), slot: slot}
}

// Leave ends the worker: what it has counted stays.
func (w *Worker) Leave() { w.copies.Leave() }

// Take takes a message ipc.Metrics, and closes the descriptor that came with it. One goroutine calls it.
func (w *Worker) Take(msg ipc.Message, fd *ipc.FD) {
	if msg.Failure != "" {
		w.all.count(msg.Failure)
	}
	if fd == nil {
		return
	}
	c, err := w.all.read(fd)
	if err != nil {
		w.all.count(unreadable)
		if !w.garbled {
			w.garbled = true
			w.all.log.Warn("a worker's copy of the application's metrics cannot be read: the last one that could be stays", "slot", w.slot, "err", err, "event", journal.MetricsUnreadable)
		}
		return
	}
	for _, conflict := range w.copies.Take(c) {
		w.all.log.Warn("a metric of the application cannot be shown as a worker has it: see cluster_application_metrics_conflicts_total in docs/metrics.md",
			"metric", conflict.Metric, "reason", conflict.Reason, "slot", w.slot, "event", journal.MetricsConflict)
	}
}

func (m *Metrics) read(fd *ipc.FD) (*merge.Copy, error) {
	m.decoding.Lock()
	defer m.decoding.Unlock()
	data, err := ipc.ReadMemfd(fd, ipc.MaxMetrics)
	if err != nil {
		return nil, err
	}
	return merge.Decode(data)
}

// count counts a failure; one that this master does not know is an error.
func (m *Metrics) count(reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(failures, reason) {
		reason = ipc.MetricsFailed
	}
	m.failed[reason]++
}

// Families are the sum of all workers, for a scrape: see merge.Set.
func (m *Metrics) Families() []*dto.MetricFamily { return m.set.Gather() }

// View is what the master says of them.
func (m *Metrics) View() metrics.Application {
	stats := m.set.Stats()
	v := metrics.Application{Series: stats.Series, Dropped: stats.Dropped, Conflicts: stats.Conflicts, Failures: map[string]int64{}}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range failures {
		v.Failures[f] = m.failed[f]
	}
	return v
}
