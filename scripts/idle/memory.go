package main

import (
	"fmt"
	"time"

	"github.com/prefork/cluster/metrics"
	"github.com/prefork/cluster/scripts/internal/servers"
)

const (
	readEvery = 200 * time.Millisecond
	// steady is how many readings in a row must agree, and tolerance, a part of them, what agreeing means.
	steady    = 10
	tolerance = 0.002
	// settleTime is the longest wait for that.
	settleTime = time.Minute
)

// settled is the PSS of the serving processes in sum, in bytes, when it has stopped changing.
func settled(server *servers.Running) (int64, error) {
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	agreeing, first := 0, int64(0)
	for deadline := time.Now().Add(settleTime); time.Now().Before(deadline); <-tick.C {
		now, err := pss(server)
		if err != nil {
			return 0, err
		}
		if differs := max(now-first, first-now); float64(differs) > tolerance*float64(first) {
			agreeing, first = 0, now
		}
		if agreeing++; agreeing == steady {
			return now, nil
		}
	}
	return 0, fmt.Errorf("the memory of the server processes has not stopped changing for %v", settleTime)
}

// collected is the same after a collection that has given back what is free.
func collected(server *servers.Running) (int64, error) {
	if err := server.Collect(); err != nil {
		return 0, err
	}
	return settled(server)
}

func pss(server *servers.Running) (sum int64, err error) {
	for _, pid := range server.Serving {
		m, err := metrics.ReadMemory(pid)
		if err != nil {
			return 0, err
		}
		sum += m.PSS
	}
	return sum, nil
}
