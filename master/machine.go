package master

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/master/application"
	"github.com/prefork/cluster/master/hooks"
	"github.com/prefork/cluster/master/inboxes"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/master/logs"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/master/process"
	"github.com/prefork/cluster/master/sockets"
	"github.com/prefork/cluster/metrics"
)

// lastWords is how long the channel of a worker that has ended is read: its last metrics lie there. It ends at once unless somebody
// else holds the worker's end.
const lastWords = time.Second

// machine is the real system: sockets, processes, channels and the scoreboard. Only the loop calls it.
type machine struct {
	hooks.Shell
	sockets      *sockets.Set
	inboxes      *inboxes.Set
	front        *frontProcess // nil: there is none
	application  *application.Metrics
	board        *scoreboard.Board
	boardFD      *ipc.FD
	clock        scoreboard.Clock
	sampler      *metrics.Sampler
	loaded       loaded // when the load was asked for last
	together     bool   // one process has the threads of all workers
	recipe       *recipe
	generations  map[int]*generation
	output       *logs.Output
	events       chan<- event
	stop         chan struct{} // closed when nobody listens to events any more
	workers      map[plan.SeatID]*child
	null         *os.File
	last         *logs.Source  // the worker whose seat was vacated last
	keys         *ipc.FD       // sealed; nil if no bind speaks TLS
	requestsPath string        // of the access log; empty: standard output
	requests     *ipc.FD       // where workers write the access log; nil if there is none
	reloadKeys   chan struct{} // capacity 1
}

// child is what the master holds of a worker.
type child struct {
	control *ipc.Channel
	output  *logs.Source
	cpuBase int64 // what the row's CPU counter said when the worker was spawned
}

// openSlot makes the inboxes first: the kernel gives connections to a listener as soon as it is there.
func (m *machine) openSlot(slot int) error {
	if err := m.inboxes.Open(slot); err != nil {
		return err
	}
	if err := m.front.openSlot(m.inboxes, slot); err != nil {
		return err
	}
	return m.sockets.OpenSlot(slot)
}

// listeners are those of a slot's workers.
func (m *machine) listeners(slot int) []*ipc.FD {
	if m.front.copies() {
		return []*ipc.FD{m.front.private.Slot(slot)}
	}
	return m.sockets.Slot(slot)
}

func (m *machine) newGeneration(number int) error {
	g, err := m.recipe.resolve(number)
	if err != nil {
		return err
	}
	m.generations[number] = g
	return nil
}

func (m *machine) dropGeneration(number int) {
	if g := m.generations[number]; g != nil {
		g.close()
		delete(m.generations, number)
	}
}

// spawn starts a worker by fork and exec, with raw descriptors: Go cannot run code between the two. While it does, nobody
// in this process makes files (process.Start): after the start only the loop does, or others while it waits for them.
func (m *machine) spawn(id plan.SeatID, number int, limits ipc.Limits) (int, error) {
	g := m.generations[number]
	h := ipc.Handover{Seat: id.Seat(), Generation: number, Config: g.config, Keys: m.keys, Requests: m.requests, Binds: m.listeners(id.Slot)}
	h.Config.Limits = limits
	if h.Inbox, h.Peers = m.inboxes.Of(id.Seat()); !g.config.Handoff {
		h.Peers = nil
	}
	row := m.board.Row(id.Seat())
	row.Heartbeat.Store(m.clock.Now())
	base := row.CPU.Load()
	c, pid, err := m.launch(g, m.title(id, number), &h, m.origin(id, number))
	if err != nil {
		return 0, err
	}
	c.cpuBase = base
	m.workers[id] = c
	slot := strconv.Itoa(id.Slot)
	if m.together {
		slot = "all"
	}
	go m.receive(id, c.control, m.application.Join(slot))
	return pid, nil
}

