// Package sockets makes the listeners of the cluster: one SO_REUSEPORT listener a bind and slot, all owned by the master.
//
// Invariant: a listener is a raw descriptor that never enters the Go poller of the master (which would be woken by nearly
// every connection that a worker accepts), is never blocking, and is never shut down; it is closed when the cluster stops.
//
// SO_REUSEPORT takes away the kernel's guard against a second server on the same address, so the package puts one back: a
// lock file for each address, and a probe with a socket that does not set the option.
package sockets
