package metrics

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// memoryInterval is how often memory is sampled. Reading smaps_rollup makes the kernel walk the page tables of a process,
// so it is not done at a scrape.
const memoryInterval = 5 * time.Second

// Memory of a process, in bytes (smaps_rollup of proc(5)).
type Memory struct {
	PSS       int64 `json:"pss_bytes"`
	Anonymous int64 `json:"anonymous_bytes"`
	RSS       int64 `json:"rss_bytes"`
}

// Sampler knows the memory of processes as it was a few seconds ago.
type Sampler struct {
	pids func() []int
	mu   sync.Mutex
	last map[int]Memory
}

// NewSampler samples the processes that pids names.
func NewSampler(pids func() []int) *Sampler {
	return &Sampler{pids: pids, last: map[int]Memory{}}
}

// Run samples until stop is closed.
func (s *Sampler) Run(stop <-chan struct{}) {
	tick := time.NewTicker(memoryInterval)
	defer tick.Stop()
	for {
		s.sample()
		select {
		case <-tick.C:
		case <-stop:
			return
		}
	}
}

func (s *Sampler) sample() {
	now := map[int]Memory{}
	for _, pid := range s.pids() {
		if m, err := ReadMemory(pid); err == nil {
			now[pid] = m
		}
	}
	s.mu.Lock()
	s.last = now
	s.mu.Unlock()
}

// Of is the last sample of a process. A process that is too young to have been sampled is read now.
func (s *Sampler) Of(pid int) Memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.last[pid]
	if !ok && pid > 0 {
		var err error
		if m, err = ReadMemory(pid); err == nil {
			s.last[pid] = m
		}
	}
	return m
}

// ReadMemory reads the memory of a process now.
func ReadMemory(pid int) (Memory, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return Memory{}, fmt.Errorf("memory of pid %d: %w", pid, err)
	}
	var m Memory
	fields := map[string]*int64{"Pss:": &m.PSS, "Anonymous:": &m.Anonymous, "Rss:": &m.RSS}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) == 3 && fields[f[0]] != nil {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			*fields[f[0]] = kb << 10
		}
	}
	return m, nil
}
