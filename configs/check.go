package configs

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// Limits of the numbers. A scoreboard of MaxSlots × MaxCells is the largest that is laid out.
const (
	MaxSlots = 1024
	MaxCells = 1024
)

// maxDuration keeps sums of durations from running over.
const maxDuration = 365 * 24 * time.Hour

// Check returns everything that is wrong, one error a setting, joined; nil if nothing is.
func (c *Config) Check() error {
	var wrong []error
	number := func(flag string, value, low, high int) {
		if value < low || value > high {
			wrong = append(wrong, fmt.Errorf("--%s %d is out of range: give %d to %d", flag, value, low, high))
		}
	}
	if c.Control == "" && (c.Name == "" || strings.ContainsAny(c.Name, "/\x00")) {
		wrong = append(wrong, fmt.Errorf("--name %q cannot name a control socket: give a name without a slash", c.Name))
	}
	number("max-workers", c.MaxWorkers, 1, MaxSlots)
	if c.MaxWorkers >= 1 && c.MaxWorkers <= MaxSlots && c.Workers > c.MaxWorkers {
		wrong = append(wrong, fmt.Errorf("--workers %d is more than --max-workers %d: give 1 to %d, or raise --max-workers (at most %d)", c.Workers, c.MaxWorkers, c.MaxWorkers, MaxSlots))
	} else {
		number("workers", c.Workers, 1, min(max(c.MaxWorkers, 1), MaxSlots))
	}
	number("threads", c.Threads, 1, MaxCells)
	number("surge", c.Surge, 1, MaxSlots)
	number("queue-depth", c.QueueDepth, 0, 1<<20)

	duration := func(flag string, value, low time.Duration) {
		if value < low {
			wrong = append(wrong, fmt.Errorf("--%s %v is too short: give at least %v", flag, value, low))
		}
		if value > maxDuration {
			wrong = append(wrong, fmt.Errorf("--%s %v is too long: give at most a year (%v)", flag, value, maxDuration))
		}
	}
	duration("queue-timeout", c.QueueTimeout, time.Millisecond)
	duration("head-timeout", c.HeadTimeout, time.Second)
	duration("idle-timeout", c.IdleTimeout, time.Second)
	duration("write-timeout", c.WriteTimeout, time.Second)
	duration("boot-timeout", c.BootTimeout, 100*time.Millisecond)
	duration("heartbeat-timeout", c.HeartbeatTimeout, 3*time.Second)
	duration("drain-timeout", c.DrainTimeout, 0)
	duration("drain-idle", c.DrainIdle, 0)
	duration("orphan-grace", c.OrphanGrace, 0)
	duration("settle", c.Settle, 0)
	duration("probation", c.Probation, 0)
	if c.DrainIdle > c.DrainTimeout {
		wrong = append(wrong, fmt.Errorf("--drain-idle %v is longer than --drain-timeout %v: a draining worker would be gone before it closes its silent connections", c.DrainIdle, c.DrainTimeout))
	}
	if len(c.Binds) == 0 {
		wrong = append(wrong, errors.New("no --bind: nothing to listen on"))
	}
	for i, b := range c.Binds {
		if slices.ContainsFunc(c.Binds[:i], b.conflicts) {
			wrong = append(wrong, fmt.Errorf("--bind %s is given twice", b.Plain()))
		}
	}
	if c.Metrics != "off" {
		_, _, err := net.SplitHostPort(c.Metrics)
		if err == nil {
			_, err = net.ResolveTCPAddr("tcp", c.Metrics)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("--metrics %q is no HOST:PORT (%v); \"off\" serves none", c.Metrics, err))
		} else if i := slices.IndexFunc(c.Binds, Bind{Scheme: "tcp", Address: c.Metrics}.conflicts); i >= 0 {
			wrong = append(wrong, fmt.Errorf("--metrics %s is the address of --bind %s too: give another one, port 0 for any, or off", c.Metrics, c.Binds[i].Plain()))
		}
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		wrong = append(wrong, fmt.Errorf("--log-format %q: give text or json", c.LogFormat))
	}
	return errors.Join(wrong...)
}
