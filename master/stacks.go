package master

import (
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
