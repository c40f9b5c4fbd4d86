// Package sockets makes the listeners of the cluster, all owned by the master: of TCP one SO_REUSEPORT listener a bind and
// slot, or one for all slots; of unix sockets, and of those that systemd hands over at start, one for all slots.
//
// Invariant: a listener is a raw descriptor that never enters the Go poller of the master (which would be woken by nearly
// every connection that a worker accepts), is never blocking, and is never shut down; it is closed when the cluster stops.
// The file of a unix socket is removed then, if it is still the one that was made here; a file that is no socket, or whose
// socket somebody listens on, is never touched.
//
// SO_REUSEPORT takes away the kernel's guard against a second server on the same address, so the package puts one back: a
// lock file for each address, and a probe with a socket that does not set the option. The file of a unix socket is probed by
// connecting to it.
package sockets
