package configs

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// AvailableCPUs is how many CPUs this process may use: those of its affinity mask, and no more than the quota of its
// cgroup and of each cgroup above it, rounded down, at least 1. It is what --workers auto means.
func AvailableCPUs() int {
	membership, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return runtime.NumCPU()
	}
	return limit(runtime.NumCPU(), quota("/sys/fs/cgroup", string(membership)))
}

// limit rounds a quota of CPUs down, to at least 1 and at most n. A quota of 0 is none.
func limit(n int, quota float64) int {
	if quota <= 0 {
		return n
	}
	return max(1, min(n, int(quota)))
}

// quota is the smallest CPU quota on the way from the cgroup of the process to the root, in CPUs; 0 if there is none.
// root is where cgroups are mounted, membership the text of /proc/self/cgroup (cgroups(7)).
func quota(root, membership string) float64 {
	smallest := 0.0
	for line := range strings.Lines(membership) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		base, read := root, readV2
		switch {
		case fields[0] == "0" && fields[1] == "":
		case strings.Contains(","+fields[1]+",", ",cpu,"):
			base, read = filepath.Join(root, fields[1]), readV1
		default:
			continue
		}
		for dir := filepath.Clean("/" + fields[2]); ; dir = filepath.Dir(dir) {
			if q := read(filepath.Join(base, dir)); q > 0 && (smallest == 0 || q < smallest) {
				smallest = q
			}
			if dir == "/" {
				break
			}
		}
	}
	return smallest
}

// readV2 reads "QUOTA PERIOD" or "max PERIOD".
func readV2(dir string) float64 {
	data, err := os.ReadFile(filepath.Join(dir, "cpu.max"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) != 2 {
		return 0
	}
	return ratio(fields[0], fields[1])
}

func readV1(dir string) float64 {
	quota, err := os.ReadFile(filepath.Join(dir, "cpu.cfs_quota_us"))
	if err != nil {
		return 0
	}
	period, err := os.ReadFile(filepath.Join(dir, "cpu.cfs_period_us"))
	if err != nil {
		return 0
	}
	return ratio(strings.TrimSpace(string(quota)), strings.TrimSpace(string(period)))
}

// ratio is 0 for "max", for -1 (no limit in version 1) and for anything that is no number.
func ratio(quota, period string) float64 {
	q, err := strconv.ParseFloat(quota, 64)
	if err != nil || q <= 0 {
		return 0
	}
	p, err := strconv.ParseFloat(period, 64)
	if err != nil || p <= 0 {
		return 0
	}
	return q / p
}
