// Package ipc is the contract between the master and its workers, and the only package that both know.
//
// Invariant: a descriptor has exactly one owner in each process, and nothing crosses from one process to the other
// but what is named here: the inherited descriptors (the systemd naming, sd_listen_fds(3)), a few CLUSTER_ variables,
// the messages of the control channel, and the scoreboard (package scoreboard).
package ipc
