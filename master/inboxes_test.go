package master

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/master/inboxes"
	"github.com/prefork/cluster/master/plan"
)

func handoff(c *configs.Config) { c.Dispatch = "handoff" }

// mail is the inboxes of the world as its workers see them.
type mail struct{ *world }

// post sends a packet to a seat, with a connection if it is one, as a sibling does. It is false if the inbox is full.
func (m mail) post(seat int, p inbox.Packet) bool {
	m.Helper()
	m.fake.mu.Lock()
	defer m.fake.mu.Unlock()
	_, peers := m.fake.inboxes.Of(seat ^ 1)
	fd := -1
	if p.Kind == inbox.Connection {
		pair, err := ipc.PacketPair()
		if err != nil {
			m.Fatal(err)
		}
		defer pair[0].Close()
		defer pair[1].Close()
		fd = pair[0].Int()
	}
	err := inbox.Send(peers[seat].Int(), &p, fd)
	if err != nil && !errors.Is(err, inbox.ErrFull) {
		m.Fatal(err)
	}
	return err == nil
}

// connect posts connections, numbered, to a seat.
func (m mail) connect(seat int, numbers ...int) {
	m.Helper()
	for _, n := range numbers {
		if !m.post(seat, inbox.Packet{Kind: inbox.Connection, Served: n}) {
			m.Fatal("the inbox is full")
		}
	}
}

// fill leaves no room in the inbox of a seat.
func (m mail) fill(seat int) {
	m.Helper()
	for m.post(seat, inbox.Packet{Kind: inbox.Free}) {
	}
}

// hold checks what lies in the inboxes, "seat:number …", and takes it out.
func (m mail) hold(want string) {
	m.Helper()
	m.fake.mu.Lock()
	defer m.fake.mu.Unlock()
	var got []string
	for seat := range 2 * m.fake.opened {
		own, _ := m.fake.inboxes.Of(seat)
		for {
			p, connection, err := inbox.Receive(own.Int(), false)
			if errors.Is(err, inbox.ErrEmpty) {
				break
			}
			if err != nil {
				m.Fatal(err)
			}
			if connection != nil {
				connection.Close()
				got = append(got, fmt.Sprintf("%d:%d", seat, p.Served))
			}
		}
	}
	if text := strings.Join(got, " "); text != want {
		m.Errorf("in the inboxes are %q, want %q\n%s", text, want, m.log)
	}
}

func (m mail) open(seat int, n int64) { m.fake.board.Row(seat).Open.Store(n) }

// kill ends the worker that is in a seat.
func (m mail) kill(seat int) {
	m.Helper()
	m.fake.mu.Lock()
	defer m.fake.mu.Unlock()
	for pid, s := range m.fake.seats {
		if s == seat {
			m.fake.exit(pid, 0, plan.ExitStatus{Code: -1, Signal: syscall.SIGKILL})
			return
		}
	}
	m.Fatalf("nobody is in seat %d", seat)
}

// stall stops a worker and waits until it counts as stalled.
func (m mail) stall(seat int) (pid int) {
	m.Helper()
	for _, k := range m.snapshot().Workers {
		if k.Seat == seat {
			m.stopWorker(k.PID)
			m.pass(3 * time.Second)
			return k.PID
		}
	}
	m.Fatalf("nobody is in seat %d", seat)
	return 0
}

func inMail(t *testing.T, change func(*configs.Config), behave map[int]behaviour, test func(m mail)) {
	t.Helper()
	inWorld(t, func(c *configs.Config) {
		handoff(c)
		if change != nil {
			change(c)
		}
	}, behave, func(w *world) {
		w.pass(100 * time.Millisecond)
		test(mail{w})
	})
}

// What lies in the inbox of a worker that dies goes on before the next tick, to the ready one with the fewest connections.
func TestInboxesAfterADeath(t *testing.T) {
	inMail(t, nil, nil, func(m mail) {
		m.open(0, 3)
		m.open(4, 1)
		m.connect(2, 1, 2)
		m.kill(2)
		m.pass(time.Millisecond)
		m.hold("4:1 4:2")
		if n := strings.Count(m.log.String(), "connections passed on that were sent to a worker that has gone or is stalled\" connections=2"); n != 1 {
			t.Errorf("it is said %d times", n)
		}
	})
}

