//go:build !linux

// Package metronome waits without a timer of the Go runtime, where there is another way: on Linux.
package metronome

import "time"

// Metronome wakes one goroutine.
type Metronome struct{ stopped chan struct{} }

// New makes one.
func New() (*Metronome, error) { return &Metronome{stopped: make(chan struct{})}, nil }

// Wait returns after d, and false if the metronome was stopped.
func (t *Metronome) Wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-t.stopped:
		return false
	}
}

// Stop ends it.
func (t *Metronome) Stop() { close(t.stopped) }
