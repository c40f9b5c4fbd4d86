package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

func reloadCommand() *cli.Command {
	return &cli.Command{
		Name: "reload", Usage: "read configuration and certificates anew, and reopen log files; the same as HUP, with an answer",
		Flags: controlFlags(), Before: noArguments,
		Action: func(c *cli.Context) error {
			var r api.Reload
			if err := newClient(c).get(c.Context, http.MethodPost, "/v1/reload", nil, &r); err != nil {
				return err
			}
			if r.Outcome == api.ReloadRefused {
				return &exitError{plan.ExitConfig, errors.New(reloadText(&r))}
			}
			fmt.Fprintln(c.App.Writer, reloadText(&r))
			return nil
		},
	}
}

// reloadText says what became of a reload, one thing a line.
func reloadText(r *api.Reload) string {
	switch r.Outcome {
	case api.ReloadUnchanged:
		return "configuration unchanged"
	case api.ReloadRefused:
		return "configuration refused, everything stays as it was:\n         " + strings.Join(r.Errors, "\n         ")
	}
	lines := []string{"configuration taken over"}
	add := func(names []string, what string) {
		if len(names) > 0 {
			lines = append(lines, fmt.Sprintf("  %s: %s", what, strings.Join(names, ", ")))
		}
	}
	add(r.Live, "in force")
	add(r.Restart, fmt.Sprintf("in force as the workers are replaced, generation %d", r.Generation))
	add(r.Kept, "kept as it was, needs a new start")
	return strings.Join(lines, "\n")
}

// reloadLine says in one line what of the last reload did not come to be; nothing, if all of it did.
func reloadLine(r *api.Reload, now time.Time) string {
	if r == nil {
		return ""
	}
	ago := span(now.Sub(r.At).Seconds()) + " ago"
	switch r.Outcome {
	case api.ReloadRefused:
		line := "last reload: refused, " + ago
		if len(r.Errors) > 0 {
			line += ": " + r.Errors[0]
		}
		if more := len(r.Errors) - 1; more > 0 {
			line += fmt.Sprintf(" (and %d more, see cluster config check)", more)
		}
		return line
	case api.ReloadPartly:
		return fmt.Sprintf("last reload: in part, %s; kept until a new start: %s", ago, strings.Join(r.Kept, ", "))
	case api.ReloadTakenBack:
		return fmt.Sprintf("last reload: %s, but the new workers were not good; taken back with them: %s", ago, strings.Join(r.Restart, ", "))
	}
	return ""
}
