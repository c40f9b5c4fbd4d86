// Package lines writes log lines without ever making a request wait for it. Every line handed over is either written
// whole or counted as dropped; whoever hands one over never waits for the destination, for a lock or for the other side of
// a pipe. Lines of one goroutine keep their order. Lines of several processes do not mix.
//
// [Writer] is the way of a line: the ring in memory, and one goroutine that writes what is in it. [Request] is a line of
// the access log, [NewHandler] brings an application's own log/slog records. [GCClock] says what the garbage collector cost
// while a request ran.
package lines
