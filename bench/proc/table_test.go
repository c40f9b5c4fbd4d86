package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// fixture writes a process table: the keys are paths below it.
func fixture(t *testing.T, files map[string]string) *table {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &table{root: root, clock: func(pid int) (time.Duration, error) { return time.Duration(pid) * time.Second, nil }}
}

// line is a line of /proc/PID/stat. Fields that nobody reads have values that would be noticed.
func line(name, state string, parent, faults, childFaults, childUser, childSystem, threads, start int) string {
	return fmt.Sprintf("77 (%s) %s %d 70 71 -999 -999 999 %d %d 999 999 999 999 %d %d 999 999 %d 999 %d 999 999\n",
		name, state, parent, faults, childFaults, childUser, childSystem, threads, start)
}

func alive(parent, start int) string { return line("x", "S", parent, 0, 0, 0, 0, 1, start) }

func TestParseStat(t *testing.T) {
	t.Parallel()
	s, err := parseStat(line("a) S 1 (b", "R", 12, 34, 56, 78, 90, 5, 4242))
	if err != nil {
		t.Fatal(err)
	}
	want := stat{
		Process: Process{Parent: 12, Group: 70, Start: 4242}, state: "R", faults: 34, childFaults: 56,
		childUser: 780 * time.Millisecond, childSystem: 900 * time.Millisecond, threads: 5,
	}
	if s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	for _, bad := range []string{"", "77 (x) S 1 2 3", "77 x S 1", line("x", "S", 1, 2, 3, 4, 5, 6, 7)[:40]} {
		if s, err := parseStat(bad); err == nil {
			t.Errorf("parseStat(%q) = %+v and no error", bad, s)
		}
	}
}

func TestTreeOfTable(t *testing.T) {
	t.Parallel()
	table := fixture(t, map[string]string{
		"10/stat":   alive(1, 100),
		"11/stat":   alive(10, 110),
		"12/stat":   alive(11, 110),                         // of the same tick as its parent
		"13/stat":   line("x", "Z", 10, 0, 0, 0, 0, 1, 120), // a zombie
		"14/stat":   line("x", "Z", 10, 0, 0, 0, 0, 2, 120), // its first thread alone has ended
		"15/stat":   alive(14, 130),
		"16/stat":   alive(10, 90), // older than its parent: that one's number was used again
		"17/stat":   alive(16, 140),
		"20/stat":   alive(1, 100),
		"18/note":   "no stat: has ended while it was read",
		"self/stat": alive(10, 150),
		"19/stat":   "nonsense",
	})
	pids, err := table.tree(10)
	if err != nil {
		t.Fatal(err)
	}
	if pids[0] != 10 {
		t.Errorf("root is not the first of %v", pids)
	}
	slices.Sort(pids)
	if want := []int{10, 11, 12, 14, 15}; !slices.Equal(pids, want) {
		t.Errorf("tree: %v, want %v", pids, want)
	}
	if pids, err := table.tree(13); err == nil {
		t.Errorf("the tree of a zombie is %v", pids)
	}
	table.root = filepath.Join(table.root, "nothing")
	if all, err := table.processes(); err == nil {
		t.Errorf("processes of no table: %v", all)
	}
}

func task(voluntary, involuntary int) string {
	return "Name:\tx\nvoluntary_ctxt_switches:\t" + strconv.Itoa(voluntary) + "\nnonvoluntary_ctxt_switches:\t" + strconv.Itoa(involuntary) + "\n"
}

