package bench

import (
	"bufio"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/suite"
	"github.com/prefork/cluster/configs"
)

// sysctls are those that change what is measured.
var sysctls = []string{
	"net.core.somaxconn", "net.ipv4.tcp_max_syn_backlog", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_tw_reuse",
	"net.ipv4.tcp_migrate_req", "kernel.sched_autogroup_enabled", "kernel.perf_event_paranoid", "vm.overcommit_memory",
}

// Describe says what this machine is, and what is about to be measured on it. What cannot be found out stays empty.
func Describe(version string, command []string, seed uint64, o suite.Options) record.Run {
	r := record.Run{
		Format: record.Format, Started: time.Now().UTC().Truncate(time.Second), Command: command, Seed: seed, Options: o,
		Version: version, Commit: commit(), Go: runtime.Version(), Kernel: line("/proc/sys/kernel/osrelease"),
		CPU: field("/proc/cpuinfo", "model name", ":"), CPUs: configs.AvailableCPUs(),
		Host: strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`), Sysctls: map[string]string{},
	}
	kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal", ":"), " kB"), 10, 64)
	r.Memory = kilobytes << 10
	for _, name := range sysctls {
		if value := line(filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))); value != "" {
			r.Sysctls[name] = value
		}
	}
	for name, path := range map[string]string{
		"transparent_hugepage": "/sys/kernel/mm/transparent_hugepage/enabled",
		"scaling_governor":     "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
	} {
		if value := line(path); value != "" {
			r.Sysctls[name] = value
		}
	}
	return r
}

// commit is that of the source of this binary, with a mark if the source had been changed.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var revision, changed string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+dirty"
		}
	}
	return revision[:min(12, len(revision))] + changed
}

// line is the first line of a file.
func line(path string) string {
	text, _ := os.ReadFile(path)
	first, _, _ := strings.Cut(string(text), "\n")
	return strings.Join(strings.Fields(first), " ")
}

// field is the value of the first line of a file that begins with a key.
func field(path, key, separator string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), separator); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