// What comes to a seat when its worker has gone already goes on at the next tick, to the other seat of its slot.
func TestInboxesOfEmptySeats(t *testing.T) {
	inMail(t, nil, nil, func(m mail) {
		m.open(0, 30)
		m.connect(1, 1)
		m.connect(0, 2)
		m.pass(tickInterval)
		m.hold("0:2 0:1")
	})
}

// The inbox of a stopped worker is read while it is stalled, neither before nor after.
func TestInboxesOfAStalledWorker(t *testing.T) {
	inMail(t, nil, nil, func(m mail) {
		m.stopWorker(m.snapshot().Workers[1].PID)
		m.connect(2, 1)
		m.pass(time.Second)
		m.hold("2:1")
		pid := m.stall(2)
		m.connect(2, 2)
		m.pass(tickInterval)
		m.hold("0:2")
		m.fake.mu.Lock()
		delete(m.fake.silent, pid)
		m.fake.mu.Unlock()
		m.pass(tickInterval)
		m.connect(2, 3)
		m.pass(2 * time.Second)
		m.hold("2:3")
	})
}

// A draining worker reads its own inbox until it exits.
func TestInboxesOfADrainingWorker(t *testing.T) {
	inMail(t, nil, map[int]behaviour{1: {deaf: true}}, func(m mail) {
		m.loop.events <- signalEvent{syscall.SIGTTOU}
		m.pass(100 * time.Millisecond)
		m.connect(4, 1)
		m.pass(2 * time.Second)
		m.hold("4:1")
		m.stall(4)
		m.connect(4, 2)
		m.pass(tickInterval)
		m.hold("0:2")
	})
}

// Without a target all stays where it is, until there is one.
func TestInboxesWithoutATarget(t *testing.T) {
	inMail(t, func(c *configs.Config) { c.Workers = 2 }, map[int]behaviour{1: {bootTime: 5 * time.Second}}, func(m mail) {
		m.pass(10 * time.Second)
		m.stall(2)
		m.kill(0)
		m.connect(2, 1, 2)
		m.pass(time.Second)
		m.expect("0 1")
		m.hold("2:1 2:2")
		m.connect(2, 3)
		m.pass(5 * time.Second)
		m.hold("0:3")
	})
}

// A full inbox takes nothing, and nothing is lost.
func TestInboxesThatAreFull(t *testing.T) {
	inMail(t, nil, nil, func(m mail) {
		m.stall(2)
		m.fill(0)
		m.connect(2, 1)
		m.pass(tickInterval)
		m.fill(4)
		m.connect(2, 2, 3)
		m.pass(tickInterval)
		m.hold("2:3 4:1") // and 2 is in the master's hands
		m.pass(tickInterval)
		m.hold("0:2")
	})
}

// More packets than a sweep takes are swept one sweep after another, not one a tick.
func TestInboxesWithManyPackets(t *testing.T) {
	inMail(t, nil, nil, func(m mail) {
		m.connect(5, 1)
		for _, seat := range []int{1, 3, 5} {
			m.fill(seat)
		}
		m.pass(tickInterval - 99*time.Millisecond)
		m.hold("4:1")
		for _, seat := range []int{1, 3, 5} {
			if !m.post(seat, inbox.Packet{Kind: inbox.Free}) {
				t.Errorf("the inbox of seat %d is full", seat)
			}
		}
	})
}

// What nobody was left to take is closed at the end, and said.
func TestInboxesAtTheEnd(t *testing.T) {
	inMail(t, nil, nil, func(m mail) {
		m.connect(1, 1)
		m.connect(2, 2)
		m.loop.events <- signalEvent{syscall.SIGTERM}
		m.code <- <-m.code
		if !strings.Contains(m.log.String(), `level=WARN msg="connections were closed that no worker was left to take" connections=2`) {
			t.Errorf("the log does not say that two connections were closed:\n%s", m.log)
		}
	})
}

