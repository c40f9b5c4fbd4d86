//go:build !linux

package worker

import "net"

// processCPU is not known here, and nobody but a master asks.
func processCPU() int64 { return 0 }

// descriptorLimit is a guess: a worker here is one alone, for development.
func descriptorLimit() int { return 1024 }

// delivered is not known here: see the one for Linux.
func delivered(net.Conn) (acked uint64, more, ok bool) { return 0, false, false }
