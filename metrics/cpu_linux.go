package metrics

import (
	"time"

	"golang.org/x/sys/unix"
)

// ownCPU is the CPU time of this process.
func ownCPU() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