// All workers that live are told of the inboxes of a new slot. One that cannot be told goes without.
func TestInboxesOfANewSlot(t *testing.T) {
	inMail(t, nil, nil, func(m mail) {
		m.stopWorker(m.snapshot().Workers[1].PID)
		m.loop.events <- signalEvent{syscall.SIGTTIN}
		m.pass(100 * time.Millisecond)
		m.expect("1 1 1 1")
		m.fake.mu.Lock()
		told := slices.Clone(m.fake.told)
		m.fake.mu.Unlock()
		if fmt.Sprint(told) != "[0>3 4>3]" {
			t.Errorf("told %v", told)
		}
		m.connect(7, 1)
		m.pass(tickInterval)
		m.hold("6:1")
	})
}

// The send ends that a worker is given lead to the inboxes of the seats that are named.
func TestIntroduce(t *testing.T) {
	board, err := scoreboard.Create(inbox.GroupSlots+1, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(board.FD())
	m := &machine{board: board, inboxes: inboxes.New(board, true), workers: map[plan.SeatID]*child{}}
	defer m.closeInboxes()
	if err := m.inboxes.Open(inbox.GroupSlots); err != nil {
		t.Fatal(err)
	}
	control, theirs, err := ipc.NewChannelPair()
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	worker, err := ipc.OpenChannel(theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer worker.Close()
	id := plan.SeatID{Slot: 1, Side: 1}
	if err := m.introduce(id, 2); !errors.Is(err, errGone) {
		t.Errorf("nobody was introduced: %v", err)
	}
	m.workers[id] = &child{control: control}
	for _, slot := range []int{inbox.GroupSlots, 2, 1} { // of another group, of this one, its own
		if err := m.introduce(id, slot); err != nil {
			t.Fatal(err)
		}
	}
	for _, seat := range []int{4, 5, 2} {
		msg, fd, err := worker.Receive()
		if err != nil || fd == nil || msg.Type != ipc.Peer || msg.Seat != seat {
			t.Fatalf("received %+v, %v, %v; want the inbox of seat %d", msg, fd, err, seat)
		}
		if err := inbox.Send(fd.Int(), &inbox.Packet{Kind: inbox.Free, Sender: 99}, -1); err != nil {
			t.Fatal(err)
		}
		fd.Close()
		own, _ := m.inboxes.Of(seat)
		if p, _, err := inbox.Receive(own.Int(), false); err != nil || p.Sender != 99 {
			t.Errorf("it does not lead to seat %d: %+v, %v", seat, p, err)
		}
	}
	for err = nil; err == nil; {
		err = m.introduce(id, 2)
	}
	if !errors.Is(err, ipc.ErrFull) {
		t.Errorf("a worker that reads nothing: %v", err)
	}
}

// A worker process finds its own inbox and the send ends of the others of its group, and nothing of them without handoff. The first one that
// was ready has adopted the listener of the other's slot, and closes it only when it reads that the other is ready too.
func TestWorkerInheritsInboxes(t *testing.T) {
	for dispatch, want := range map[string]int{"handoff": 1 + 1 + 3, "reuseport": 1} {
		m := launch(t, settings(t, func(c *configs.Config) { c.Workers, c.Dispatch = 2, dispatch }))
		look := time.NewTicker(10 * time.Millisecond)
		defer look.Stop()
		for deadline := time.Now().Add(patience); ; <-look.C {
			got := m.given(m.portrait())
			if len(got) == want {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("dispatch %s: the worker has %d sockets of the master, want %d", dispatch, len(got), want)
			}
		}
	}
}

// given is which sockets of the master a worker has.
func (m *realMaster) given(p selfPortrait) map[string]bool {
	m.t.Helper()
	files := fmt.Sprintf("/proc/%d/fd/", m.cmd.Process.Pid)
	entries, err := os.ReadDir(files)
	if err != nil {
		m.t.Fatal(err)
	}
	sockets := map[string]bool{}
	for _, e := range entries {
		if target, _ := os.Readlink(files + e.Name()); strings.HasPrefix(target, "socket:") && slices.Contains(p.Descriptors, target) {
			sockets[target] = true
		}
	}
	return sockets
}
