package rates

import (
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Pressure is how short the cluster's surroundings are of CPU, memory and disks. What the machine does not tell is nil.
type Pressure struct {
	Of               string   `json:"of,omitempty"`                      // whose the next three are: cgroup, the master's, or machine
	CPU              *float64 `json:"cpu_some_avg10,omitempty"`          // share of the last 10 s, of 1, in which some thread waited for a CPU
	Memory           *float64 `json:"memory_some_avg10,omitempty"`       // … for memory to be freed or read back
	IO               *float64 `json:"io_some_avg10,omitempty"`           // … for a disk
	Throttled        *float64 `json:"throttled_share,omitempty"`         // of the periods of the cgroup's CPU quota in the window: those in which it was used up
	ThrottledSeconds *float64 `json:"throttled_seconds_total,omitempty"` // how long the cgroup's run queues stood still for that, since it was made; each CPU has one
}

// machine knows where the kernel tells of pressure (Documentation/accounting/psi.rst) and throttling (cgroup-v2.rst, sched-bwc.rst).
type machine struct {
	root  string // of the file system; empty outside tests
	group string // the master's cgroup of version 2, as a folder; empty: none. Workers inherit it.
	cpu   string // the same of version 1's controller cpu
}

// pressures is one look.
type pressures struct {
	Pressure
	throttle throttle
}

// throttle is the state of a CPU quota's counters.
type throttle struct{ periods, used int64 }

// since completes the pressure with what the quota did since an earlier look. Without a quota no period begins.
func (p pressures) since(before throttle) Pressure {
	if n := p.throttle.periods - before.periods; n > 0 {
		share := float64(p.throttle.used-before.used) / float64(n)
		p.Throttled = &share
	}
	return p.Pressure
}

func findMachine() machine { return locate("") }

// locate finds the cgroups of this process: where they are mounted is in mountinfo, which of them are its own in cgroup (proc(5)).
func locate(root string) machine {
	m := machine{root: root}
	mounts, _ := os.ReadFile(root + "/proc/self/mountinfo")
	own, _ := os.ReadFile(root + "/proc/self/cgroup")
	paths := map[string]string{} // of this process, by controller; that of version 2 has none
	for line := range strings.Lines(string(own)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 {
			for name := range strings.SplitSeq(f[1], ",") {
				paths[name] = f[2]
			}
		}
	}
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(g) < 3 {
			continue
		}
		folder := func(own string) string {
			return path.Join(f[4], strings.TrimPrefix(own, strings.TrimSuffix(f[3], "/")))
		}
		switch {
		case g[0] == "cgroup2":
			if own, ok := paths[""]; ok {
				m.group = folder(own)
			}
		case g[0] == "cgroup" && slices.Contains(strings.Split(g[2], ","), "cpu"):
			if own, ok := paths["cpu"]; ok {
				m.cpu = folder(own)
			}
		}
	}
	return m
}

func (m *machine) read() (p pressures) {
	p.Of = "machine"
	source := func(resource string) string { return "/proc/pressure/" + resource }
	if m.group != "" && m.stalled(m.group+"/cpu.pressure") != nil {
		p.Of = "cgroup"
		source = func(resource string) string { return m.group + "/" + resource + ".pressure" }
	}
	p.CPU, p.Memory, p.IO = m.stalled(source("cpu")), m.stalled(source("memory")), m.stalled(source("io"))
	if p.CPU == nil && p.Memory == nil && p.IO == nil {
		p.Of = ""
	}
	for _, folder := range []string{m.group, m.cpu} {
		if folder != "" && m.quota(folder+"/cpu.stat", &p) {
			break
		}
	}
	return p
}

// stalled is the average of 10 s of the line some of a pressure file, of 1; nil if it cannot be read.
func (m *machine) stalled(name string) *float64 {
	text, err := os.ReadFile(m.root + name)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "some" {
			percent, err := strconv.ParseFloat(strings.TrimPrefix(f[1], "avg10="), 64)
			if err != nil {
				return nil
			}
			percent /= 100
			return &percent
		}
	}
	return nil
}

// quota reads the counters of a CPU quota: microseconds in version 2, nanoseconds in version 1. It is false if there are none.
func (m *machine) quota(name string, p *pressures) bool {
	text, err := os.ReadFile(m.root + name)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			continue
		}
		switch seconds := float64(n); key {
		case "nr_periods":
			p.throttle.periods = n
		case "nr_throttled":
			p.throttle.used = n
		case "throttled_usec":
			seconds /= 1e6
			p.ThrottledSeconds = &seconds
		case "throttled_time":
			seconds /= 1e9
			p.ThrottledSeconds = &seconds
		}
	}
	return p.ThrottledSeconds != nil
}
