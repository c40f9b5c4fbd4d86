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
