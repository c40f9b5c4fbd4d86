package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/control"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/master/sockets"
)

func stopCommand() *cli.Command {
	return &cli.Command{
		Name: "stop", Usage: "drain all workers and end the cluster; returns when it has ended",
		Flags:  append(controlFlags(), &cli.BoolFlag{Name: "now", Usage: "kill the workers instead"}),
		Before: noArguments,
		Action: stop,
	}
}

func stop(c *cli.Context) error {
	client := newClient(c)
	var waits api.Stopping
	if err := client.get(c.Context, http.MethodPost, "/v1/stop", api.StopRequest{Now: c.Bool("now")}, &waits); err != nil {
		return err
	}
	if waits.DrainDelay > 0 {
		fmt.Fprintf(c.App.Writer, "all is served for another %v (drain-delay), then workers drain within %v (drain-timeout)\n",
			duration(waits.DrainDelay), duration(waits.DrainTimeout))
	}
	if err := client.awaitEnd(c.Context); err != nil {
		return &exitError{plan.ExitFailure, err}
	}
	fmt.Fprintln(c.App.Writer, "stopped")
	return nil
}

// duration is a number of seconds as people write it.
func duration(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(10 * time.Millisecond)
}

// awaitEnd returns when the lock of the control socket is free: it is the last thing that a master lets go of, so the
// same cluster can be started again then.
func (c *client) awaitEnd(ctx context.Context) error {
	for {
		if held, err := sockets.Locked(control.LockPath(c.path)); err != nil || !held {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