// launch starts a process of a generation with what it inherits.
func (m *machine) launch(g *generation, title string, h *ipc.Handover, origin logs.Origin) (*child, int, error) {
	control, theirs, err := ipc.NewChannelPair()
	if err != nil {
		return nil, 0, err
	}
	defer theirs.Close()
	stdout, err := logs.NewPipe()
	if err != nil {
		control.Close()
		return nil, 0, err
	}
	defer stdout.Write.Close()
	stderr, err := logs.NewPipe()
	if err != nil {
		control.Close()
		stdout.Read.Close()
		return nil, 0, err
	}
	defer stderr.Write.Close()
	h.Protocol, h.Control, h.Scoreboard = ipc.Spoken, theirs, m.boardFD
	path := g.path
	if g.program != nil {
		path, h.Program = ipc.ProgramPath, g.program
	}
	pid := 0
	files, env, err := h.Encode()
	if err == nil {
		pid, err = process.Start(&process.Command{
			Path: path, Name: g.path, Argv: append([]string{title}, g.args...), Dir: g.dir, As: g.as, Umask: g.umask,
			Env:   append(append([]string(nil), g.env...), env...),
			Files: append([]uintptr{m.null.Fd(), stdout.Write.Fd(), stderr.Write.Fd()}, files...),
		})
	}
	if err != nil {
		control.Close()
		stdout.Read.Close()
		stderr.Read.Close()
		return nil, 0, err
	}
	return &child{control: control, output: m.output.Follow(origin, stdout.Read, stderr.Read)}, pid, nil
}

// title is what a worker is called in ps.
func (m *machine) title(id plan.SeatID, generation int) string {
	if m.together {
		return fmt.Sprintf("%sprocess gen %d", sockets.WorkerTitle, generation)
	}
	return fmt.Sprintf("%s%d gen %d", sockets.WorkerTitle, id.Slot, generation)
}

// origin is what a worker's lines are called in the log.
func (m *machine) origin(id plan.SeatID, generation int) logs.Origin {
	o := logs.Origin{Event: journal.WorkerOutput, Title: fmt.Sprintf("worker %d gen %d", id.Slot, generation), Slot: id.Slot, Generation: generation}
	if m.together {
		o.Title, o.Slot = fmt.Sprintf("workers gen %d", generation), allSlots
	}
	return o
}

// receive turns what a worker says into events, until its end of the channel is closed. The loop has nothing to decide about
// metrics, and reading them takes time.
func (m *machine) receive(id plan.SeatID, c *ipc.Channel, metrics *application.Worker) {
	defer metrics.Leave()
	for {
		msg, fd, err := c.Receive()
		var ev event = messageEvent{id: id, msg: msg, fd: fd}
		var malformed *ipc.MalformedError
		switch {
		case errors.As(err, &malformed):
			ev = garbledEvent{id: id, err: err}
		case errors.Is(err, io.EOF):
			c.Close()
			return // its death is its wait status
		case err != nil:
			m.emit(garbledEvent{id: id, err: err})
			return
		case msg.Type == ipc.Metrics:
			metrics.Take(msg, fd)
			continue
		}
		m.emit(ev)
	}
}

func (m *machine) emit(ev event) {
	select {
	case m.events <- ev:
	case <-m.stop:
	}
}

var errGone = errors.New("the worker has left")

func (m *machine) send(id plan.SeatID, msg ipc.Message) error {
	c := m.workers[id]
	if c == nil {
		return errGone
	}
	return c.control.Send(msg, -1)
}

