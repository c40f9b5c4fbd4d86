package rates

import "github.com/prefork/cluster/ipc/scoreboard"

// schedulerPeriod is how many waits of goroutines one that is measured stands for: the runtime follows every 8th time that a goroutine
// stops running, and does not scale its histogram (gTrackingPeriod in runtime2.go, casgstatus in proc.go, Go 1.26).
const schedulerPeriod = 8

// host is what the kernel tells of processes, in nanoseconds.
type host interface {
	// cpu is the CPU time of a process since it began.
	cpu(pid int) (int64, error)
	// threads calls each with every thread of a process and how long it has been runnable without running.
	threads(pid int, each func(tid int, waited int64)) error
}

// place is where one process sits at a time: a seat, or in process the same parity of seat in every slot. Its sums go on from one
// process to the next.
type place struct {
	seats    []int
	now      sums
	read     int64 // when, CLOCK_MONOTONIC
	pid      int   // 0: nobody
	epoch    int64 // of the scoreboard's row
	born     int64 // when the process was seen first, CLOCK_MONOTONIC
	base     sums  // then
	cpuBase  int64 // what the processes before it had used
	runQueue map[int]int64
	handling integral
	waiting  integral
}

// integral is how long requests have been in a state, in sum: those that have left it, and those in it so far. Who was in it when the
// process died has left no trace but lost.
type integral struct{ left, inside, lost int64 }

func (n *integral) update(left, inside int64, died bool) int64 {
	if died {
		n.lost += max(0, n.inside-(left-n.left))
	}
	n.left, n.inside = left, inside
	return left + inside + n.lost
}

// look brings the sums up to now. pid is the process that has the seats; 0: none.
func (p *place) look(b *scoreboard.Board, h host, pid int, now int64) {
	epoch := b.Row(p.seats[0]).Epoch.Load()
	another := pid != p.pid || epoch != p.epoch
	s := sums{runQueue: p.now.runQueue, open: p.now.open}
	var handled, running, waited, inLine, cpu int64
	for _, seat := range p.seats {
		row := b.Row(seat)
		left, inside := handlers(b, seat, now)
		handled += left
		running += inside
		waited += int64(row.Wait.Sum())
		inLine += line(row.Waiting.Load(), row.OldestWaiting.Load(), now)
		cpu += row.CPU.Load()
		if p.read != 0 {
			s.open += row.Open.Load() * (now - p.read)
		}
		s.gc += row.GCCPU.Load()
		s.gcIdle += row.GCIdle.Load()
		s.scheduler += schedulerPeriod * int64(row.Sched.Sum())
		s.requests += row.Total()
		s.errors += row.Requests[scoreboard.Classes-1].Load()
		row.Duration.AddTo(&s.duration)
		row.Wait.AddTo(&s.wait)
	}
	s.handling = p.handling.update(handled, running, another)
	s.waiting = p.waiting.update(waited, inLine, another)
	s.cpu = max(p.now.cpu, cpu) // of a process that has ended it is exact
	if pid != 0 {
		if used, err := h.cpu(pid); err == nil {
			if another {
				p.cpuBase = s.cpu - used
			}
			s.cpu = max(p.now.cpu, p.cpuBase+used)
		}
		if another {
			p.runQueue = nil
		}
		s.runQueue += p.queued(h, pid)
	}
	p.now, p.read = s, now
	if p.pid, p.epoch = pid, epoch; another {
		p.born, p.base = now, s
	}
}

// queued is how long threads have waited for a CPU since the last look. A thread that has ended since takes what it waited after that
// look with it.
func (p *place) queued(h host, pid int) (sum int64) {
	seen := make(map[int]int64, len(p.runQueue))
	err := h.threads(pid, func(tid int, waited int64) {
		gained := waited - p.runQueue[tid]
		if gained < 0 { // the number of one that has ended
			gained = waited
		}
		sum += gained
		seen[tid] = waited
	})
	if err != nil {
		return 0
	}
	p.runQueue = seen
	return sum
}

// looks is how often a seat is looked at again because a handler returned meanwhile. If requests are so short that one always does,
// it does not matter.
const looks = 3

// handlers is how long handlers have run that have returned, and how long those have run that have not.
func handlers(b *scoreboard.Board, seat int, now int64) (returned, running int64) {
	row := b.Row(seat)
	for range looks {
		returned = int64(row.Duration.Sum()) - row.Detached.Load()
		running = 0
		for i := range b.Threads() {
			if w := b.Cell(seat, i).Read(); w.Running {
				running += max(0, now-w.Since)
			}
		}
		if int64(row.Duration.Sum())-row.Detached.Load() == returned {
			break
		}
	}
	return returned, running
}

// line estimates how long n requests have waited of which the oldest came at since: as if they had come evenly.
func line(n, since, now int64) int64 {
	if n <= 0 || since == 0 {
		return 0
	}
	return max(0, now-since) * (n + 1) / 2
}
