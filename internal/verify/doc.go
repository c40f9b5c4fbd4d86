// Package verify is clients that prove a cluster never wrong: each request has an id and bytes of its own, and each answer is
// compared with what was asked for, byte for byte and in order.
//
// Invariant: every request that was begun ends in exactly one Fate, and no fate that is a fault is taken for another. As in
// package traffic nothing is asked twice: net/http's client is used for HTTP/2 alone, where the protocol allows it.
//
// The server is the application of package echo. What the clients do is drawn from a seed: each client has a generator of its
// own, so that the same seed makes each of them want the same things in the same order. When they happen is up to the machine.
package verify
