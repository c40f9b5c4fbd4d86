// Package inboxes is the master's part of passing connections between workers (docs/adr/0010-handoff.md): it holds both ends of
// each seat's inbox as long as the cluster lives, and passes on what lies where no worker reads.
//
// Invariant: a connection that was sent to a seat is in its inbox, in the hands of one reader, or held here. Only Close throws one away.
package inboxes
