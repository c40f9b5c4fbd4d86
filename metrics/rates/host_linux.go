package rates

import (
	"bytes"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

type linux struct{}

func newHost() host { return linux{} }

// The identifier of the clock is made as clock_getcpuclockid(3) makes it: the complement of the pid, and below it 2 (CPUCLOCK_SCHED of the
// kernel's posix-timers.h), for the scheduler's exact figure of all threads, those that have ended included.
func (linux) cpu(pid int) (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|2, &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of pid %d: %w", pid, err)
	}
	return ts.Nano(), nil
}

// It reads the second field of /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst); /proc/PID/schedstat is that of the
// first thread alone. It goes past package os, which would offer each file to the poller.
func (linux) threads(pid int, each func(tid int, waited int64)) error {
	dir, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/task", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("threads of pid %d: %w", pid, err)
	}
	defer unix.Close(dir)
	var entries [4096]byte
	var names []string
	for {
		n, err := unix.ReadDirent(dir, entries[:])
		if err != nil {
			return fmt.Errorf("threads of pid %d: %w", pid, err)
		}
		if n <= 0 {
			break
		}
		_, _, names = unix.ParseDirent(entries[:n], -1, names)
	}
	for _, name := range names {
		tid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if waited, ok := waitedOf(dir, name); ok { // else it has ended
			each(tid, waited)
		}
	}
	return nil
}

func waitedOf(dir int, name string) (int64, bool) {
	fd, err := unix.Openat(dir, name+"/schedstat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	var text [96]byte
	n, err := unix.Read(fd, text[:])
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(text[:n])
	if len(fields) != 3 {
		return 0, false
	}
	waited, err := strconv.ParseInt(string(fields[1]), 10, 64)
	return waited, err == nil
}
