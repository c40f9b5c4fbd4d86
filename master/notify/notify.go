// Package notify tells the service manager how the cluster is: sd_notify(3), as a unit of Type=notify-reload wants it, and its
// watchdog.
package notify

import (
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// lookInterval is how often the service manager is asked for patience while something is under way.
	lookInterval = 5 * time.Second
	// patience is what it is asked for. The master has limits of its own for all that it does, so those of the unit need not end it.
	patience = 3 * lookInterval
)

// State is the cluster as the service manager sees it.
type State struct {
	Started  bool      // every worker has been ready once
	Serving  bool      // at least one is ready
	Changing bool      // a rolling restart is under way
	Reloaded time.Time // when the last reload was over; zero: there was none
	Stopping bool
	Turned   time.Time // when the master's loop made its last turn
	Text     string    // the same for a person, for systemctl status

	Monotonic time.Duration // CLOCK_MONOTONIC when the state was looked at
}

// Teller turns states into messages. The zero value has said nothing.
type Teller struct {
	Watchdog time.Duration // within which the service manager wants to hear that all is well; 0: it does not ask

	last      State
	told      bool // ready
	reloading bool // said, and not yet that it is over
	stopping  bool
	extended  time.Time
	petted    time.Time
	served    time.Time // when a worker was last seen to serve
}

// Tell returns the messages that are due, each a datagram.
func (t *Teller) Tell(s State, now time.Time) []string {
	var due []string
	switch {
	case s.Stopping && !t.stopping:
		t.stopping, t.extended = true, time.Time{}
		due = append(due, daemon.SdNotifyStopping)
	case s.Stopping:
	case !t.told && s.Started:
		t.told = true
		due = append(due, daemon.SdNotifyReady)
	case t.told:
		due = t.reload(s)
	}
	if s.Text != t.last.Text {
		due = append(due, "STATUS="+strings.ReplaceAll(s.Text, "\n", " "))
	}
	if (!t.told || t.reloading || t.stopping) && now.Sub(t.extended) >= lookInterval {
		t.extended = now
		due = append(due, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", patience.Microseconds()))
	}
	if s.Serving || !s.Started || s.Stopping {
		t.served = now
	}
	if t.Watchdog > 0 && now.Sub(t.petted) >= t.Watchdog/3 && t.well(s, now) {
		t.petted = now
		due = append(due, daemon.SdNotifyWatchdog)
	}
	t.last = s
	return due
}

// reload tells that something changes, and that it is over. What began and ended between two looks has both at once: the
// service manager waits for the pair.
func (t *Teller) reload(s State) []string {
	var due []string
	if !t.reloading && (s.Changing || !s.Reloaded.Equal(t.last.Reloaded)) {
		t.reloading, t.extended = true, time.Time{}
		due = append(due, daemon.SdNotifyReloading+fmt.Sprintf("\nMONOTONIC_USEC=%d", s.Monotonic.Microseconds()))
	}
	if t.reloading && !s.Changing {
		t.reloading = false
		due = append(due, daemon.SdNotifyReady)
	}
	return due
}

// well says whether the watchdog is to be told so: the loop turns, and if a worker has ever served one does or did not long ago.
// A start and a stop have limits of their own.
func (t *Teller) well(s State, now time.Time) bool {
	return now.Sub(s.Turned) < t.Watchdog && now.Sub(t.served) < t.Watchdog
}

// Run tells the service manager until stop is closed, and then once more. look returns the state and a channel that is closed when it is no more the
// newest. It returns at once if there is no service manager that asks; broken is told, once, when one cannot be reached.
func Run(stop <-chan struct{}, look func() (State, <-chan struct{}), broken func(error)) {
	asked, _ := daemon.SdNotify(false, "STATUS=starting")
	if !asked {
		return
	}
	t := Teller{}
	t.Watchdog, _ = daemon.SdWatchdogEnabled(false)
	interval := lookInterval
	if t.Watchdog > 0 {
		interval = min(interval, t.Watchdog/6)
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		s, changed := look()
		for _, message := range t.Tell(s, time.Now()) {
			if _, err := daemon.SdNotify(false, message); err != nil && broken != nil {
				broken(err)
				broken = nil
			}
		}
		if t.stopping {
			changed = nil // the ticker is enough
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-stop:
			return
		}
	}
}
