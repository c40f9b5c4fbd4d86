// Package handoffmodel proves the protocol of docs/adr/0010-handoff.md on a small cluster: its tests search every interleaving
// of the atomic steps of three workers with two threads each, a master, and an environment that kills, stops and drains workers.
//
// It shares no code with the program: words, inboxes and goroutines are bytes of a state, and a step is a function from one
// state to the next. Time is no part of it: a reservation may be too old at any moment, a heartbeat whenever its worker is stopped.
package handoffmodel
