package master

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

const (
	dumpPatience = 2 * time.Second // a worker that has not answered by then is reported as silent
	dumpLimit    = 16 << 20
)

// dumping is a request for stacks under way: which workers have not answered yet.
type dumping struct {
	reply   chan []api.StackDump
	dumps   []api.StackDump
	waiting map[plan.SeatID]int // index in dumps
	until   time.Time
}

func (l *loop) startDump(reply chan []api.StackDump, now time.Time) {
	l.dumpID++
	d := &dumping{reply: reply, waiting: map[plan.SeatID]int{}, until: now.Add(dumpPatience)}
	d.dumps = append(d.dumps, api.StackDump{Slot: -1, PID: os.Getpid(), Text: stacks()})
	for id, k := range l.state.Workers() {
		dump := api.StackDump{Slot: id.Slot, PID: k.PID, Generation: k.Generation, InProcess: l.state.Config.InProcess(), Err: "no answer within " + dumpPatience.String() + ": it is stopped, starved of CPU, or does not use the library"}
		if err := l.system.send(id, ipc.Message{Type: ipc.Stacks, ID: l.dumpID}); err != nil {
			dump.Err = err.Error()
		} else {
			d.waiting[id] = len(d.dumps)
		}
		d.dumps = append(d.dumps, dump)
	}
	l.dumps[l.dumpID] = d
	l.finishDump(l.dumpID)
}

func (l *loop) dumpMessage(ev messageEvent) {
	if ev.fd == nil {
		return
	}
	text, err := ipc.ReadMemfd(ev.fd, dumpLimit)
	if err != nil {
		l.dumpAnswered(ev.id, "", err.Error())
		return
	}
	l.dumpAnswered(ev.id, string(text), "")
}

// dumpAnswered fills in what a worker said, in every request that waits for it.
func (l *loop) dumpAnswered(id plan.SeatID, text, problem string) {
	for n, d := range l.dumps {
		if at, ok := d.waiting[id]; ok {
			d.dumps[at].Text, d.dumps[at].Err = text, problem
			delete(d.waiting, id)
			l.finishDump(n)
		}
	}
}

func (l *loop) expireDumps(now time.Time) {
	l.expireProfiles(now)
	for n, d := range l.dumps {
		if now.After(d.until) {
			clear(d.waiting)
			l.finishDump(n)
		}
	}
}

func (l *loop) finishDump(n uint64) {
	if d := l.dumps[n]; len(d.waiting) == 0 {
		d.reply <- d.dumps
		delete(l.dumps, n)
	}
}

// profilePatience is how long a profile may take beyond its length.
const profilePatience = 3 * time.Second

// profiling is a profile under way. A worker takes one at a time.
type profiling struct {
	id    uint64
	reply chan profileReply
	until time.Time
}

func (l *loop) startProfile(r profileRequest, now time.Time) {
	id, ok := l.workerOf(r.slot)
	refuse := func(err error) { r.reply <- profileReply{err: err} }
	if !ok {
		refuse(fmt.Errorf("no worker runs in slot %d: `cluster status` shows those that do", r.slot))
		return
	}
	if p := l.profiles[id]; p != nil {
		refuse(fmt.Errorf("a profile of worker %d is being taken already, for at most %v: ask again then", id.Slot, p.until.Sub(now).Round(time.Second)))
		return
	}
	l.dumpID++
	if err := l.system.send(id, ipc.Message{Type: ipc.Profile, ID: l.dumpID, Text: r.kind, Length: r.length}); err != nil {
		refuse(fmt.Errorf("worker %d cannot be asked for a profile: %w", id.Slot, err))
		return
	}
	l.profiles[id] = &profiling{id: l.dumpID, reply: r.reply, until: now.Add(r.length + profilePatience)}
}

// workerOf is the worker of a slot that serves, or else the newest one there. One process has the threads of all slots.
func (l *loop) workerOf(slot int) (found plan.SeatID, ok bool) {
	if l.state.Config.InProcess() && slot < l.workers {
		slot = 0
	}
	var best *plan.Seat
	for id, k := range l.state.Workers() {
		if id.Slot != slot {
			continue
		}
		serves := k.State == plan.Ready
		if best == nil || serves && best.State != plan.Ready || serves == (best.State == plan.Ready) && k.Generation > best.Generation {
			best, found = k, id
		}
	}
	return found, best != nil
}

// profileMessage takes what a worker has answered: the profile in a memfd, or why there is none.
func (l *loop) profileMessage(ev messageEvent) {
	p := l.profiles[ev.id]
	if p == nil || p.id != ev.msg.ID {
		return // it was given up meanwhile
	}
	var got profileReply
	if ev.fd == nil {
		got.err = fmt.Errorf("worker %d: %s", ev.id.Slot, ev.msg.Text)
	} else {
		got.data, got.err = ipc.ReadMemfd(ev.fd, dumpLimit)
	}
	l.endProfile(ev.id, got)
}

func (l *loop) endProfile(id plan.SeatID, got profileReply) {
	if p := l.profiles[id]; p != nil {
		p.reply <- got
		delete(l.profiles, id)
	}
}

func (l *loop) expireProfiles(now time.Time) {
	for id, p := range l.profiles {
		if now.After(p.until) {
			l.endProfile(id, profileReply{err: fmt.Errorf("worker %d has not answered: it is stopped, starved of CPU, or does not use the library", id.Slot)})
		}
	}
}

var errProcessEnded = errors.New("the process has ended")
