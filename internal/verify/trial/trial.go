// Package trial lets the clients of package verify loose on a cluster while it is upset: restarted, scaled, and if it is to be
// deadly, killed and stopped. Then it judges.
//
// Invariant: what is tolerated follows from what was done. Nothing may ever be wrong; a request may be lost only with the
// connections that a killed worker had; and with dispatch handoff a restart may close no connection.
package trial

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/prefork/cluster/internal/verify"
	"github.com/prefork/cluster/master/api"
)

// Trial is one run of clients against a cluster that serves the application of package echo.
type Trial struct {
	verify.Clients
	Status      func() (api.Status, error)
	Command     func(args ...string) error // runs the command cluster with a verb and flags; the error has what it says about a failure
	Dispatch    string                     // of the cluster
	Deadly      bool                       // workers are killed with SIGKILL, and stopped with SIGSTOP for a while
	Least, Most int                        // workers that the cluster is scaled between
}

// Outcome is what happened in a trial.
type Outcome struct {
	Report   verify.Report
	Events   Events
	dispatch string
	deadly   bool
}

// Run returns when the clients are done. The error is one of the upsetting: an event that went wrong, or that did not happen.
func (t Trial) Run(ctx context.Context) (Outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u := newUpset(t)
	upset := make(chan error, 1)
	done, stop := context.WithCancel(ctx)
	go func() {
		err := u.run(done)
		if err != nil {
			cancel()
		}
		upset <- err
	}()
	report := t.Clients.Run(ctx)
	stop()
	err := <-upset
	o := Outcome{Report: report, Events: u.events, dispatch: t.Dispatch, deadly: t.Deadly}
	return o, errors.Join(err, ctx.Err())
}

// Faults are what may not have happened, for people; none if the cluster was never wrong.
func (o *Outcome) Faults() []string {
	r, e := &o.Report, &o.Events
	var faults []string
	fault := func(failed bool, format string, values ...any) {
		if failed {
			faults = append(faults, fmt.Sprintf(format, values...))
		}
	}
	handoff := o.dispatch == "handoff"
	fault(r.Wrongs() > 0, "%d answers were wrong", r.Wrongs())
	fault(!o.deadly && r.Losses() > 0, "%d requests were lost, and no worker was killed", r.Losses())
	fault(!o.deadly && handoff && r.Closes() > 0, "connections were closed, or requests dismissed, %d times, although dispatch is handoff", r.Closes())
	unbroken := r.Counts[verify.Refused] + r.Counts[verify.TimedOut] + r.Counts[verify.Unavailable]
	fault(o.deadly && unbroken > 0, "%d requests were lost, and not by a connection that a killed worker had", unbroken)
	fault(o.deadly && r.Severed > e.Open, "%d connections were severed, but the killed workers had only %d", r.Severed, e.Open)
	for pid, n := range r.SeveredBy { // by handoff a connection may have come to the killed one after its last answer
		fault(o.deadly && !handoff && pid != 0 && !e.killed[pid], "%d connections of worker %d were severed, which was not killed", n, pid)
	}
	fault(!handoff && r.Moved > 0, "connections changed workers %d times, although dispatch is %s", r.Moved, o.dispatch)
	fault(handoff && r.Moved == 0, "no connection changed workers, although dispatch is handoff")
	return faults
}

func (o *Outcome) String() string {
	text := fmt.Sprintf("%v\n%v", &o.Events, &o.Report)
	if faults := o.Faults(); len(faults) > 0 {
		text += "\nFAULT: " + strings.Join(faults, "\nFAULT: ")
	}
	return text
}
