package proc

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// table is a process table: that of this machine, or one that a test has written.
type table struct {
	root  string                               // /proc
	clock func(pid int) (time.Duration, error) // CPU time of a process that is alive or a zombie
}

// tick is the unit of times in /proc/PID/stat. USER_HZ is 100 on every architecture that Go runs on, whatever the kernel
// counts in (proc_pid_stat(5), sysconf(_SC_CLK_TCK)).
const tick = 10 * time.Millisecond

// stat is what is used of /proc/PID/stat.
type stat struct {
	Process
	state       string
	faults      int64 // minor ones
	childFaults int64
	childUser   time.Duration // of children that have ended and been waited for
	childSystem time.Duration
	threads     int
}

func (t *table) file(pid int, name string) string {
	return filepath.Join(t.root, strconv.Itoa(pid), name)
}

func (t *table) stat(pid int) (stat, error) {
	text, err := os.ReadFile(t.file(pid, "stat"))
	if err != nil {
		return stat{}, err
	}
	s, err := parseStat(string(text))
	if err != nil {
		return stat{}, fmt.Errorf("%s: %w", t.file(pid, "stat"), err)
	}
	s.PID = pid
	return s, nil
}

// parseStat reads the line of proc_pid_stat(5). The name of the program is in parentheses, and may have spaces and
// parentheses itself, so fields are counted from the last one.
func parseStat(line string) (stat, error) {
	const first = 3 // number of the first field behind the name
	fields := strings.Fields(line[strings.LastIndex(line, ")")+1:])
	const last = 22
	if len(fields) <= last-first {
		return stat{}, fmt.Errorf("%d fields behind the name, of %d that are needed: %q", len(fields), last-first+1, line)
	}
	var err error
	number := func(field int) int64 {
		n, wrong := strconv.ParseInt(fields[field-first], 10, 64)
		err = cmp.Or(err, wrong)
		return n
	}
	s := stat{
		Process: Process{Parent: int(number(4)), Group: int(number(5)), Start: uint64(number(22))},
		state:   fields[0], faults: number(10), childFaults: number(11),
		childUser: time.Duration(number(16)) * tick, childSystem: time.Duration(number(17)) * tick, threads: int(number(20)),
	}
	return s, err
}

// ended reports whether the process is only waiting to be waited for. The first thread of a process may end before the others; then it
// is shown as a zombie, too, but with them.
func (s stat) ended() bool { return s.state == "X" || s.state == "Z" && s.threads <= 1 }

// reaped is what the ended children took. User and system time are each cut to a tick, half a tick too little on average.
// With that added the sum is at most one tick wrong. No child ends without a fault, so faults say that there were any.
func (s stat) reaped() Usage {
	u := Usage{CPU: s.childUser + s.childSystem, Faults: s.childFaults}
	if u.CPU > 0 || u.Faults > 0 {
		u.CPU += tick
	}
	return u
}

func (t *table) processes() ([]Process, error) {
	entries, err := os.ReadDir(t.root)
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	var all []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if s, err := t.stat(pid); err == nil && !s.ended() { // else it has ended since it was listed
			all = append(all, s.Process)
		}
	}
	return all, nil
}

func (t *table) tree(root int) ([]int, error) {
	all, err := t.processes()
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(p Process) bool { return p.PID == root })
	if at < 0 {
		return nil, fmt.Errorf("process %d has ended", root)
	}
	children := map[int][]Process{}
	for _, p := range all {
		children[p.Parent] = append(children[p.Parent], p)
	}
	pids := []int{root}
	for queue := []Process{all[at]}; len(queue) > 0; queue = queue[1:] {
		for _, child := range children[queue[0].PID] {
			// A child that is older than its parent was read before its real parent ended, whose number was then used again.
			if child.Start >= queue[0].Start && !slices.Contains(pids, child.PID) {
				pids, queue = append(pids, child.PID), append(queue, child)
			}
		}
	}
	return pids, nil
}
