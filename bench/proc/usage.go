package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// passes is how often a reading is repeated because a process ended meanwhile. The last one counts then: where
// processes end every millisecond no reading is exact.
const passes = 10

func (t *table) each(pids []int) []Use {
	var uses []Use
	for range passes {
		before := t.stats(pids)
		uses = uses[:0]
		for i, pid := range pids {
			uses = append(uses, t.use(pid, before[i]))
		}
		if same(before, t.stats(pids)) {
			break
		}
	}
	return uses
}

// stats are those of processes that have not been waited for; the others have the zero stat.
func (t *table) stats(pids []int) []stat {
	all := make([]stat, len(pids))
	for i, pid := range pids {
		if s, err := t.stat(pid); err == nil {
			all[i] = s
		}
	}
	return all
}

// same reports whether no process was waited for between two looks at them.
func same(before, after []stat) bool {
	for i := range before {
		if before[i].PID != after[i].PID || before[i].Start != after[i].Start || before[i].reaped() != after[i].reaped() {
			return false
		}
	}
	return true
}

func (t *table) use(pid int, s stat) Use {
	if s.PID == 0 {
		return Use{PID: pid, Ended: true, Own: Usage{Note: goneNote(pid)}}
	}
	u := Use{PID: pid, Start: s.Start, Own: Usage{Faults: s.faults}, Reaped: s.reaped()}
	cpu, err := t.clock(pid)
	if err != nil {
		u.Own.Note = fmt.Sprintf("the CPU clock of pid %d cannot be read: %v", pid, err)
	}
	u.Own.CPU = cpu
	tasks, _ := os.ReadDir(t.file(pid, "task")) // none if it has ended: then the reading is repeated
	for _, task := range tasks {
		u.Own = u.Own.Add(thread(t.file(pid, filepath.Join("task", task.Name()))))
	}
	return u
}

func goneNote(pid int) string { return fmt.Sprintf("pid %d has ended", pid) }

// thread reads what one thread has waited for, and how often it was switched away. A thread that has ended meanwhile has
// nothing to say.
func thread(task string) Usage {
	status, err := os.ReadFile(filepath.Join(task, "status"))
	if err != nil {
		return Usage{}
	}
	var u Usage
	u.Voluntary, _ = field(status, "voluntary_ctxt_switches:")
	u.Involuntary, _ = field(status, "nonvoluntary_ctxt_switches:")
	// Time on a CPU, time waiting for one, both in nanoseconds, turns (Documentation/scheduler/sched-stats.rst).
	text, err := os.ReadFile(filepath.Join(task, "schedstat"))
	if f := strings.Fields(string(text)); err == nil && len(f) == 3 {
		waited, _ := strconv.ParseInt(f[1], 10, 64)
		u.RunQueue = time.Duration(waited)
	} else if _, gone := os.Stat(task); gone == nil {
		u.Note = "without schedstat: how long threads waited for a CPU is not known"
	}
	return u
}

// field is the number behind a name in a file with a line for each.
func field(text []byte, name string) (int64, bool) {
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == name {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

func (t *table) memory(pids []int) Memory {
	var sum Memory
	for _, pid := range pids {
		s, err := t.stat(pid)
		if err != nil || s.ended() {
			sum.Note = joined(sum.Note, goneNote(pid))
			continue
		}
		sum.Processes++
		sum.Threads += s.threads
		text, err := os.ReadFile(t.file(pid, "smaps_rollup"))
		kilobytes := func(names ...string) (bytes int64) {
			for _, name := range names {
				n, _ := field(text, name)
				bytes += n << 10
			}
			return bytes
		}
		if err != nil {
			sum.Note = joined(sum.Note, "without smaps_rollup: only RSS is known")
			text, _ = os.ReadFile(t.file(pid, "status"))
			sum.RSS += kilobytes("VmRSS:")
			continue
		}
		sum.RSS += kilobytes("Rss:")
		sum.PSS += kilobytes("Pss:")
		sum.Anonymous += kilobytes("Anonymous:")
		sum.Shared += kilobytes("Shared_Clean:", "Shared_Dirty:")
		sum.Private += kilobytes("Private_Clean:", "Private_Dirty:")
	}
	return sum
}
