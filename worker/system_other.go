//go:build !linux

package worker

import (
	"net"
	"time"
)

// processCPU is not known here, and nobody but a master asks.
func processCPU() int64 { return 0 }

// descriptorLimit is a guess: a worker here is one alone, for development.
func descriptorLimit() int { return 1024 }

// delivered is not known here: see the one for Linux.
func delivered(net.Conn) (acked uint64, more, ok bool) { return 0, false, false }

// metronome wakes the pulse.
type metronome struct{ stopped chan struct{} }

func newMetronome() (*metronome, error) { return &metronome{stopped: make(chan struct{})}, nil }

// wait returns after d, and false if the metronome was stopped.
func (t *metronome) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-t.stopped:
		return false
	}
}

func (t *metronome) stop() { close(t.stopped) }
