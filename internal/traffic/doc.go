// Package traffic is the clients that tests run against a cluster while it restarts, to see whether anyone notices.
//
// Invariant: every request has exactly one outcome, and a loss is never taken for anything else. That is why it does
// without net/http's client, which repeats a request on another connection when the server closes an idle one: such a
// repeat is what a lost request looks like to a client that may not repeat. Here a client looks, just before it writes,
// whether the server has closed the connection. If so nothing was asked and nothing is lost (closed_idle), and it
// connects again; whatever goes wrong once the first byte of the request is written is a loss.
package traffic
