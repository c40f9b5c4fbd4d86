package proc

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// envRole makes the test binary one of the processes that are measured.
const envRole = "PROC_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role := os.Getenv(envRole); role {
	case "":
		os.Exit(m.Run())
	case "parent":
		parent()
	case "burn":
		burn(50 * time.Millisecond)
		fmt.Println("burnt")
		hang()
	default:
		panic("no such role: " + role)
	}
}

// burn takes so much CPU time and no less.
func burn(d time.Duration) {
	begin := cpu()
	for cpu()-begin < d {
	}
}

func cpu() time.Duration {
	d, err := clock(os.Getpid())
	if err != nil {
		panic(err)
	}
	return d
}

// hang ends when standard input does: so a test that is killed leaves nothing.
func hang() {
	_, _ = os.Stdin.Read(make([]byte, 1))
	os.Exit(0)
}

// parent starts a child that burns, says its pid when it has, and on each line of input kills it, waits for it, and says so.
func parent() {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), envRole+"=burn")
	_, err := child.StdinPipe()
	if err != nil {
		panic(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		panic(err)
	}
	if err := child.Start(); err != nil {
		panic(err)
	}
	if text, err := bufio.NewReader(out).ReadString('\n'); err != nil || text != "burnt\n" {
		panic(fmt.Sprint("child: ", text, err))
	}
	fmt.Println(child.Process.Pid)
	lines := bufio.NewScanner(os.Stdin)
	if lines.Scan() {
		_ = child.Process.Kill()
		_ = child.Wait()
		fmt.Println("reaped")
		lines.Scan()
	}
	os.Exit(0)
}

// family starts a parent and its child, and returns what makes the parent wait for the child.
func family(t *testing.T) (root, child int, reap func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envRole+"=parent", "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	said := func() string {
		text, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the parent said %q: %v", text, err)
		}
		return strings.TrimSpace(text)
	}
	if child, err = strconv.Atoi(said()); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, child, func() {
		if _, err := in.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		if text := said(); text != "reaped" {
			t.Fatalf("the parent said %q", text)
		}
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	root, child, reap := family(t)
	pids, err := Tree(root)
	if err != nil || !slices.Equal(pids, []int{root, child}) {
		t.Errorf("tree of the parent: %v, %v; want %v", pids, err, []int{root, child})
	}
	if pids, err := Tree(os.Getpid()); err != nil || !slices.Contains(pids, child) || pids[0] != os.Getpid() {
		t.Errorf("the grandchild %d is not in the tree of the test: %v, %v", child, pids, err)
	}
	reap()
	if pids, err := Tree(root); err != nil || !slices.Equal(pids, []int{root}) {
		t.Errorf("tree of the parent without its child: %v, %v", pids, err)
	}
	if pids, err := Tree(child); err == nil {
		t.Errorf("tree of a process that has ended: %v", pids)
	}
	all, err := Processes()
	if err != nil {
		t.Fatal(err)
	}
	own := slices.IndexFunc(all, func(p Process) bool { return p.PID == root })
	if own < 0 || all[own].Parent != os.Getpid() || all[own].Group != syscall.Getpgrp() || all[own].Start == 0 {
		t.Errorf("the parent %d is not in the process table as it is: %+v", root, all)
	}
}

// What a child took is counted whether it is alive or has been waited for, and once.
func TestMeasure(t *testing.T) {
	t.Parallel()
	root, child, reap := family(t)
	before, err := Measure(root, child)
	if err != nil {
		t.Fatal(err)
	}
	own, err := Measure(child)
	if err != nil {
		t.Fatal(err)
	}
	if own.CPU < 50*time.Millisecond || own.CPU > 5*time.Second {
		t.Errorf("a child that burnt 50 ms took %v", own.CPU)
	}
	if before.CPU < own.CPU {
		t.Errorf("parent and child took %v, the child alone %v", before.CPU, own.CPU)
	}
	if before.Faults < 100 || before.Voluntary < 1 {
		t.Errorf("two processes ran with so few faults and switches: %+v", before)
	}
	if _, err := os.Stat("/proc/self/schedstat"); err == nil && (before.RunQueue <= 0 || before.Note != "") {
		t.Errorf("this kernel has schedstat, but: %+v", before)
	}
	reap()
	after, err := Measure(root, child)
	if err != nil {
		t.Fatal(err)
	}
	if lost := before.CPU - after.CPU; lost > tick {
		t.Errorf("%v of CPU were lost when the child ended: %v, then %v", lost, before.CPU, after.CPU)
	}
	if grown := after.CPU - before.CPU; grown > own.CPU/2 {
		t.Errorf("CPU went up by %v when the child of %v ended: it was counted twice", grown, own.CPU)
	}
	if after.Faults < before.Faults {
		t.Errorf("faults went from %d to %d when the child ended", before.Faults, after.Faults)
	}
	if want := fmt.Sprintf("pid %d has ended", child); after.Note != want {
		t.Errorf("note %q, want %q", after.Note, want)
	}
	uses, err := Each(root, child)
	if err != nil || uses[0].Ended || !uses[1].Ended || uses[0].Reaped.CPU < own.CPU-tick {
		t.Errorf("one by one: %+v, %v", uses, err)
	}
}

// The clock is that of the process, and finer than the ticks of /proc/PID/stat.
func TestClock(t *testing.T) {
	t.Parallel()
	for range 20 {
		var usage syscall.Rusage
		first := cpu()
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			t.Fatal(err)
		}
		last := cpu()
		took := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		if took < first-time.Millisecond || took > last+time.Millisecond {
			t.Errorf("getrusage(2) says %v, the clock %v before and %v after", took, first, last)
		}
		burn(100 * time.Microsecond)
		if step := cpu() - last; step < 100*time.Microsecond || last%tick == 0 && step%tick == 0 {
			t.Errorf("the clock went from %v by %v", last, step)
		}
	}
	if d, err := clock(1 << 22); err == nil {
		t.Errorf("the clock of a pid that cannot be is %v", d)
	}
}

func TestMemoryOf(t *testing.T) {
	t.Parallel()
	root, child, _ := family(t)
	m, err := MemoryOf(root, child)
	if err != nil {
		t.Fatal(err)
	}
	if m.Processes != 2 || m.Threads < 4 || m.RSS < 1<<20 {
		t.Errorf("two Go programs: %+v", m)
	}
	if _, err := os.Stat("/proc/self/smaps_rollup"); err != nil {
		return
	}
	if m.Note != "" || m.PSS <= 0 || m.PSS > m.RSS || m.Anonymous <= 0 || m.Shared+m.Private != m.RSS || m.Shared <= 0 {
		t.Errorf("this kernel has smaps_rollup, but: %+v", m)
	}
}
