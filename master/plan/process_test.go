package plan

import (
	"slices"
	"time"

	"github.com/prefork/cluster/ipc"
)

// habit is how a worker behaves by itself.
type habit struct {
	boot     time.Duration // from spawn to ready
	dies     time.Duration // from ready, or from spawn if it never boots; 0: never
	hangs    time.Duration // from ready; 0: never
	resigns  time.Duration // as dies: it leaves by itself, as after a SIGTERM from outside
	ack      time.Duration // from the drain message to its acknowledgement
	leaves   time.Duration // from the drain message to its exit
	deaf     bool          // to SIGQUIT
	foreign  bool          // it speaks another protocol
	lingers  time.Duration // from SIGQUIT or SIGKILL to its exit
	exitCode int
}

// obedient does all that is asked, soon.
var obedient = habit{boot: 100 * time.Millisecond, leaves: 100 * time.Millisecond, exitCode: 1}

type process struct {
	habit
	id         SeatID
	pid        int
	generation int
	spawned    time.Time
	silent     time.Time // since when it hangs
	adopted    map[int]bool
	measures   []Measure
	dead       bool
}

// appointment is something that a process will do.
type appointment struct {
	at       time.Time
	p        *process
	do       func(p *process)
	mischief bool // nobody has asked for it
}

func (w *world) measure(p *process, m Measure) {
	p.measures = append(p.measures, m)
	switch m {
	case AskToDrain:
		clear(p.adopted)
		if p.silent.IsZero() {
			w.drains(p)
		}
	case AskForStacks:
		w.act("quit %d in %d", p.generation, p.id.Slot)
		if !p.deaf {
			w.later(p, p.lingers, func(p *process) { w.exit(p, ExitStatus{Code: 2}) })
		}
	case Kill:
		w.act("kill %d in %d", p.generation, p.id.Slot)
		w.later(p, p.lingers, func(p *process) { w.exit(p, ExitStatus{Code: -1, Signal: 9}) })
	}
}

func (w *world) drains(p *process) {
	w.later(p, p.ack, func(p *process) { w.tell(p, SaidDraining, Happening{}) })
	w.later(p, p.leaves, w.leaves)
}

func (w *world) becomesReady(p *process) {
	if !p.silent.IsZero() {
		return
	}
	hello := Happening{Protocol: ipc.Spoken}
	if p.foreign {
		hello.Protocol = ipc.Protocol{Min: 7, Max: 9}
	}
	w.tell(p, SaidHello, hello)
	w.tell(p, SaidReady, Happening{})
	w.byItself(p, p.dies, w.exitsByItself)
	w.byItself(p, p.hangs, w.hang)
	w.byItself(p, p.resigns, w.leaveByItself)
}

func (w *world) leaves(p *process) {
	if p.silent.IsZero() {
		w.exit(p, ExitStatus{})
	}
}

func (w *world) exitsByItself(p *process) {
	if p.silent.IsZero() {
		w.exit(p, ExitStatus{Code: p.exitCode})
	}
}

// hang stops the heartbeat of a process and everything else in it.
func (w *world) hang(p *process) {
	if p.silent.IsZero() {
		p.silent = w.now
	}
}

// wake ends that: the process reads what it was told meanwhile.
func (w *world) wakeUp(p *process) {
	if !p.silent.IsZero() {
		if p.silent = (time.Time{}); len(p.measures) > 0 {
			w.drains(p)
		}
	}
}

// tell delivers a message of a process, if it can still speak.
func (w *world) tell(p *process, t Trigger, h Happening) {
	if p.dead || !p.silent.IsZero() || w.s.Current(p.id) == nil {
		return
	}
	w.trigger(p.id, t, h)
	w.excuse()
	w.converge()
}

// leaveByItself is what a process does on a SIGTERM from outside.
func (w *world) leaveByItself(p *process) {
	if p.silent.IsZero() {
		clear(p.adopted)
		w.tell(p, SaidDraining, Happening{})
		w.later(p, p.leaves, w.leaves)
	}
}

// exit is the death of a process.
func (w *world) exit(p *process, status ExitStatus) {
	if p.dead {
		return
	}
	p.dead = true
	w.exits++
	delete(w.processes, p.pid)
	w.act("exit %d in %d", p.generation, p.id.Slot)
	w.trigger(p.id, HasExited, Happening{Status: status})
	w.excuse()
	w.converge()
}

func (w *world) later(p *process, d time.Duration, do func(*process)) {
	if d != never {
		w.queue = append(w.queue, appointment{at: w.now.Add(d), p: p, do: do})
	}
}

func (w *world) byItself(p *process, d time.Duration, do func(*process)) {
	if d > 0 {
		w.queue = append(w.queue, appointment{at: w.now.Add(d), p: p, do: do, mischief: true})
	}
}

// keepAppointments lets the processes do what is due. What they do may call for more at the same moment, but not for ever.
func (w *world) keepAppointments() {
	kept := 0
	for i := 0; i < len(w.queue); i++ {
		if a := w.queue[i]; !a.at.After(w.now) {
			w.queue = slices.Delete(w.queue, i, i+1)
			if kept++; kept > 1000 {
				w.Fatalf("%v: the cluster spins: %s", w.since(), w.view())
			}
			if i = -1; !a.p.dead {
				a.do(a.p)
			}
		}
	}
}

// heartbeats are as the scoreboard has them: stamped by the master at the spawn, then by the worker until it hangs.
func (w *world) heartbeats() map[SeatID]time.Duration {
	ages := map[SeatID]time.Duration{}
	for _, p := range w.processes {
		switch k := w.s.At(p.id); {
		case !p.silent.IsZero():
			ages[p.id] = w.now.Sub(p.silent)
		case k.ReadyAt.IsZero():
			ages[p.id] = w.now.Sub(p.spawned)
		default:
			ages[p.id] = 0
		}
	}
	return ages
}
