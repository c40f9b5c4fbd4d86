package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master"
	"github.com/prefork/cluster/master/plan"
)

func startCommand() *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "run the master in the foreground; without a program the workers serve the built-in reference application",
		ArgsUsage: "[-- program [args…]]",
		Description: "Each flag can be given as a variable of the environment too; a flag wins over CLUSTER_…, that over WEB_CONCURRENCY and\n" +
			"MAX_THREADS, those over the default.\n\nSignals to the master:\n" + signalTable(),
		Flags:  startFlags(),
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

// setting ties a flag to a field of the configuration.
type setting struct {
	flag cli.Flag
	read func(c *cli.Context, into *configs.Config) error
}

func startFlags() []cli.Flag {
	var flags []cli.Flag
	for _, s := range settings() {
		flags = append(flags, s.flag)
	}
	return flags
}

// settings are all flags of start. One that is empty counts as not given.
func settings() []setting {
	d := configs.Default()
	var list []setting
	text := func(name, value, usage string, field func(*configs.Config) *string, aliases ...string) {
		list = append(list, setting{
			&cli.StringFlag{Name: name, Aliases: aliases, Value: value, Usage: usage, EnvVars: []string{envName(name)}},
			func(c *cli.Context, into *configs.Config) error {
				if given := c.String(name); given != "" {
					*field(into) = given
				}
				return nil
			},
		})
	}
	number := func(name string, usage string, field func(*configs.Config) *int, env []string, aliases ...string) {
		list = append(list, setting{
			&cli.StringFlag{Name: name, Aliases: aliases, DefaultText: strconv.Itoa(*field(&d)), Usage: usage, EnvVars: append([]string{envName(name)}, env...)},
			func(c *cli.Context, into *configs.Config) error { return readNumber(c.String(name), name, field(into)) },
		})
	}
	duration := func(name, usage string, field func(*configs.Config) *time.Duration) {
		list = append(list, setting{
			&cli.StringFlag{Name: name, DefaultText: field(&d).String(), Usage: usage, EnvVars: []string{envName(name)}},
			func(c *cli.Context, into *configs.Config) error {
				return readDuration(c.String(name), name, field(into))
			},
		})
	}

	list = append(list, setting{
		&cli.StringFlag{
			Name: "workers", Aliases: []string{"w"}, DefaultText: "auto: the CPUs that this cgroup may use",
			Usage: "number of worker processes, or auto", EnvVars: []string{"CLUSTER_WORKERS", "WEB_CONCURRENCY"},
		},
		func(c *cli.Context, into *configs.Config) error {
			if autoWorkers(c) {
				return nil // it is the default
			}
			return readNumber(c.String("workers"), "workers", &into.Workers)
		},
	})
	number("threads", "threads a worker: requests that it handles at a time", func(c *configs.Config) *int { return &c.Threads }, []string{"MAX_THREADS"}, "t")
	list = append(list, setting{
		&cli.StringSliceFlag{Name: "bind", Aliases: []string{"b"}, DefaultText: d.Binds[0].String(), Usage: "address to listen on, tcp://HOST:PORT; may be repeated", EnvVars: []string{"CLUSTER_BIND"}},
		readBinds,
	})
	text("metrics", d.Metrics, "address of /metrics, /livez and /readyz, or off", func(c *configs.Config) *string { return &c.Metrics })
	text("name", d.Name, "name of the cluster: names its control socket", func(c *configs.Config) *string { return &c.Name })
	text("control", "", "path of the control socket (default: $XDG_RUNTIME_DIR/cluster/NAME.sock, else /tmp/cluster-UID/NAME.sock)", func(c *configs.Config) *string { return &c.Control })
	number("max-workers", "the most that scaling may reach", func(c *configs.Config) *int { return &c.MaxWorkers }, nil)
	number("surge", "workers that a rolling restart replaces at a time, after the first", func(c *configs.Config) *int { return &c.Surge }, nil)
	number("queue-depth", "requests that may wait for a thread, a worker; more are answered 503", func(c *configs.Config) *int { return &c.QueueDepth }, nil)
	duration("queue-timeout", "how long a request waits for a thread before it is answered 503", func(c *configs.Config) *time.Duration { return &c.QueueTimeout })
	duration("head-timeout", "for a complete request head", func(c *configs.Config) *time.Duration { return &c.HeadTimeout })
	duration("idle-timeout", "how long a keep-alive connection may be silent", func(c *configs.Config) *time.Duration { return &c.IdleTimeout })
	duration("write-timeout", "how long a response may be stuck at a client that does not read", func(c *configs.Config) *time.Duration { return &c.WriteTimeout })
	duration("boot-timeout", "from starting a worker to its being ready", func(c *configs.Config) *time.Duration { return &c.BootTimeout })
	duration("heartbeat-timeout", "silence after which a worker is killed (not a limit on requests)", func(c *configs.Config) *time.Duration { return &c.HeartbeatTimeout })
	duration("drain-timeout", "how long a leaving worker may take to finish", func(c *configs.Config) *time.Duration { return &c.DrainTimeout })
	duration("drain-idle", "how long a leaving worker waits for a silent connection to speak once more", func(c *configs.Config) *time.Duration { return &c.DrainIdle })
	duration("orphan-grace", "how long workers go on when the master has died", func(c *configs.Config) *time.Duration { return &c.OrphanGrace })
	duration("settle", "how long a new worker must stay ready before the old one drains", func(c *configs.Config) *time.Duration { return &c.Settle })
	duration("probation", "a new worker that dies so soon after ready takes the restart back", func(c *configs.Config) *time.Duration { return &c.Probation })
	text("log-format", d.LogFormat, "text or json", func(c *configs.Config) *string { return &c.LogFormat })
	text("log-file", "", "file for the log and for all that workers print; reopened on HUP (default: standard error)", func(c *configs.Config) *string { return &c.LogFile })
	list = append(list, setting{
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "log warnings and errors only", EnvVars: []string{"CLUSTER_QUIET"}},
		func(c *cli.Context, into *configs.Config) error { into.Quiet = c.Bool("quiet"); return nil },
	})
	return list
}

