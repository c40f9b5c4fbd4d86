package process

import (
	"fmt"
	"math"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits are those of the master, which its workers inherit. -1 is no limit.
type Limits struct {
	Files       int64  `json:"files"`      // descriptors of a process, now
	FilesMax    int64  `json:"files_max"`  // the most it may raise that to; a Go program does
	Core        int64  `json:"core_bytes"` // size of a core file; 0: none is written
	CoreMax     int64  `json:"core_max_bytes"`
	CorePattern string `json:"core_pattern"` // where the kernel puts them (core(5))

	Inboxes int64 `json:"inboxes,omitempty"` // of them, how many ends of inboxes a worker holds; 0: there are none
}

// ReadLimits asks the kernel.
func ReadLimits() (Limits, error) {
	var files, core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return Limits{}, fmt.Errorf("limit of file descriptors: %w", err)
	}
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil {
		return Limits{}, fmt.Errorf("limit of core files: %w", err)
	}
	pattern, _ := os.ReadFile("/proc/sys/kernel/core_pattern")
	return Limits{
		Files: amount(files.Cur), FilesMax: amount(files.Max), Core: amount(core.Cur), CoreMax: amount(core.Max),
		CorePattern: strings.TrimSpace(string(pattern)),
	}, nil
}

func amount(limit uint64) int64 {
	if limit > math.MaxInt64 {
		return -1
	}
	return int64(limit)
}

// Enough checks that the master may have the descriptors that it needs to start so many workers: a listener for each bind
// and slot, and for each seat a control channel, a log and both ends of the inbox, if there are inboxes. The Go runtime has raised the soft limit to the hard one.
func (l Limits) Enough(workers, binds int) error {
	slot := binds + 2*2
	if l.Inboxes > 0 {
		slot += 2 * 2
	}
	need := int64(64 + workers*slot)
	if l.Files >= 0 && l.Files < need {
		return fmt.Errorf("too few file descriptors are allowed: %d workers on %d binds need %d, the limit is %d (raise `ulimit -n`, or LimitNOFILE= of the unit)", workers, binds, need, l.Files)
	}
	return nil
}

// FewConnections is the room for connections of a worker below which somebody seems to have forgotten to raise the limit.
const FewConnections = 1000

// ownFiles is how many descriptors a worker needs besides connections and inboxes, with room for those of the application.
const ownFiles = 64

// Connections is how many connections a worker may have open under the limit; -1 is any number.
func (l Limits) Connections() int64 {
	if l.FilesMax < 0 {
		return -1
	}
	return max(0, l.FilesMax-ownFiles-l.Inboxes)
}

func (l Limits) String() string {
	count := func(n int64) string {
		if n < 0 {
			return "any number of"
		}
		return fmt.Sprint(n)
	}
	text := count(l.Files) + " descriptors a process, "
	switch {
	case l.Core == 0:
		return text + "no core files"
	case l.Core > 0:
		return text + fmt.Sprintf("core files up to %d bytes as %s", l.Core, l.CorePattern)
	}
	return text + "core files as " + l.CorePattern
}
