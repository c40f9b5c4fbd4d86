// Package profile takes profiles of this process, in the form that `go tool pprof` reads. A process that is not asked for
// one spends nothing on it: package runtime/pprof starts its timer and its goroutine with a CPU profile only, and the samples
// of the heap (one in 512 KiB) are taken by the runtime in every Go program.
package profile

import (
	"bytes"
	"fmt"
	"runtime/pprof"
	"time"
)

// The kinds of profiles.
const (
	CPU       = "cpu"       // where the time on CPUs goes, sampled 100 times a second
	Heap      = "heap"      // what was allocated, and what is in use as of the last garbage collection
	Goroutine = "goroutine" // all goroutines, by stack
)

// Kinds are all kinds.
var Kinds = []string{CPU, Heap, Goroutine}

// How long a CPU profile takes.
const (
	DefaultLength = 10 * time.Second
	MaxLength     = time.Minute
)

// Take takes a profile. One of kind CPU takes the length, or less if stop is closed, and fails while another one is taken;
// the others are of this moment.
func Take(kind string, length time.Duration, stop <-chan struct{}) ([]byte, error) {
	var b bytes.Buffer
	switch kind {
	case CPU:
		if err := pprof.StartCPUProfile(&b); err != nil {
			return nil, fmt.Errorf("cpu profile: %w", err)
		}
		select {
		case <-time.After(min(length, MaxLength)):
		case <-stop:
		}
		pprof.StopCPUProfile()
	case Heap, Goroutine:
		if err := pprof.Lookup(kind).WriteTo(&b, 0); err != nil {
			return nil, fmt.Errorf("%s profile: %w", kind, err)
		}
	default:
		return nil, fmt.Errorf("there is no profile of kind %q", kind)
	}
	return b.Bytes(), nil
}
