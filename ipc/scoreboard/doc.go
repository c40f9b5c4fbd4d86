// Package scoreboard is the shared-memory table through which workers tell the master what they do.
//
// Invariant: a record has one writer (the worker in the seat while it lives, the master from its exit until the next
// spawn into the seat), every word is written atomically, and nobody waits: no lock, no system call, no message. Counters
// belong to the seat and outlive processes, so that sums over them never go back.
//
// The table is a memfd, sealed against resizing, laid out once:
//
//	header | row of seat 0 | row of seat 1 | … | cells of seat 0 | cells of seat 1 | …
//
// Rows and cells only ever grow at their end; the strides in the header tell older readers where the next one starts.
package scoreboard
