// Command cluster runs an HTTP application as a prefork cluster. One file a verb; see docs/architecture.md.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/prefork/cluster/cmd/cluster/front"
	"github.com/prefork/cluster/cmd/cluster/reference"
	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/plan"
)

func main() { os.Exit(run(os.Args)) }

// run is main with an exit code, so that a test binary can be the command.
func run(args []string) int {
	if len(args) > 1 { // before anything of the command line is built: these processes are to be small
		switch args[1] {
		case reference.WorkerVerb:
			return reference.RunWorker()
		case front.Verb:
			return front.Run(args[2:])
		case reference.BareVerb:
			return reference.RunBare(args[2:])
		}
	}
	forgetEmpty()
	err := newApp().Run(flagsFirst(withNumbers(args)))
	if err == nil {
		return plan.ExitClean
	}
	var coded *exitError
	if errors.As(err, &coded) {
		if coded.err != nil {
			fmt.Fprintln(os.Stderr, "cluster:", coded.err)
		}
		return coded.code
	}
	fmt.Fprintln(os.Stderr, "cluster:", err)
	return plan.ExitUsage
}

// forgetEmpty makes an empty variable count as not given, so that it hides no other one and no default.
func forgetEmpty() {
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); value == "" && strings.HasPrefix(name, "CLUSTER_") {
			os.Unsetenv(name)
		}
	}
}

// withNumbers lets the number of `cluster scale` stand anywhere, and keeps -1 from being taken for a flag.
func withNumbers(args []string) []string {
	if len(args) < 2 || args[1] != "scale" {
		return args
	}
	for i := 2; i < len(args) && args[i] != "--"; i++ {
		if _, err := strconv.Atoi(args[i]); err == nil {
			return append(slices.Delete(slices.Clone(args), i, i+1), "--", args[i])
		}
		if strings.HasPrefix(args[i], "-") && !strings.Contains(args[i], "=") {
			i++ // its value: every flag of the command has one
		}
	}
	return args
}

// exitError is an error with an exit code. Any other error that reaches run is one of usage.
type exitError struct {
	code int
	err  error // nil: everything has been said
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func newApp() *cli.App {
	app := &cli.App{
		Name:                 "cluster",
		Usage:                "run an HTTP application as a master and N worker processes with M threads each",
		Version:              version(),
		HideVersion:          true, // `cluster version` says it
		EnableBashCompletion: true,
		ExitErrHandler:       func(*cli.Context, error) {}, // run decides
		OnUsageError:         usageError,
		Commands: []*cli.Command{
			startCommand(), statusCommand(), topCommand(), restartCommand(), scaleCommand(), stopCommand(),
			stacksCommand(), profileCommand(), eventsCommand(), logLevelCommand(), reopenLogsCommand(), reloadCommand(), configCommand(),
			benchCommand(), versionCommand(), completionCommand(), manCommand(),
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownCommand(c.App.Name, c.App.Commands, c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	prepare(app.Commands)
	return app
}

func prepare(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = usageError // else urfave/cli prints the whole help before the error
		c.HideHelpCommand = true    // else `start -- help` is no program
		prepare(c.Subcommands)
	}
}

func unknownCommand(under string, commands []*cli.Command, given string) error {
	names := make([]string, 0, len(commands))
	for _, c := range commands {
		names = append(names, c.Name)
	}
	return fmt.Errorf("unknown command %q%s; the commands are %s (see %s --help)", given, configs.DidYouMean(given, "", names), strings.Join(names, ", "), under)
}

// usageError puts what package flag says into the words and the spelling of the help.
func usageError(c *cli.Context, err error, _ bool) error {
	name := c.App.Name
	flags := c.App.Flags
	if c.Command != nil && c.Command.Name != "" && c.Command.Name != name {
		name = c.Command.HelpName
		flags = c.Command.Flags
	}
	text := err.Error()
	if flag, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		flag = strings.TrimLeft(flag, "-")
		var names []string
		for _, f := range flags {
			names = append(names, f.Names()...)
		}
		text = fmt.Sprintf("unknown flag %s%s", spelled(flag), configs.DidYouMean(flag, "--", names))
	} else if flag, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		text = spelled(strings.TrimLeft(flag, "-")) + " needs a value"
	} else if value, rest, ok := strings.Cut(text, " for "); ok && strings.HasPrefix(value, "invalid ") {
		kind, value, _ := strings.Cut(value, "value ")
		flag, why, _ := strings.Cut(strings.TrimPrefix(rest, "flag "), ": ")
		switch {
		case why == "parse error" && strings.Contains(kind, "boolean"):
			why = "give true or false"
		case why == "parse error":
			why = "that is no value for it"
		}
		text = fmt.Sprintf("%s %s: %s", spelled(strings.TrimLeft(flag, "-")), value, why)
	}
	return &exitError{plan.ExitUsage, fmt.Errorf("%s (see %s --help)", text, name)}
}

func spelled(flag string) string {
	if len(flag) == 1 {
		return "-" + flag
	}
	return "--" + flag
}

// noArguments refuses what a command would silently ignore.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return &exitError{plan.ExitUsage, fmt.Errorf("%s takes no argument %q (see %s --help)", c.Command.HelpName, c.Args().First(), c.Command.HelpName)}
	}
	return nil
}
