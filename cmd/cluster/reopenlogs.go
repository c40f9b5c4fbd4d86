package main

import (
	"fmt"
	"net/http"

	"github.com/urfave/cli/v2"
)

func reopenLogsCommand() *cli.Command {
	return &cli.Command{
		Name: "reopen-logs", Usage: "open the log files anew, after they were moved away (logrotate)",
		Flags: controlFlags(), Before: noArguments,
		Action: func(c *cli.Context) error {
			if err := newClient(c).get(c.Context, http.MethodPost, "/v1/reopen-logs", nil, nil); err != nil {
				return err
			}
			fmt.Fprintln(c.App.Writer, "logs reopened")
			return nil
		},
	}
}