func TestUsageOfTable(t *testing.T) {
	t.Parallel()
	files := func(more map[string]string) map[string]string {
		all := map[string]string{
			"10/stat":           line("m", "S", 1, 7, 100, 3, 2, 1, 100),
			"10/task/10/status": task(1, 10), "10/task/10/schedstat": "999 4000 999\n",
			"11/stat":           line("w", "R", 10, 8, 0, 0, 0, 2, 110),
			"11/task/11/status": task(2, 20), "11/task/11/schedstat": "999 500 999\n",
			"11/task/15/status": task(3, 30), "11/task/15/schedstat": "999 60 999\n",
		}
		for name, text := range more {
			if all[name] = text; text == "" {
				delete(all, name)
			}
		}
		return all
	}
	const noSchedstat = "without schedstat: how long threads waited for a CPU is not known"
	own10 := Usage{CPU: 10 * time.Second, RunQueue: 4000, Voluntary: 1, Involuntary: 10, Faults: 7}
	own11 := Usage{CPU: 11 * time.Second, RunQueue: 560, Voluntary: 5, Involuntary: 50, Faults: 8}
	tests := []struct {
		name string
		more map[string]string
		pids []int
		want []Use
	}{
		{"all is told", nil, []int{10, 11}, []Use{
			{PID: 10, Start: 100, Own: own10, Reaped: Usage{CPU: 60 * time.Millisecond, Faults: 100}}, // 3 + 2 ticks, and twice a half
			{PID: 11, Start: 110, Own: own11},
		}},
		{"children that ended within a tick", map[string]string{"10/stat": line("m", "S", 1, 7, 1, 0, 0, 1, 100)}, []int{10}, []Use{
			{PID: 10, Start: 100, Own: own10, Reaped: Usage{CPU: 10 * time.Millisecond, Faults: 1}},
		}},
		{"no schedstat", map[string]string{"11/task/11/schedstat": "", "11/task/15/schedstat": ""}, []int{11}, []Use{
			{PID: 11, Start: 110, Own: Usage{CPU: own11.CPU, Voluntary: 5, Involuntary: 50, Faults: 8, Note: noSchedstat}},
		}},
		{"schedstat of a kernel without it", map[string]string{"10/task/10/schedstat": "0\n"}, []int{10}, []Use{
			{
				PID: 10, Start: 100, Own: Usage{CPU: own10.CPU, Voluntary: 1, Involuntary: 10, Faults: 7, Note: noSchedstat},
				Reaped: Usage{CPU: 60 * time.Millisecond, Faults: 100},
			},
		}},
		{"one that has gone", map[string]string{"11/stat": ""}, []int{11, 12}, []Use{
			{PID: 11, Ended: true, Own: Usage{Note: "pid 11 has ended"}},
			{PID: 12, Ended: true, Own: Usage{Note: "pid 12 has ended"}},
		}},
		{"a thread that has gone", map[string]string{"11/task/15/status": "", "11/task/15/schedstat": ""}, []int{11}, []Use{
			{PID: 11, Start: 110, Own: Usage{CPU: own11.CPU, RunQueue: 500, Voluntary: 2, Involuntary: 20, Faults: 8}},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := fixture(t, files(test.more)).each(test.pids); !slices.Equal(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
	t.Run("no clock", func(t *testing.T) {
		t.Parallel()
		table := fixture(t, files(nil))
		table.clock = func(int) (time.Duration, error) { return 0, errors.New("not today") }
		u := table.each([]int{11})[0].Own
		if u.CPU != 0 || u.Note != "the CPU clock of pid 11 cannot be read: not today" || u.Voluntary != 5 {
			t.Errorf("got %+v", u)
		}
	})
}

// A worker ends and is waited for while its clock is being read: what it took is in its parent's children then, and may
// neither be counted twice nor be left out.
func TestUsageIsOfOneMoment(t *testing.T) {
	t.Parallel()
	table := fixture(t, map[string]string{
		"10/stat": line("m", "S", 1, 0, 0, 0, 0, 1, 100),
		"11/stat": alive(10, 110),
	})
	reads := 0
	table.clock = func(pid int) (time.Duration, error) {
		if pid == 10 {
			return time.Second, nil
		}
		if reads++; reads == 1 {
			ended := line("m", "S", 1, 0, 50, 200, 100, 1, 100)
			if err := os.WriteFile(table.file(10, "stat"), []byte(ended), 0o600); err != nil {
				t.Error(err)
			}
			if err := os.Remove(table.file(11, "stat")); err != nil {
				t.Error(err)
			}
		}
		return 3 * time.Second, nil // it was alive still
	}
	uses := table.each([]int{10, 11})
	var cpu time.Duration
	for _, u := range uses {
		cpu += u.Own.CPU + u.Reaped.CPU
	}
	if cpu != 4*time.Second+tick || !uses[1].Ended {
		t.Errorf("%v of CPU, want 1 s of the master and 3.01 s of its child: %+v", cpu, uses)
	}
}

func TestMemoryOfTable(t *testing.T) {
	t.Parallel()
	const rollup = "5500-7fff ---p 00000000 00:00 0    [rollup]\nRss:   1000 kB\nPss:   600 kB\nPss_Anon: 999 kB\nShared_Clean: 300 kB\nShared_Dirty: 40 kB\n" +
		"Private_Clean: 500 kB\nPrivate_Dirty: 60 kB\nAnonymous: 70 kB\n"
	table := fixture(t, map[string]string{
		"10/stat": line("m", "S", 1, 0, 0, 0, 0, 4, 100), "10/smaps_rollup": rollup, "10/status": "VmRSS:\t1 kB\n",
		"11/stat": line("w", "S", 10, 0, 0, 0, 0, 3, 110), "11/smaps_rollup": rollup,
		"12/stat": line("o", "S", 10, 0, 0, 0, 0, 2, 110), "12/status": "VmHWM:\t9 kB\nVmRSS:\t 200 kB\n",
		"13/stat": line("z", "Z", 10, 0, 0, 0, 0, 1, 110),
	})
	tests := []struct {
		pids []int
		want Memory
	}{
		{[]int{10, 11}, Memory{Processes: 2, Threads: 7, RSS: 2000 << 10, PSS: 1200 << 10, Anonymous: 140 << 10, Shared: 680 << 10, Private: 1120 << 10}},
		{[]int{12, 12}, Memory{Processes: 2, Threads: 4, RSS: 400 << 10, Note: "without smaps_rollup: only RSS is known"}},
		{[]int{13, 10, 14}, Memory{
			Processes: 1, Threads: 4, RSS: 1000 << 10, PSS: 600 << 10, Anonymous: 70 << 10, Shared: 340 << 10, Private: 560 << 10,
			Note: "pid 13 has ended; pid 14 has ended",
		}},
		{nil, Memory{}},
	}
	for _, test := range tests {
		if got := table.memory(test.pids); got != test.want {
			t.Errorf("memory(%v)\ngot  %+v\nwant %+v", test.pids, got, test.want)
		}
	}
}

func TestJoined(t *testing.T) {
	t.Parallel()
	for _, test := range [][3]string{{"", "", ""}, {"a", "", "a"}, {"", "b", "b"}, {"a", "a", "a"}, {"b; c", "a; b", "a; b; c"}} {
		if got := joined(test[0], test[1]); got != test[2] {
			t.Errorf("joined(%q, %q) = %q, want %q", test[0], test[1], got, test[2])
		}
	}
}
