// Package process is what the operating system must know of the cluster's processes: who the workers run as, what they
// inherit, how one is started, what limits they live under, and the file that names the master.
//
// Invariant: nothing that is meant for a worker changes the master. It keeps its user, which it needs to bind ports below
// 1024 for new slots later, its directory, its umask and its environment.
package process
