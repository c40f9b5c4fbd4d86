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
		Name: "scale", Usage: "set the number of workers, or change it: cluster scale 4 | +1 | -1", ArgsUsage: "N|+N|-N",
		Flags:           controlFlags(),
		SkipFlagParsing: false,
		Action:          scale,
	}
}

func scale(c *cli.Context) error {
	if c.NArg() != 1 {
		return fmt.Errorf("scale takes one number: cluster scale 4, cluster scale +1, cluster scale -1")
	}
	text := c.Args().First()
	n, err := strconv.Atoi(text)
	if err != nil || n == 0 {
		return fmt.Errorf("scale %q: give a number of workers such as 4, or a change such as +1 or -1", text)
	}
	request := api.ScaleRequest{To: n}
	if strings.HasPrefix(text, "+") || n < 0 {
		request = api.ScaleRequest{By: n}
	}
	var answer api.ScaleAnswer
	if err := newClient(c).get(c.Context, http.MethodPost, "/v1/scale", request, &answer); err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%d workers wanted\n", answer.Workers)
	return nil
}
