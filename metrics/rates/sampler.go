package rates

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

const (
	interval = 5 * time.Second  // between two snapshots
	window   = 10 * time.Second // the shortest: a snapshot that is as old is compared with now
	patience = time.Second      // what was read is as good as new for so long
)

// Process is a worker process that is alive.
type Process struct {
	PID   int
	Seats []int // all that it has; the first is the place of what belongs to the whole process
}

// Sampler reads now and then what the processes have counted and used. Its methods may be called by any goroutine.
type Sampler struct {
	board     *scoreboard.Board
	processes func() []Process
	now       func() int64 // CLOCK_MONOTONIC, nanoseconds
	host      host
	machine   machine
	interval  time.Duration
	window    time.Duration

	mu       sync.Mutex
	places   map[int]*place // by first seat; they stay
	last     int64          // when they were read
	ring     []snapshot     // the oldest first
	total    map[int]Seconds
	pressure pressures
}

// snapshot is what all places had counted at a moment.
type snapshot struct {
	at       int64
	sums     map[int]*sums // by first seat
	throttle throttle
}

// Measured is what Measure returns.
type Measured struct {
	All       Rates
	Processes map[int]Rates // by pid
	Pressure  Pressure
}

// Of are the rates of a process; without any requests if it has not been measured.
func (m Measured) Of(pid int) Rates {
	if r, ok := m.Processes[pid]; ok {
		return r
	}
	return (&sums{}).over(0, Seconds{})
}

// NewSampler reads the processes that are alive, as processes names them, and their rows of the scoreboard.
func NewSampler(b *scoreboard.Board, clock scoreboard.Clock, processes func() []Process) *Sampler {
	return &Sampler{
		board: b, processes: processes, now: clock.Now, host: newHost(), machine: findMachine(), interval: interval, window: window,
		places: map[int]*place{}, total: map[int]Seconds{},
	}
}

// Run takes a snapshot every five seconds until stop is closed.
func (s *Sampler) Run(stop <-chan struct{}) {
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for {
		s.mu.Lock()
		s.take()
		s.mu.Unlock()
		select {
		case <-tick.C:
		case <-stop:
			return
		}
	}
}

// Measure says what happened in the last 10 to 15 s, of a younger process since it was seen first. It is at most a second old.
func (s *Sampler) Measure() Measured {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ring) == 0 || s.now()-s.last >= int64(patience) {
		s.take()
	}
	from := &s.ring[0]
	m := Measured{Processes: map[int]Rates{}, Pressure: s.pressure.since(from.throttle)}
	var all sums
	var where Seconds
	for seat, p := range s.places {
		d := p.now.since(from.sums[seat])
		parts := divide(d)
		all.add(d)
		where.Add(parts)
		if p.pid == 0 {
			continue
		}
		begin := from.at
		if p.born > begin {
			begin, d = p.born, p.now.since(&p.base)
			parts = divide(d)
		}
		m.Processes[p.pid] = d.over(time.Duration(s.last-begin), parts)
	}
	m.All = all.over(time.Duration(s.last-from.at), where)
	return m
}

// Totals are the seconds of requests since the start, by slot and part, as of the last snapshot, and the pressure at the last look. They
// never go back; a slot that nobody has sat in is not there. What one process does in all slots stands in slot 0.
func (s *Sampler) Totals() (map[int]Seconds, Pressure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.total), s.pressure.Pressure
}

// take reads all places. It is called with the mutex held.
func (s *Sampler) take() {
	now := s.now()
	sitting := map[int]bool{}
	for _, k := range s.processes() {
		seat := k.Seats[0]
		p := s.places[seat]
		if p == nil {
			p = &place{}
			s.places[seat] = p
		}
		p.seats = k.Seats
		p.look(s.board, s.host, k.PID, now)
		sitting[seat] = true
	}
	for seat, p := range s.places {
		if !sitting[seat] {
			p.look(s.board, s.host, 0, now)
		}
	}
	s.last = now
	s.pressure = s.machine.read()
	s.remember()
}

// remember keeps a snapshot if the last one is old enough, adds what happened since that one to the totals, and forgets those that
// nothing will be compared with any more. It is called with the mutex held.
func (s *Sampler) remember() {
	before := snapshot{}
	if n := len(s.ring); n > 0 {
		before = s.ring[n-1]
		if s.last-before.at < int64(s.interval-s.interval/10) { // what asks for the rates takes snapshots too
			return
		}
	}
	current := snapshot{at: s.last, sums: map[int]*sums{}, throttle: s.pressure.throttle}
	for seat, p := range s.places {
		now := p.now
		current.sums[seat] = &now
		total := s.total[seat/2]
		total.Add(divide(p.now.since(before.sums[seat])))
		s.total[seat/2] = total
	}
	s.ring = append(s.ring, current)
	for len(s.ring) > 1 && s.ring[1].at <= s.last-int64(s.window) {
		s.ring = slices.Delete(s.ring, 0, 1)
	}
}