func envName(flag string) string {
	return "CLUSTER_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func readNumber(text, name string, into *int) error {
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("--%s %s is out of range", name, text)
	}
	if err != nil {
		return fmt.Errorf("--%s %q is no whole number", name, text)
	}
	*into = n
	return nil
}

func readDuration(text, name string, into *time.Duration) error {
	if text == "" {
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("--%s %q is no duration: give a number with a unit, such as 500ms, 10s or 2m", name, text)
	}
	*into = d
	return nil
}

func autoWorkers(c *cli.Context) bool {
	return c.String("workers") == "" || c.String("workers") == "auto"
}

func readBinds(c *cli.Context, into *configs.Config) error {
	binds := slices.DeleteFunc(c.StringSlice("bind"), func(text string) bool { return text == "" })
	if len(binds) == 0 {
		return nil
	}
	into.Binds = nil
	for _, text := range binds {
		b, err := configs.ParseBind(text)
		if err != nil {
			return err
		}
		into.Binds = append(into.Binds, b)
	}
	return nil
}

func start(c *cli.Context) error {
	config := configs.Default()
	var wrong []error
	for _, s := range settings() {
		wrong = append(wrong, s.read(c, &config))
	}
	if err := errors.Join(wrong...); err != nil {
		return badSettings(c, err)
	}
	if autoWorkers(c) {
		config.Workers = max(1, min(config.Workers, config.MaxWorkers))
	}
	config.Program = c.Args().Slice()
	if err := config.Check(); err != nil {
		return badSettings(c, err)
	}
	code, err := master.Run(config, version())
	if code == plan.ExitClean && err == nil {
		return nil
	}
	return &exitError{code, err}
}

// badSettings puts one error a line, and says which of the settings that it names come from the environment: who gave no
// flag would look for it in vain.
func badSettings(c *cli.Context, err error) error {
	text := err.Error()
	for _, s := range settings() {
		name := s.flag.Names()[0]
		if !strings.Contains(err.Error(), "--"+name+" ") {
			continue
		}
		for _, variable := range s.flag.(cli.DocGenerationFlag).GetEnvVars() {
			if value, ok := os.LookupEnv(variable); ok && given(c, name) == value {
				text += fmt.Sprintf("\n--%s comes from the environment: %s=%s", name, variable, value)
				break
			}
		}
	}
	return &exitError{plan.ExitUsage, errors.New(strings.ReplaceAll(text, "\n", "\n         "))}
}

// given is a setting as it was written.
func given(c *cli.Context, name string) string {
	if name == "bind" {
		return strings.Join(c.StringSlice(name), ",")
	}
	return c.String(name)
}
