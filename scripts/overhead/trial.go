package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/scripts/internal/servers"
)

// warmUp is the load before the one that counts.
const warmUp = time.Second

// trial is one run of a server, fresh from its start. Its CPU times are those of the load alone.
type trial struct {
	Comparison string        `json:"comparison"`
	Round      int           `json:"round"` // from 1
	Order      int           `json:"order"` // in the round, from 1
	Side       string        `json:"side"`
	Requests   int           `json:"requests"`
	Length     time.Duration `json:"length_ns"`
	Serving    time.Duration `json:"serving_cpu_ns"` // all workers, or the bare server
	Master     time.Duration `json:"master_cpu_ns"`  // 0 for a bare server
	LogBytes   int64         `json:"log_bytes"`      // of the access log in a file, warm-up included
}

// perRequest is µs of CPU of the serving processes.
func (t trial) perRequest() float64 { return micros(t.Serving) / float64(t.Requests) }

func (t trial) masterPerRequest() float64 { return micros(t.Master) / float64(t.Requests) }

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// measure starts a server, loads it and stops it.
func (m *measurement) measure(s side) (t trial, err error) {
	out, stuck, err := output(s)
	if err != nil {
		return t, err
	}
	if out != nil {
		defer out.Close()
		defer stuck.Close()
	}
	server, err := m.start(s, out)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	url := m.scheme + "://" + m.lab.Address + m.path
	if _, err := m.generate(url, warmUp, m.clients); err != nil {
		return t, err
	}
	serving, master, err := clocks(server)
	if err != nil {
		return t, err
	}
	begun := time.Now()
	if t.Requests, err = m.generate(url, m.length, m.clients); err != nil {
		return t, err
	}
	t.Length = time.Since(begun)
	if t.Serving, t.Master, err = clocks(server); err != nil {
		return t, err
	}
	t.Serving, t.Master = t.Serving-serving, t.Master-master
	if t.LogBytes, err = logged(s, out); err != nil {
		return t, err
	}
	return t, server.Unchanged()
}

func (m *measurement) start(s side, out *os.File) (*servers.Running, error) {
	if s.bare != "" {
		return m.lab.Bare(s.bare, m.workers, m.procs)
	}
	bind := m.lab.TCP()
	if s.tls {
		bind = m.lab.TLS()
	}
	return m.lab.Cluster(bind, m.workers, m.procs, out, s.args...)
}

// output is a pipe for a side that prints to one, and the end of it that nobody reads.
func output(s side) (out, unread *os.File, err error) {
	if !s.stuck {
		return nil, nil, nil
	}
	unread, out, err = os.Pipe()
	return out, unread, err
}

// logged checks that the side has logged what it was to: to a file, whose size it returns and which it removes, or to the
// pipe until that was full.
func logged(s side, out *os.File) (bytes int64, err error) {
	if s.stuck {
		ready := []unix.PollFd{{Fd: int32(out.Fd()), Events: unix.POLLOUT}}
		if n, err := unix.Poll(ready, 0); err != nil || n != 0 {
			return 0, fmt.Errorf("the pipe that nobody reads is not full after the load: poll says %d, %w", n, err)
		}
	}
	if s.log == "" {
		return 0, nil
	}
	info, err := os.Stat(s.log)
	if err == nil && info.Size() == 0 {
		err = fmt.Errorf("the access log %s is empty after the load", s.log)
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), os.Remove(s.log)
}

func clocks(server *servers.Running) (serving, master time.Duration, err error) {
	if serving, err = servers.CPU(server.Serving...); err != nil || server.Master == 0 {
		return serving, 0, err
	}
	master, err = servers.CPU(server.Master)
	return serving, master, err
}
