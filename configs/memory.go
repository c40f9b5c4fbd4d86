package configs

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// AvailableMemory is how many bytes the processes of this cgroup may have: the smallest limit on the way to the root (memory.max of
// cgroup v2), and no more than the machine has. 0: nobody knows.
func AvailableMemory() int64 {
	info, _ := os.ReadFile("/proc/meminfo")
	membership, _ := os.ReadFile("/proc/self/cgroup")
	return leastMemory(totalMemory(string(info)), "/sys/fs/cgroup", string(membership))
}

// totalMemory reads MemTotal, in KiB, from the text of /proc/meminfo (proc_meminfo(5)); 0 if it is not there.
func totalMemory(meminfo string) int64 {
	for line := range strings.Lines(meminfo) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "MemTotal:" {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

func leastMemory(machine int64, root, membership string) int64 {
	least := machine
	for line := range strings.Lines(membership) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		for dir := filepath.Clean("/" + path); ; dir = filepath.Dir(dir) {
			text, _ := os.ReadFile(filepath.Join(root, dir, "memory.max")) // a number or "max"
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && (least == 0 || n < least) {
				least = n
			}
			if dir == "/" {
				break
			}
		}
	}
	return least
}
