// Package handoffmodel proves the protocol of docs/adr/0010-handoff.md on a small cluster: its tests search every interleaving
// of the atomic steps of three workers with two threads each, a master, and an environment that kills, stops and drains workers.
//
// In every state each connection is in one place, or was lost with the process that had it, and each thread runs one handler at
// most, if and only if its word says so. When nothing can happen any more but what the environment may do (handlers may run for
// ever), no request waits while a thread is free that it could have, no word stays reserved and no packet stays in an inbox. From every
// state one can be reached in which nobody waits.
//
// It shares no code with the program: words, inboxes and goroutines are bytes of a state, and a step is a function from one
// state to the next. Time is no part of it: a reservation may be too old at any moment, a heartbeat whenever its worker is stopped.
// What bounds the search is the number of connections (one to three, each with one request) and of faults (up to two).
package handoffmodel
