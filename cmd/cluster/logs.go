package main

import (
	"fmt"
	"net/http"

	"github.com/urfave/cli/v2"

	"github.com/prefork/cluster/master/api"
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

func logLevelCommand() *cli.Command {
	return &cli.Command{
		Name: "log-level", Usage: "set the least that the master logs, until the next reload or start: debug, info, warn or error", ArgsUsage: "LEVEL",
		Flags: controlFlags(),
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return fmt.Errorf("log-level takes one level: debug, info, warn or error")
			}
			var answer api.LogLevelAnswer
			if err := newClient(c).get(c.Context, http.MethodPost, "/v1/log-level", api.LogLevelRequest{Level: c.Args().First()}, &answer); err != nil {
				return err
			}
			fmt.Fprintf(c.App.Writer, "log level %s, until the next reload or start; it was %s\n", answer.Level, answer.Before)
			return nil
		},
	}
}
