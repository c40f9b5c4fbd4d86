package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/prefork/cluster/cmd/cluster/top"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/master/plan"
)

// leastInterval keeps a typing error from being a load for the master.
const leastInterval = 100 * time.Millisecond

func topCommand() *cli.Command {
	return &cli.Command{
		Name:  "top",
		Usage: "watch workers, threads, rates and events in the terminal; restart and scale by a key",
		Description: "? shows the keys. Changes ask before they are made. Without a terminal that can move its cursor (a pipe, TERM=dumb) it\n" +
			"is as with --once. NO_COLOR=1 leaves colours out, a locale without UTF-8 what is not ASCII.",
		Flags: append(controlFlags(),
			&cli.DurationFlag{Name: "interval", Value: time.Second, Usage: "how long to wait between requests to the master"},
			&cli.BoolFlag{Name: "once", Usage: "print one screen as text and exit"}),
		Before: noArguments,
		Action: func(c *cli.Context) error {
			interval := c.Duration("interval")
			if interval < leastInterval {
				return fmt.Errorf("--interval %v is too short: give at least %v", interval, leastInterval)
			}
			cluster := topCluster{newClient(c)}
			look := top.Look{Colour: colours(c.App.Writer), ASCII: !unicodeLocale(os.Getenv)}
			width, terminal := columns(c.App.Writer)
			if term := os.Getenv("TERM"); c.Bool("once") || !terminal || width == 0 || term == "" || term == "dumb" {
				return top.Once(c.Context, cluster, c.App.Writer, look, width)
			}
			if err := top.Run(c.Context, cluster, look, interval); err != nil {
				var coded *exitError
				if errors.As(err, &coded) {
					return err
				}
				return &exitError{plan.ExitFailure, err}
			}
			return nil
		},
	}
}

// unicodeLocale reports whether the terminal is said to take UTF-8: by the first of these variables that has a value
// (POSIX, environment variables, 8.2). With none of them it is the POSIX locale, which has ASCII.
func unicodeLocale(get func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := get(name); value != "" {
			value = strings.ToLower(value)
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return false
}

// topCluster is the master as top asks it.
type topCluster struct{ *client }

func (c topCluster) Status(ctx context.Context) (*api.Status, error) {
	var s api.Status
	if err := c.get(ctx, http.MethodGet, "/v1/status", nil, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

func (c topCluster) Events(ctx context.Context, since uint64) ([]journal.Event, error) {
	answer, err := c.call(ctx, http.MethodGet, "/v1/events?since="+strconv.FormatUint(since, 10), nil)
	if err != nil {
		var refused *refusal
		if errors.As(err, &refused) && refused.status == http.StatusNotFound {
			return nil, nil // a master that keeps none
		}
		return nil, err
	}
	defer answer.Close()
	var events []journal.Event
	lines := json.NewDecoder(answer)
	lines.UseNumber() // a pid is no float
	for {
		var e journal.Event
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			return events, nil
		} else if err != nil {
			return nil, &exitError{plan.ExitFailure, fmt.Errorf("the master's events: %w", err)}
		}
		events = append(events, e)
	}
}

func (c topCluster) Restart(ctx context.Context, slot *int) error {
	return c.get(ctx, http.MethodPost, "/v1/restart", api.RestartRequest{Slot: slot}, nil)
}

func (c topCluster) Scale(ctx context.Context, workers int) error {
	return c.get(ctx, http.MethodPost, "/v1/scale", api.ScaleRequest{To: workers}, nil)
}
