// Package control serves the control API: HTTP and JSON on the control socket, where operators see and change the cluster,
// and, read-only, on the metrics address. docs/control-api.md is its document; routes.go is the table of its routes.
//
// Invariant: no client can hold anybody up. What a client sends is bounded in size and time, what it does not read is thrown
// away with its connection, a connection on which nobody speaks makes room for another one, and requests that last (those
// that follow something) have places of their own.
//
// Invariant: only the control socket changes anything, and only for the user of the master and for root.
package control
