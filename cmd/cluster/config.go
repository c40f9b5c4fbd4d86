package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/plan"
)

func configCommand() *cli.Command {
	config := &cli.Command{
		Name: "config", Usage: "write, check or show the file of settings",
		Subcommands: []*cli.Command{
			{
				Name: "init", ArgsUsage: "[PATH | -]", Action: configInit,
				Usage: "write a file with every setting at its default, commented out (default: ./" + configs.DefaultFile + "; -: to standard output)",
			},
			{
				Name: "check", Flags: []cli.Flag{configFlag()}, Before: noArguments, Action: configCheck,
				Usage: "say everything that is wrong with the file; exit 3 if something is",
			},
			{
				Name: "show", Flags: []cli.Flag{configFlag(), &cli.BoolFlag{Name: "json", Usage: "as JSON"}}, Before: noArguments, Action: configShow,
				Usage: "show what counts if the cluster is started here without flags, and where each value comes from",
			},
		},
	}
	config.Action = func(c *cli.Context) error {
		if c.Args().Present() {
			return unknownCommand("cluster config", config.Subcommands, c.Args().First())
		}
		return cli.ShowSubcommandHelp(c)
	}
	return config
}

func configInit(c *cli.Context) error {
	if c.NArg() > 1 {
		return fmt.Errorf("%s takes one path, not %q too (see %s --help)", c.Command.HelpName, c.Args().Get(1), c.Command.HelpName)
	}
	path := c.Args().First()
	switch path {
	case "-":
		fmt.Fprint(c.App.Writer, configs.Sample())
		return nil
	case "":
		path = configs.DefaultFile
	}
	if err := writeNew(path, configs.Sample()); err != nil {
		return &exitError{plan.ExitFailure, err}
	}
	fmt.Fprintf(c.App.Writer, "%s: written\n", path)
	return nil
}

// writeNew never touches a file that is there. One that cannot be written whole is not left behind.
func writeNew(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists and is left as it is: give another path, or - for standard output", path)
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(file, text)
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// configCheck looks at the file alone: whether it is right is not to depend on who asks.
func configCheck(c *cli.Context) error {
	environment := func(name string) (string, bool) {
		if name != configs.FileVariable {
			return "", false
		}
		return os.LookupEnv(name)
	}
	loaded, err := configs.Load(configs.Sources{Lookup: environment, File: c.String("config")})
	if err != nil {
		return badSettings(err)
	}
	if loaded.File == "" {
		return &exitError{plan.ExitConfig, errors.New("there is no " + configs.DefaultFile + " here: name a file with --config, or write one with cluster config init")}
	}
	fmt.Fprintf(c.App.Writer, "%s: fine\n", loaded.File)
	return nil
}

// shownSetting is one setting in the JSON of config show.
type shownSetting struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
	From  string `json:"from"`
}

func configShow(c *cli.Context) error {
	loaded, err := loader(c)()
	if err != nil {
		return badSettings(err)
	}
	list := make([]shownSetting, 0, len(configs.Settings()))
	table := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	for _, s := range configs.Settings() {
		from := loaded.Origins[s.Name].String()
		if s.Name == "workers" && loaded.Auto() {
			from += " (auto)"
		}
		list = append(list, shownSetting{s.Name, s.Value(&loaded.Config), from})
		value := s.Text(&loaded.Config)
		if value == "" {
			value = "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, strings.Map(oneLine, value), from)
	}
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	return table.Flush()
}

// oneLine keeps a value with a tab or the end of a line in its row.
func oneLine(r rune) rune {
	if r < ' ' {
		return ' '
	}
	return r
}
