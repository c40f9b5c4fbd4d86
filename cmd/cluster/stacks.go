package main

import (
	"fmt"
	"net/http"

	"github.com/urfave/cli/v2"
)

func stacksCommand() *cli.Command {
	return &cli.Command{
		Name: "stacks", Usage: "print the goroutine stacks of the master and all workers",
		Flags: controlFlags(), Before: noArguments, Action: stacks,
	}
}

func stacks(c *cli.Context) error {
	var dumps []struct {
		Slot, PID, Generation int
		InProcess             bool `json:"in_process"`
		Text, Error           string
	}
	if err := newClient(c).get(c.Context, http.MethodGet, "/v1/stacks", nil, &dumps); err != nil {
		return err
	}
	for _, d := range dumps {
		who := fmt.Sprintf("worker %d (pid %d, generation %d)", d.Slot, d.PID, d.Generation)
		switch {
		case d.Slot < 0:
			who = fmt.Sprintf("master (pid %d)", d.PID)
		case d.InProcess:
			who = fmt.Sprintf("all workers (pid %d, generation %d)", d.PID, d.Generation)
		}
		fmt.Fprintf(c.App.Writer, "=== %s\n", who)
		if d.Error != "" {
			fmt.Fprintf(c.App.Writer, "not available: %s\n", d.Error)
		}
		fmt.Fprintf(c.App.Writer, "%s\n", d.Text)
	}
	return nil
}
