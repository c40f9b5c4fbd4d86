// Package master owns the sockets and supervises the workers. It runs no application code and touches no request.
//
// Invariant: the master owns every queue in which a connection waits, and never closes one while the cluster serves;
// workers borrow duplicates. So no death, restart or removal of a worker takes a waiting connection with it.
//
// Invariant: one goroutine (the loop) owns all supervision state. Signals, control requests, exits, messages and ticks
// arrive as typed events in one select. State changes are pure functions of state, event and time; step, which is pure
// too, names the actions that bring the actual state nearer to the wanted one. There is no mutex here.
//
// Where to look: what should be done is decided in package plan, without touching anything; the loop that does it is in
// loop.go, what operators ask for in requests.go (how it arrives: package control), and everything that touches the operating system in
// machine.go, generation.go, front.go and the packages control, front, inboxes, keyring, logs, process and sockets.
package master

import (
	"syscall"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/master/elastic"
	"github.com/prefork/cluster/master/hooks"
	"github.com/prefork/cluster/master/inboxes"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/metrics"
)

// system is the operating system as the loop needs it: real in machine.go, faked in tests. Its methods are called by the
// loop alone and never wait for a worker.
type system interface {
	// openSlot makes the listeners of a slot, and its inboxes if there are any.
	openSlot(slot int) error
	// newGeneration resolves program, directory and environment anew under a number.
	newGeneration(number int) error
	// dropGeneration lets go of the program.
	dropGeneration(number int)
	// spawn starts a worker with limits; what it says arrives as events.
	spawn(id plan.SeatID, generation int, limits ipc.Limits) (pid int, err error)
	// startFront starts the front with limits; that it is ready arrives as an event.
	startFront(limits ipc.Limits) (pid int, err error)
	// send gives a message to a worker; ipc.ErrFull if it has not read for long.
	send(id plan.SeatID, m ipc.Message) error
	// adopt gives a worker the listeners of another slot.
	adopt(id plan.SeatID, slot int) error
	// introduce gives a worker the send ends of the inboxes of a slot that was opened after it had started, if it exchanges connections
	// with that one.
	introduce(id plan.SeatID, slot int) error
	// sweep passes connections on that lie in deserted inboxes, to takers.
	sweep(deserted, takers []int) inboxes.Swept
	// closeInboxes closes the connections that nobody took; it returns how many those were.
	closeInboxes() (lost int)
	// configure makes generations and workers from now on of other settings. After an error it makes them of the old ones.
	configure(c configs.Config) error
	// readKeys has the certificates read anew; they arrive as an event.
	readKeys()
	// setKeys takes over the sealed keys that workers get from now on.
	setKeys(sealed *ipc.FD)
	// giveKeys gives them to a worker that runs.
	giveKeys(id plan.SeatID) error
	// signal reaches the process group of a worker.
	signal(pid int, s syscall.Signal) error
	hooks.System
	// heartbeatAge is how long ago a worker showed that it lives.
	heartbeatAge(id plan.SeatID) time.Duration
	// work is how many requests the rows of a seat have counted, workers before this one included, and how long at least each of so many
	// threads has been running the request it runs; 0 if one is free.
	work(id plan.SeatID, threads int) (requests int64, stuck time.Duration)
	// load is what these workers do, and what all have done since it was asked for last. The caller knows the rest.
	load(ready []plan.SeatID) elastic.Look
	// memory is that of a process as it was sampled a few seconds ago.
	memory(pid int) metrics.Memory
	// vacate takes the seat back from a worker that was reaped; it returns how many connections that had open.
	vacate(id plan.SeatID, cpu time.Duration) (open int64)
	// lastLines are the last lines that the worker of the seat that was vacated last wrote to its standard error.
	lastLines() []string
	// closeListeners lets go of all listeners: what workers still hold goes on until they close it too.
	closeListeners()
	// reopenLogs opens the log files anew.
	reopenLogs() error
	// tellReopened gives a worker that runs the access log that was opened anew.
	tellReopened(id plan.SeatID) error
}
