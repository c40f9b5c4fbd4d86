package metrics

import (
	"errors"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestReadMemory(t *testing.T) {
	debug.FreeOSMemory() // now, not while it is being measured
	before, err := ReadMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if before.PSS <= 0 || before.PSS > before.RSS || before.Anonymous <= 0 || before.Anonymous > before.RSS {
		t.Errorf("memory of this process: %+v", before)
	}
	// The kernel fills it: under the race detector each page that Go touches would cost others.
	const size = 64 << 20
	block, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(block)
	after, err := ReadMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for name, grown := range map[string]int64{
		"PSS": after.PSS - before.PSS, "anonymous": after.Anonymous - before.Anonymous, "RSS": after.RSS - before.RSS,
	} {
		if grown < size*3/4 || grown > size*5/4 { // other memory comes and goes
			t.Errorf("%s grew by %d bytes with a block of %d", name, grown, size)
		}
	}
}

func TestReadMemoryOfNobody(t *testing.T) {
	pid := deadPID(t)
	m, err := ReadMemory(pid)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "pid "+strconv.Itoa(pid)) || m != (Memory{}) {
		t.Errorf("memory of pid %d: %+v, %v", pid, m, err)
	}
	if m, err := ReadMemory(0); err == nil {
		t.Errorf("memory of pid 0: %+v", m)
	}
}

// child is a process that lives until the returned function has ended it.
func child(t *testing.T) (pid int, end func()) {
	t.Helper()
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			stdin.Close()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(end)
	return cmd.Process.Pid, end
}

func deadPID(t *testing.T) int {
	t.Helper()
	pid, end := child(t)
	end()
	return pid
}

func TestSampler(t *testing.T) {
	self := os.Getpid()
	pid, end := child(t)
	s := NewSampler(func() []int { return []int{self, pid, 0} })
	s.sample()
	if got := pidsOf(s); !slices.Equal(got, sortedInts(self, pid)) {
		t.Errorf("sampled %v, want %d and %d", got, self, pid)
	}
	if m := s.Of(self); m.PSS <= 0 || m.Anonymous <= 0 || m.RSS <= 0 {
		t.Errorf("this process: %+v", m)
	}
	s.last[self] = Memory{PSS: 1}
	if m := s.Of(self); m != (Memory{PSS: 1}) {
		t.Errorf("%+v: it was read anew instead of the sample being used", m)
	}
	end()
	if m := s.Of(pid); m.PSS <= 0 {
		t.Errorf("a process that has died since is %+v", m)
	}
	s.sample()
	if got := pidsOf(s); !slices.Equal(got, []int{self}) {
		t.Errorf("after the death of %d: %v, want %d", pid, got, self)
	}
	if m := s.Of(pid); m != (Memory{}) {
		t.Errorf("a dead process has %+v", m)
	}
	if m := s.Of(self); m.PSS <= 1 {
		t.Errorf("this process was not sampled again: %+v", m)
	}
}

func TestSamplerReadsTheYoungAtOnce(t *testing.T) {
	s := NewSampler(func() []int { return nil })
	if m := s.Of(os.Getpid()); m.PSS <= 0 {
		t.Errorf("this process: %+v", m)
	}
	for _, pid := range []int{0, -1, deadPID(t)} { // 0 is a seat that waits
		if m := s.Of(pid); m != (Memory{}) {
			t.Errorf("pid %d has %+v", pid, m)
		}
	}
	if got := pidsOf(s); !slices.Equal(got, []int{os.Getpid()}) {
		t.Errorf("remembered %v", got)
	}
}

func TestSamplerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Duration
		start := time.Now()
		s := NewSampler(func() []int {
			asked = append(asked, time.Since(start))
			return []int{os.Getpid()}
		})
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			s.Run(stop)
			close(done)
		}()
		time.Sleep(2*memoryInterval + time.Second)
		synctest.Wait()
		if got := pidsOf(s); !slices.Equal(got, []int{os.Getpid()}) {
			t.Errorf("sampled %v", got)
		}
		close(stop)
		<-done
		if want := []time.Duration{0, memoryInterval, 2 * memoryInterval}; !slices.Equal(asked, want) {
			t.Errorf("sampled after %v, want %v", asked, want)
		}
	})
}

func pidsOf(s *Sampler) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pids []int
	for pid := range s.last {
		pids = append(pids, pid)
	}
	return sortedInts(pids...)
}

func sortedInts(list ...int) []int {
	slices.Sort(list)
	return list
}
