package process

import (
	"bufio"
	"bytes"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Ended is a child that has ended and was waited for.
type Ended struct {
	PID    int
	Status unix.WaitStatus
	OOM    bool          // the kernel's memory killer was at work
	CPU    time.Duration // user and system
}

// Reap is the only place that waits for children, so that the master can be process 1: there it reaps what others have left as
// well. It tells of each child that has ended, until stop is closed.
func Reap(stop <-chan struct{}, tell func(Ended)) {
	chld := make(chan os.Signal, 1)
	signal.Notify(chld, syscall.SIGCHLD)
	defer signal.Stop(chld)
	oom := newOOMWatch()
	for {
		for {
			var w unix.WaitStatus
			var usage unix.Rusage
			pid, err := unix.Wait4(-1, &w, unix.WNOHANG, &usage)
			if err == unix.EINTR {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
			killed := w.Signaled() && w.Signal() == syscall.SIGKILL
			tell(Ended{PID: pid, Status: w, OOM: killed && oom.struck(), CPU: time.Duration(usage.Utime.Nano() + usage.Stime.Nano())})
		}
		select {
		case <-chld:
		case <-stop:
			return
		}
	}
}

// oomWatch looks at the counter of memory kills of this cgroup (memory.events of cgroup v2): when it has risen by the time
// a SIGKILL is reaped, the kernel was the killer.
type oomWatch struct {
	path  string
	count int
}

func newOOMWatch() *oomWatch {
	w := &oomWatch{}
	membership, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return w
	}
	for line := range strings.Lines(string(membership)) {
		if own, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			w.path = filepath.Join("/sys/fs/cgroup", own, "memory.events")
		}
	}
	w.count = w.read()
	return w
}

func (w *oomWatch) struck() bool {
	before := w.count
	w.count = w.read()
	return w.count > before
}

func (w *oomWatch) read() int {
	data, err := os.ReadFile(w.path)
	if err != nil {
		return 0
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if n, ok := strings.CutPrefix(lines.Text(), "oom_kill "); ok {
			count, _ := strconv.Atoi(n)
			return count
		}
	}
	return 0
}
