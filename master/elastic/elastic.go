// Package elastic decides how many workers there are to be between two bounds: more when requests wait for threads, fewer when
// threads idle. It decides from what the scoreboard shows and changes nothing itself.
package elastic

import (
	"fmt"
	"slices"
	"time"
)

// The judgement. A spike that a queue takes up is no reason, and one that was just acted upon is not acted upon again before the
// workers that it brought have had their effect.
const (
	growWindow   = 5 * time.Second  // for so long requests have waited
	growPause    = 10 * time.Second // since the last change
	shrinkWindow = time.Minute      // for so long there was too little to do
	shrinkPause  = time.Minute      // since the last change
	longWait     = 20 * time.Millisecond
	mostly       = 0.8 // of the looks in a window
	idleShare    = 0.6 // of the threads that would be left: no more than these were busy
	spareCPU     = 0.9 // of the CPUs: with more in use, another worker only takes from the others
	spareMemory  = 0.9 // of the limit: a worker more must fit below
)

// Bounds are between which numbers of workers the decision is.
type Bounds struct {
	Low, High int
	CPUs      int   // that the workers may use
	Memory    int64 // bytes that the cluster may have; 0: nobody has set a limit
}

// Look is what was seen at one moment.
type Look struct {
	At      time.Time
	Workers int           // wanted
	Steady  bool          // as many are ready, and no restart is under way
	Threads int           // a worker
	Busy    int           // threads, of all workers
	Waited  time.Duration // the mean wait of the requests that got a thread since the last look, or that of the oldest that waits if it is longer
	CPU     time.Duration // of all workers since the last look
	Memory  int64         // bytes of all processes of the cluster
	Largest int64         // bytes of the largest worker
}

// Decision is how many workers there are to be, and why. Kept says that there would be more if the machine had room.
type Decision struct {
	Workers int
	Why     string
	Kept    bool
}

// Judge remembers the last minute. The zero value has seen nothing.
type Judge struct {
	looks   []Look
	changed time.Time // when the number last changed, by whomever; else when it began to look
}

// Decide takes a look and returns the decision, whose Workers are those of the look if nothing is to change.
func (j *Judge) Decide(b Bounds, l Look) Decision {
	if n := len(j.looks); n == 0 || j.looks[n-1].Workers != l.Workers || j.looks[n-1].Threads != l.Threads {
		j.changed = l.At
		j.looks = j.looks[:0] // what was seen of other workers says nothing of these
	}
	j.looks = append(j.looks, l)
	first := slices.IndexFunc(j.looks, func(o Look) bool { return l.At.Sub(o.At) <= shrinkWindow })
	j.looks = slices.Delete(j.looks, 0, first)
	stay := Decision{Workers: l.Workers}
	switch {
	case !l.Steady:
		return stay
	case l.Workers < b.Low || l.Workers > b.High: // the bounds were changed
		return Decision{Workers: min(max(l.Workers, b.Low), b.High), Why: fmt.Sprintf("%d to %d workers are wanted", b.Low, b.High)}
	case l.At.Sub(j.changed) >= growPause && l.Workers < b.High && j.crowded(l.At):
		return j.grow(b, l)
	case l.At.Sub(j.changed) >= shrinkPause && l.Workers > b.Low && j.idle(l):
		return Decision{Workers: l.Workers - 1, Why: fmt.Sprintf("for %v at most %d of %d threads were busy, and no request waited", shrinkWindow, j.mostBusy(), l.Workers*l.Threads)}
	}
	return stay
}

func (j *Judge) grow(b Bounds, l Look) Decision {
	recent := j.since(l.At.Add(-growWindow))
	var cpu time.Duration
	for _, o := range recent[1:] {
		cpu += o.CPU
	}
	used := cpu.Seconds() / max(l.At.Sub(recent[0].At).Seconds(), 1e-3)
	to := min(b.High, l.Workers+max(1, l.Workers/4))
	need := l.Memory + int64(to-l.Workers)*l.Largest
	switch {
	case used > spareCPU*float64(b.CPUs):
		return Decision{Workers: l.Workers, Kept: true, Why: fmt.Sprintf("requests wait for %v, but the workers use %.1f of %d CPUs: more workers would only take them from each other", round(l.Waited), used, b.CPUs)}
	case b.Memory > 0 && float64(need) > spareMemory*float64(b.Memory):
		return Decision{Workers: l.Workers, Kept: true, Why: fmt.Sprintf("requests wait for %v, but %d workers would need %d MiB of the %d that there are", round(l.Waited), to, need>>20, b.Memory>>20)}
	}
	return Decision{Workers: to, Why: fmt.Sprintf("for %v requests have waited for a thread, the last for %v, with %d of %d threads busy", growWindow, round(l.Waited), l.Busy, l.Workers*l.Threads)}
}

// crowded says whether requests have waited for a while.
func (j *Judge) crowded(now time.Time) bool {
	recent := j.since(now.Add(-growWindow))
	if now.Sub(recent[0].At) < growWindow*9/10 { // there are fewer looks than that
		return false
	}
	waited := 0
	for _, l := range recent {
		if l.Waited >= longWait {
			waited++
		}
	}
	return float64(waited) >= mostly*float64(len(recent))
}

// idle says whether one worker fewer would have had threads to spare all the time.
func (j *Judge) idle(l Look) bool {
	if l.At.Sub(j.looks[0].At) < shrinkWindow*9/10 {
		return false
	}
	for _, o := range j.looks {
		if o.Waited >= longWait {
			return false
		}
	}
	return float64(j.mostBusy()) <= idleShare*float64((l.Workers-1)*l.Threads)
}

func (j *Judge) mostBusy() int {
	most := 0
	for _, l := range j.looks {
		most = max(most, l.Busy)
	}
	return most
}

// since are the looks from a moment on. There is at least the last one.
func (j *Judge) since(t time.Time) []Look {
	i := slices.IndexFunc(j.looks, func(l Look) bool { return !l.At.Before(t) })
	return j.looks[i:]
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
