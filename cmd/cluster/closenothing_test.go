package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prefork/cluster/internal/traffic"
	"github.com/prefork/cluster/master/api"
)

// 64 keep-alive connections that are never idle, and 20 rolling restarts: nothing is lost and, with handoff, not one of the
// connections is closed. What the processes have open, and what runs in them, is afterwards what it was after the first.
func TestRestartsCloseNothing(t *testing.T) {
	for _, engine := range []string{"nethttp", "fasthttp"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			const restarts = 20
			c := startCluster(t, "--dispatch", *dispatchFlag, "--engine", engine, "--workers", "4", "--threads", "2", "--settle", "100ms", "--surge", "8", "--quiet")
			restartUnderSaturation(t, c, 1)
			first := c.awaitFootprint("the workers hold the same", alike)
			restartUnderSaturation(t, c, restarts-1)
			c.awaitFootprint("no process holds more than after the first restart", func(last map[string]int) []string {
				var grown []string
				for what, n := range last {
					if n > first[what] {
						grown = append(grown, fmt.Sprintf("%s: %d, after the first restart %d", what, n, first[what]))
					}
				}
				return grown
			})
		})
	}
}

// restartUnderSaturation keeps 64 connections busy, half of them with handlers that wait, from before so many restarts until
// all workers of the last one have served.
func restartUnderSaturation(t *testing.T, c *testCluster, restarts int) {
	const connections, enough = 64, 2000
	ctx, cancel := context.WithCancel(t.Context())
	var answered atomic.Int64
	var reports [2]traffic.Report
	var clients sync.WaitGroup
	for i, path := range []string{"/plaintext", "/io?ms=5"} {
		load := traffic.Clients{
			Addr: c.Addr, Path: path, Connections: connections / 2, KeepAlive: true,
			OnAnswer: func(traffic.Answer) { answered.Add(1) },
		}
		clients.Go(func() { reports[i] = load.Run(ctx) })
	}
	more := func() {
		t.Helper()
		target := answered.Load() + enough
		for deadline := time.Now().Add(startPatience); answered.Load() < target; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("fewer than %d answers in %v", enough, startPatience)
				return
			}
		}
	}
	more()
	for range restarts {
		c.Must("restart", "--wait=drained")
	}
	more()
	cancel()
	clients.Wait()
	report := reports[0]
	report.Merge(reports[1])
	t.Logf("%d restarts: %v", restarts, report)
	if report.Losses() != 0 {
		t.Errorf("requests were lost: %v", report)
	}
	if *dispatchFlag == "handoff" && report.Opened != connections {
		t.Errorf("the clients needed %d connections instead of %d: restarts have closed some", report.Opened, connections)
	}
}

// awaitFootprint waits until nothing is open, no thread is busy and nothing is wrong any more with what each process holds:
// descriptors by kind, and goroutines. What a connection has needed goes a while after it: fasthttp keeps goroutines for 10 s.
func (c *testCluster) awaitFootprint(what string, wrong func(map[string]int) []string) map[string]int {
	c.t.Helper()
	for deadline := time.Now().Add(startPatience); ; time.Sleep(200 * time.Millisecond) {
		s := c.Await("all workers are idle", func(s api.Status) bool {
			for _, w := range s.Slots {
				if w.Busy != 0 || w.Open != 0 || w.Waiting != 0 {
					return false
				}
			}
			return s.State == "ready" && len(s.Slots) == s.Workers
		})
		held := c.footprint(s)
		faults := wrong(held)
		if len(faults) == 0 {
			return held
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%v are over before %s:\n%s", startPatience, what, strings.Join(faults, "\n"))
		}
	}
}

// alike finds what one worker holds and the first one does not, or in another number: those that rest after the same work
// are the same.
func alike(held map[string]int) []string {
	var different []string
	for what, n := range held {
		if number, kind, _ := strings.Cut(strings.TrimPrefix(what, "worker "), " "); number != "master" && held["worker 0 "+kind] != n {
			different = append(different, fmt.Sprintf("%s: %d, worker 0 has %d", what, n, held["worker 0 "+kind]))
		}
	}
	return different
}

var goroutineLine = regexp.MustCompile(`(?m)^goroutine \d+ `)

func (c *testCluster) footprint(s api.Status) map[string]int {
	c.t.Helper()
	pids := map[string]int{"master": s.PID}
	for _, w := range s.Slots {
		pids["worker "+strconv.Itoa(w.Slot)] = w.PID
	}
	held := map[string]int{}
	for who, pid := range pids {
		links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			c.t.Fatal(err)
		}
		for _, link := range links {
			if target, err := os.Readlink(link); err == nil { // else it was closed meanwhile
				kind, _, _ := strings.Cut(target, ":[")
				held[who+" "+kind]++
			}
		}
	}
	for i, part := range strings.Split(c.Must("stacks"), "=== ")[1:] {
		who, _, _ := strings.Cut(part, " (")
		if _, known := pids[who]; !known {
			c.t.Fatalf("part %d of the stacks is of %q", i, who)
		}
		held[who+" goroutines"] = len(goroutineLine.FindAllString(part, -1))
	}
	return held
}
