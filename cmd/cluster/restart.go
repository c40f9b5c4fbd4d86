package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/prefork/cluster/cmd/cluster/rolling"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

func restartCommand() *cli.Command {
	return &cli.Command{
		Name:  "restart",
		Usage: "replace every worker by one of a new generation, losing no request",
		Description: "New before old, one slot at a time (start --surge N: more): the new worker must be ready and stay so for --settle before the\n" +
			"old one drains. If one fails, every slot returns to the old generation. With --wait the command reports progress and\n" +
			"exits 0 when every slot has a settled new worker, 6 if the restart was aborted and the cluster has returned.\n" +
			"--wait=drained returns when the old workers have left as well. Ctrl-C ends the command, not the restart.\n" +
			"With --slot N only the worker of slot N is replaced, by one of the same generation; what fails there takes nothing back.",
		Flags: append(controlFlags(),
			&cli.IntFlag{Name: "slot", Usage: "replace the worker of this slot alone, in the same generation"},
			&cli.GenericFlag{Name: "wait", Value: &waitValue{}, Usage: "wait for the outcome; --wait=drained: and for the old workers to leave"}),
		Before: noArguments,
		Action: restart,
	}
}

// waitValue is a flag that may stand alone (--wait) or have a value (--wait=drained).
type waitValue struct{ value string }

func (w *waitValue) String() string   { return w.value }
func (w *waitValue) IsBoolFlag() bool { return true }
func (w *waitValue) Set(s string) error {
	switch s {
	case "true", "ready":
		w.value = "ready"
	case "drained":
		w.value = s
	default:
		return errors.New("give --wait or --wait=drained")
	}
	return nil
}

func restart(c *cli.Context) error {
	request := api.RestartRequest{Wait: c.Generic("wait").(*waitValue).value}
	if c.IsSet("slot") {
		slot := c.Int("slot")
		request.Slot = &slot
	}
	answer, err := newClient(c).call(c.Context, http.MethodPost, "/v1/restart", request)
	if err != nil {
		var refused *refusal
		if errors.As(err, &refused) {
			return &exitError{plan.ExitAborted, fmt.Errorf("restart refused, nothing has changed: %w", refused)}
		}
		return err
	}
	defer answer.Close()
	if request.Slot != nil {
		return followRenewal(c, json.NewDecoder(answer))
	}
	return followRestart(rolling.NewLine(c.App.Writer), answer)
}

// exitInterrupted is the exit code of a command that Ctrl-C has ended, as in a shell.
const exitInterrupted = 128 + int(syscall.SIGINT)

// followRestart shows the reports until the last one, whose verdict it returns, or until Ctrl-C.
func followRestart(line *rolling.Line, answer io.Reader) error {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	defer signal.Stop(interrupted)
	reports := make(chan api.RestartProgress)
	over := make(chan struct{})
	defer close(over)
	go func() {
		defer close(reports)
		for lines := json.NewDecoder(answer); ; {
			var p api.RestartProgress
			if lines.Decode(&p) != nil {
				return
			}
			select {
			case reports <- p:
			case <-over:
				return
			}
		}
	}()
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case p, ok := <-reports:
			if !ok {
				line.Leave()
				return &exitError{plan.ExitFailure, errors.New("the cluster stopped before the restart was over")}
			}
			line.Show(p, time.Now())
			if p.Final {
				return verdict(p)
			}
		case <-again.C:
			line.Again(time.Now())
		case <-interrupted:
			line.Leave()
			return &exitError{exitInterrupted, errors.New("the restart goes on: `cluster status` shows how far it is")}
		}
	}
}

// followRenewal reports how the replacement of one worker goes, until it is over.
func followRenewal(c *cli.Context, lines *json.Decoder) error {
	for {
		var p api.RenewalProgress
		if err := lines.Decode(&p); err != nil {
			return &exitError{plan.ExitFailure, errors.New("the cluster stopped before the worker was replaced")}
		}
		fmt.Fprintln(c.App.Writer, describeRenewal(p))
		if p.Final {
			return renewalVerdict(p)
		}
	}
}

func describeRenewal(p api.RenewalProgress) string {
	worker := fmt.Sprintf("slot %d, pid %d: ", p.Slot, p.PID)
	switch p.Outcome {
	case plan.Pending:
		if p.Failures > 0 {
			return worker + fmt.Sprintf("a new worker failed (%s); it is tried again", p.Failure)
		}
		return worker + "to be replaced"
	case plan.Running:
		return worker + "a new worker starts"
	case plan.Done:
		text := worker + fmt.Sprintf("replaced in %v", p.Ended.Sub(p.Asked).Round(100*time.Millisecond))
		if p.Drained {
			text += ", the old one has left"
		}
		return text
	case plan.Superseded:
		return worker + "replaced by a restart"
	}
	return worker + string(p.Outcome)
}

// renewalVerdict is the exit code: to be replaced by a restart is as good.
func renewalVerdict(p api.RenewalProgress) error {
	switch p.Outcome {
	case plan.Aborted:
		return &exitError{plan.ExitAborted, fmt.Errorf("not replaced: %d new workers failed, and the old one stays: %s", p.Failures, p.Failure)}
	case plan.Cancelled:
		return &exitError{plan.ExitAborted, fmt.Errorf("not replaced: %s", p.Failure)}
	}
	return nil
}

func verdict(p api.RestartProgress) error {
	switch p.Outcome {
	case plan.Aborted:
		return &exitError{plan.ExitAborted, fmt.Errorf("restart aborted (%s): %s", p.Reason, p.Detail)}
	case plan.Cancelled:
		return &exitError{plan.ExitAborted, errors.New("restart cancelled: the cluster stops")}
	}
	return nil
}
