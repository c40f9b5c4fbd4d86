package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prefork/cluster/cmd/cluster/wording"
	"github.com/prefork/cluster/ipc/profile"
	"github.com/prefork/cluster/master/plan"
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
			fmt.Fprintf(c.App.Writer, "not available: %s\n", wording.Text(d.Error))
		}
		fmt.Fprintf(c.App.Writer, "%s\n", wording.Text(d.Text)) // it is what the application's process says
	}
	return nil
}

func profileCommand() *cli.Command {
	return &cli.Command{
		Name: "profile", Usage: "take a profile of a worker, or of the master, for go tool pprof",
		Description: "A CPU profile takes its seconds and costs the worker a percent or so meanwhile; heap and goroutine are of the moment. One at a time\n" +
			"a worker. A worker in another language than Go has none.",
		Flags: append(controlFlags(),
			&cli.StringFlag{Name: "slot", Usage: "slot of the worker (cluster status shows them), or master"},
			&cli.StringFlag{Name: "kind", Value: profile.CPU, Usage: strings.Join(profile.Kinds, ", ")},
			&cli.GenericFlag{Name: "seconds", Value: new(countValue), DefaultText: "10", Usage: "how long a CPU profile takes, at most 60"},
			&cli.StringFlag{Name: "output", DefaultText: "cluster-slotN-KIND.pb.gz", Usage: "file to write"}),
		Before: noArguments,
		Action: takeProfile,
	}
}

func takeProfile(c *cli.Context) error {
	query, length, err := profileQuery(c.String("slot"), c.String("kind"), int(*c.Generic("seconds").(*countValue)))
	if err != nil {
		return err
	}
	output := c.String("output")
	if output == "" {
		output = profileFile(c.String("slot"), c.String("kind"))
	}
	answer, err := newPatientClient(c, answerPatience+length).call(c.Context, http.MethodGet, "/v1/profile?"+query, nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	data, err := io.ReadAll(answer)
	if err == nil {
		err = os.WriteFile(output, data, 0o644)
	}
	if err != nil {
		return &exitError{plan.ExitFailure, fmt.Errorf("profile: %w", err)}
	}
	fmt.Fprintf(c.App.Writer, "go tool pprof %s\n", output)
	return nil
}

// profileQuery is what the master is asked, and how long it takes to answer at least.
func profileQuery(slot, kind string, seconds int) (query string, length time.Duration, err error) {
	if n, err := strconv.Atoi(slot); slot != "master" && (err != nil || n < 0) {
		return "", 0, fmt.Errorf("--slot %q: give the slot of a worker, such as 0, or master", slot)
	}
	if !slices.Contains(profile.Kinds, kind) {
		return "", 0, fmt.Errorf("--kind %q: give %s", kind, strings.Join(profile.Kinds, ", "))
	}
	values := url.Values{"slot": {slot}, "kind": {kind}}
	if kind == profile.CPU {
		length = profile.DefaultLength
	}
	if seconds > 0 {
		length = time.Duration(seconds) * time.Second
		values.Set("seconds", strconv.Itoa(seconds))
	}
	return values.Encode(), length, nil
}

// profileFile is where a profile goes unless a name is given.
func profileFile(slot, kind string) string {
	if slot != "master" {
		slot = "slot" + slot
	}
	return fmt.Sprintf("cluster-%s-%s.pb.gz", slot, kind)
}
