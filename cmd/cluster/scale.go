package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/prefork/cluster/master/api"
	"github.com/urfave/cli/v2"
)

func scaleCommand() *cli.Command {
	return &cli.Command{
		Name: "scale", Usage: "set the number of workers, or change it: cluster scale 4 | +1 | -1; or the threads of each", ArgsUsage: "[N|+N|-N]",
		Description: "Nothing is restarted: workers are started or drained, threads are in force at once. Both last until the next start, or until\n" +
			"a reload of a file that says something new of them. In process threads are changed by the file and a reload only.",
		Flags:  append(controlFlags(), &cli.GenericFlag{Name: "threads", Value: new(countValue), Usage: "threads of each worker, at most --max-threads of the start"}),
		Action: scale,
	}
}

// countValue is a flag with a number of at least 1; 0: it was not given.
type countValue int

func (v *countValue) String() string { return strconv.Itoa(int(*v)) }

func (v *countValue) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return fmt.Errorf("give a number of at least 1")
	}
	*v = countValue(n)
	return nil
}

func scale(c *cli.Context) error {
	threads := int(*c.Generic("threads").(*countValue))
	if c.NArg() > 1 || c.NArg() == 0 && threads == 0 {
		return fmt.Errorf("scale takes one number: cluster scale 4, cluster scale +1, cluster scale -1; or --threads N, or both")
	}
	client := newClient(c)
	if c.NArg() == 1 {
		request, err := scaleRequest(c.Args().First())
		if err != nil {
			return err
		}
		var answer api.ScaleAnswer
		if err := client.get(c.Context, http.MethodPost, "/v1/scale", request, &answer); err != nil {
			return err
		}
		fmt.Fprintf(c.App.Writer, "%d workers wanted\n", answer.Workers)
	}
	if threads > 0 {
		var answer api.ThreadsAnswer
		if err := client.get(c.Context, http.MethodPost, "/v1/threads", api.ThreadsRequest{To: threads}, &answer); err != nil {
			return err
		}
		fmt.Fprintf(c.App.Writer, "%d threads a worker\n", answer.Threads)
	}
	return nil
}

func scaleRequest(text string) (api.ScaleRequest, error) {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n == 0:
		return api.ScaleRequest{}, fmt.Errorf("scale %q: give a number of workers such as 4, or a change such as +1 or -1", text)
	case strings.HasPrefix(text, "+") || n < 0:
		return api.ScaleRequest{By: n}, nil
	}
	return api.ScaleRequest{To: n}, nil
}
