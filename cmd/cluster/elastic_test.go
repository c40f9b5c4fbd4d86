package main

import (
	"context"
	"strings"
	"testing"

	"github.com/prefork/cluster/internal/traffic"
	"github.com/prefork/cluster/master/api"
)

// Requests that wait bring another worker, and the log says why.
func TestElastic(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--workers", "1:2", "--threads", "1")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan traffic.Report)
	go func() {
		done <- traffic.Clients{Addr: c.Addr, Path: "/io?ms=50", Connections: 4, KeepAlive: true}.Run(ctx)
	}()
	c.Await("there are two workers", func(s api.Status) bool { return s.State == "ready" && s.Workers == 2 && len(s.Slots) == 2 })
	cancel()
	if report := <-done; report.Losses() != 0 {
		t.Errorf("requests were lost: %v", report)
	}
	if log := c.Log(); !strings.Contains(log, "event=scaled") || !strings.Contains(log, "requests have waited for a thread") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	if _, errs, code := c.Command("scale", "3"); code != 1 || !strings.Contains(errs, "between 1 and 2 the load decides") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}
