package proc

import (
	"time"

	"golang.org/x/sys/unix"
)

func host() (*table, error) { return &table{root: "/proc", clock: clock}, nil }

// clock is the CPU time of a process and all its threads, the ended ones included. The identifier of the clock is made as
// clock_getcpuclockid(3) makes it: the complement of the pid, and below it 2 (CPUCLOCK_SCHED of the kernel's posix-timers.h) for the
// scheduler's exact figure.
func clock(pid int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|2, &ts); err != nil {
		return 0, err
	}
	return time.Duration(ts.Nano()), nil
}
