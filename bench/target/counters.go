package target

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// The series of docs/metrics.md that are read.
const (
	requestsTotal = "cluster_requests_total"
	gcSeconds     = "cluster_gc_cpu_seconds_total"
	schedLatency  = "cluster_sched_latency_seconds"

	handoffMoved     = "cluster_handoff_connections_total"
	handoffReceived  = "cluster_handoff_received_total"
	handoffStayed    = "cluster_handoff_stayed_total"
	handoffConflicts = "cluster_handoff_reservation_conflicts_total"
	handoffExpired   = "cluster_handoff_reservations_expired_total"
)

// readCounters asks a cluster what it has counted.
func readCounters(url string) (Counters, error) {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	code, body, err := get(ctx, url)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("answered %d", code)
	}
	var c Counters
	if err == nil {
		c, err = parseCounters(body)
	}
	if err != nil {
		return Counters{}, fmt.Errorf("counters of %s: %w", url, err)
	}
	return c, nil
}

// parseCounters reads the text format of Prometheus.
func parseCounters(text []byte) (Counters, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return Counters{}, err
	}
	for _, name := range []string{requestsTotal, gcSeconds, schedLatency} {
		if families[name] == nil {
			return Counters{}, fmt.Errorf("series %s is missing", name)
		}
	}
	c := Counters{Known: true, Requests: map[string]int64{}, Handoff: parseHandoff(families)}
	for _, m := range families[requestsTotal].GetMetric() {
		n := int64(m.GetCounter().GetValue())
		slot, err := strconv.Atoi(label(m, "slot"))
		if err != nil || slot < 0 {
			return Counters{}, fmt.Errorf("%s has a slot %q", requestsTotal, label(m, "slot"))
		}
		for len(c.Slots) <= slot {
			c.Slots = append(c.Slots, 0)
		}
		c.Slots[slot] += n
		c.Requests[label(m, "class")] += n
	}
	for _, m := range families[gcSeconds].GetMetric() {
		c.GC += time.Duration(m.GetCounter().GetValue() * float64(time.Second))
	}
	counts := map[float64]uint64{}
	for _, m := range families[schedLatency].GetMetric() {
		for _, b := range m.GetHistogram().GetBucket() {
			if !math.IsInf(b.GetUpperBound(), 1) { // JSON has no word for it
				counts[b.GetUpperBound()] += b.GetCumulativeCount()
			}
		}
	}
	c.SchedBounds = slices.Sorted(maps.Keys(counts))
	for _, bound := range c.SchedBounds {
		c.SchedCounts = append(c.SchedCounts, counts[bound])
	}
	return c, nil
}

// parseHandoff is nil if the cluster has none of the series.
func parseHandoff(families map[string]*dto.MetricFamily) *Handoff {
	if families[handoffMoved] == nil {
		return nil
	}
	reasons := func(name string) map[string]int64 {
		counts := map[string]int64{}
		for _, m := range families[name].GetMetric() {
			counts[label(m, "reason")] += int64(m.GetCounter().GetValue())
		}
		return counts
	}
	sum := func(name string) (n int64) {
		for _, m := range families[name].GetMetric() {
			n += int64(m.GetCounter().GetValue())
		}
		return n
	}
	return &Handoff{
		Moved: reasons(handoffMoved), Received: sum(handoffReceived), Stayed: reasons(handoffStayed),
		Conflicts: sum(handoffConflicts), Expired: sum(handoffExpired),
	}
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
