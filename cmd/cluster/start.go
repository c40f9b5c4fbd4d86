package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/master/sockets"
)

func startCommand() *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "run the master in the foreground; without a program the workers serve the built-in reference application",
		ArgsUsage: "[-- program [args…]]",
		Description: "Each flag can be given as a variable of the environment and as a key of the file too (cluster config init). A flag wins\n" +
			"over CLUSTER_…, that over WEB_CONCURRENCY and MAX_THREADS, those over the file, that over the default.\n\nSignals to the master:\n" + signalTable(),
		Flags:  append([]cli.Flag{configFlag()}, settingFlags()...),
		Action: start,
	}
}

func signalTable() string {
	var b strings.Builder
	for _, row := range master.Signals {
		fmt.Fprintf(&b, "  %-5s %s\n", row.Name, row.Effect)
	}
	return strings.TrimRight(b.String(), "\n")
}

func configFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "config", Aliases: []string{"C"}, DefaultText: "./" + configs.DefaultFile + ", if it is there",
		Usage: "file with settings" + variables(configs.FileVariable),
	}
}

// settingFlags are a flag for each setting. They are told apart from the defaults and from the environment by configs, so
// that the file has its place between; urfave/cli only shows these.
func settingFlags() []cli.Flag {
	var flags []cli.Flag
	for _, s := range configs.Settings() {
		var aliases []string
		if s.Short != "" {
			aliases = []string{s.Short}
		}
		usage, category := s.Usage+variables(s.Variables()...), string(s.Group)
		switch s.Kind {
		case configs.Words: // what follows --
		case configs.Switch:
			flags = append(flags, &cli.BoolFlag{Name: s.Name, Aliases: aliases, Category: category, Usage: usage, DisableDefaultText: true})
		case configs.Binds:
			flags = append(flags, &cli.StringSliceFlag{Name: s.Name, Aliases: aliases, Category: category, Usage: usage, DefaultText: s.DefaultForPeople()})
		default:
			flags = append(flags, &cli.StringFlag{Name: s.Name, Aliases: aliases, Category: category, Usage: usage, DefaultText: s.DefaultForPeople()})
		}
	}
	return flags
}

func variables(names ...string) string { return " [$" + strings.Join(names, ", $") + "]" }

// loader returns what reads the configuration, with the flags of this command, each time it is called: the environment
// and the file may have changed. A file that was there once must be there: between removing it and putting another in its
// place nobody wants the defaults.
func loader(c *cli.Context) func() (configs.Loaded, error) {
	sources := configs.Sources{Flags: map[string][]string{}, Lookup: os.LookupEnv, File: c.String("config")}
	for _, s := range configs.Settings() {
		switch {
		case s.Kind == configs.Words:
			sources.Flags[s.Name] = c.Args().Slice()
		case !c.IsSet(s.Name):
		case s.Kind == configs.Switch:
			sources.Flags[s.Name] = []string{strconv.FormatBool(c.Bool(s.Name))}
		case s.Kind == configs.Binds:
			sources.Flags[s.Name] = c.StringSlice(s.Name)
		default:
			sources.Flags[s.Name] = []string{c.String(s.Name)}
		}
	}
	return func() (configs.Loaded, error) {
		l, err := configs.Load(sources)
		sources.File = l.File
		return l, err
	}
}

func start(c *cli.Context) error {
	load := loader(c)
	loaded, err := load()
	if err != nil {
		return badSettings(err)
	}
	given, err := sockets.Given()
	if err != nil {
		return &exitError{plan.ExitConfig, err}
	}
	// Who starts it with sockets, and names none, wants those served.
	serveGiven := func(l configs.Loaded) configs.Config {
		if l.Origins["bind"].Source == configs.FromDefault && len(given) > 0 {
			l.Config.Binds = given
		}
		return l.Config
	}
	code, err := master.Run(serveGiven(loaded), version(), func() (configs.Config, error) {
		l, err := load()
		return serveGiven(l), err
	})
	if code == plan.ExitClean && err == nil {
		return nil
	}
	return &exitError{code, err}
}

// badSettings puts one error a line. The exit code says where to look: at the command and its environment, or at the file.
func badSettings(err error) error {
	code := plan.ExitUsage
	if all, ok := errors.AsType[configs.Errors](err); ok && all.From() == configs.FromFile {
		code = plan.ExitConfig
	}
	return &exitError{code, errors.New(strings.ReplaceAll(err.Error(), "\n", "\n         "))}
}