func (m *machine) adopt(id plan.SeatID, slot int) error {
	c := m.workers[id]
	if c == nil {
		return errGone
	}
	for i, fd := range m.listeners(slot) {
		if m.sockets.Shared(i) && !m.front.copies() {
			continue // it serves that one already, or a front does
		}
		if err := c.control.Send(ipc.Message{Type: ipc.Adopt, Slot: slot, Bind: i}, fd.Int()); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) introduce(id plan.SeatID, slot int) error {
	if m.front != nil {
		return nil // only that one sends to inboxes
	}
	c := m.workers[id]
	if c == nil {
		return errGone
	}
	_, peers := m.inboxes.Of(id.Seat())
	for seat := 2 * slot; seat <= 2*slot+1; seat++ {
		if peer := peers[seat]; peer != nil {
			if err := c.control.Send(ipc.Message{Type: ipc.Peer, Seat: seat}, peer.Int()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *machine) sweep(deserted, takers []int) inboxes.Swept {
	return m.inboxes.Sweep(deserted, takers)
}

func (m *machine) closeInboxes() (lost int) { return m.inboxes.Close() }

func (m *machine) configure(c configs.Config) error {
	r, err := newRecipe(c)
	if err != nil {
		return err
	}
	requests, err := openRequests(c)
	if err != nil {
		return err
	}
	m.recipe, m.requestsPath = r, c.LogRequestsFile
	m.setRequests(requests)
	return nil
}

// openRequests opens what workers write the access log to; nil if they write none.
func openRequests(c configs.Config) (*ipc.FD, error) {
	if !c.LogRequests {
		return nil, nil
	}
	if c.LogRequestsFile == "" {
		return ipc.Duplicate(int(os.Stdout.Fd()))
	}
	f, err := logs.OpenFile(c.LogRequestsFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ipc.Duplicate(int(f.Fd()))
}

func (m *machine) setRequests(fd *ipc.FD) {
	if m.requests != nil {
		m.requests.Close()
	}
	m.requests = fd
}

func (m *machine) readKeys() {
	select {
	case m.reloadKeys <- struct{}{}:
	default: // they are about to be, or there are none
	}
}

func (m *machine) setKeys(sealed *ipc.FD) {
	if m.keys != nil {
		m.keys.Close()
	}
	m.keys = sealed
}

func (m *machine) giveKeys(id plan.SeatID) error {
	c := m.workers[id]
	if c == nil {
		return errGone
	}
	return c.control.Send(ipc.Message{Type: ipc.NewKeys}, m.keys.Int())
}

func (m *machine) signal(pid int, s syscall.Signal) error {
	if s != syscall.SIGKILL {
		return syscall.Kill(pid, s)
	}
	return syscall.Kill(-pid, s) // what it has started goes too
}

func (m *machine) heartbeatAge(id plan.SeatID) time.Duration {
	return time.Duration(m.clock.Now() - m.board.Row(id.Seat()).Heartbeat.Load())
}

// vacate completes the counters of a dead worker, reads what it had open, and clears its rows for the next one: one that had
// the threads of all has sat in the same parity of seat of every slot.
func (m *machine) vacate(id plan.SeatID, cpu time.Duration) int64 {
	row := m.board.Row(id.Seat())
	open := row.Open.Load() + row.Accepting.Load()
	if c := m.workers[id]; c != nil {
		row.CPU.Store(max(row.CPU.Load(), c.cpuBase+int64(cpu)))
		time.AfterFunc(lastWords, func() { c.control.Close() })
		c.output.Ended()
		m.last = c.output
		delete(m.workers, id)
	}
	m.board.Clear(id.Seat())
	for seat := id.Side + 2; m.together && seat < 2*m.board.Slots(); seat += 2 {
		m.board.Clear(seat)
	}
	return open
}

// lastLines waits a moment for this process to have read what the worker left in its pipes, which no reader of the log can delay.
func (m *machine) lastLines() []string {
	if m.last == nil {
		return nil
	}
	return m.last.LastLines(200 * time.Millisecond)
}

func (m *machine) closeListeners() {
	m.sockets.Close()
	if m.front.copies() {
		m.front.private.Close()
	}
}

func (m *machine) reopenLogs() error {
	err := m.output.Reopen()
	if m.requests == nil || m.requestsPath == "" {
		return err
	}
	requests, requestsErr := openRequests(configs.Config{LogRequests: true, LogRequestsFile: m.requestsPath})
	if requestsErr != nil {
		return errors.Join(err, requestsErr)
	}
	m.setRequests(requests)
	return err
}

func (m *machine) tellReopened(id plan.SeatID) error {
	c := m.workers[id]
	if c == nil {
		return errGone
	}
	fd := -1
	if m.requests != nil {
		fd = m.requests.Int()
	}
	return c.control.Send(ipc.Message{Type: ipc.ReopenLogs}, fd)
}
