package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/prefork/cluster/bench"
	loadgen "github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/peers"
	"github.com/prefork/cluster/bench/suite"
	"github.com/prefork/cluster/bench/target"
	"github.com/prefork/cluster/master/plan"
)

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:      "bench",
		Usage:     "measure topologies of the cluster and other servers side by side, on this machine",
		ArgsUsage: "[suite…] [-- program [args…]]",
		Description: "Each suite answers a question; without a name it is headline:\n" + suiteTable() +
			"\n\nThe report goes to standard output, and with the raw results into a directory. A program, which must use the worker\n" +
			"library, is measured instead of the reference application: cluster bench --path / -- ./app",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "quick", Usage: "fewer cells and shorter loads: variance in 50 s, each other suite in 3 minutes"},
			&cli.IntFlag{Name: "workers", Aliases: []string{"w"}, Value: 8, Usage: "workers of the topology that most suites are about"},
			&cli.IntFlag{Name: "threads", Aliases: []string{"t"}, Value: 3, Usage: "threads a worker of it"},
			&cli.IntFlag{Name: "connections", Aliases: []string{"c"}, Value: 64, Usage: "connections open at a time"},
			&cli.DurationFlag{Name: "duration", Value: 3 * time.Second, Usage: "length of each load"},
			&cli.DurationFlag{Name: "warmup", DefaultText: "a third of the duration, at most 1s", Usage: "length of the same load before it"},
			&cli.IntFlag{Name: "rounds", DefaultText: "6; restart: 3", Usage: "how often each cell is started; fewer than 6 show no interval"},
			&cli.StringFlag{Name: "load", Value: string(loadgen.Builtin), Usage: "what makes closed loops: builtin, wrk or ab"},
			&cli.StringSliceFlag{Name: "peers", Usage: "other servers to measure beside, or all; cluster bench list names them"},
			&cli.StringFlag{Name: "peers-dir", DefaultText: "none", Usage: "directory with descriptions of more of them"},
			&cli.StringSliceFlag{Name: "path", DefaultText: "/", Usage: "what a program is asked for; may be repeated"},
			&cli.StringFlag{Name: "alt-binary", DefaultText: "none", Usage: "second build of this command, for the suite runtime"},
			&cli.StringFlag{Name: "addr", DefaultText: "a free port of 127.0.0.1", Usage: "HOST:PORT that all targets listen on"},
			&cli.Uint64Flag{Name: "seed", DefaultText: "drawn, and recorded", Usage: "of the order in which cells are measured"},
			&cli.StringFlag{Name: "out", Aliases: []string{"o"}, DefaultText: "./cluster-bench-TIME", Usage: "directory for results.jsonl, report.md, report.html and benchstat.txt"},
		},
		Subcommands: []*cli.Command{benchListCommand(), benchReportCommand(), benchCompareCommand()},
		Action:      runBench,
	}
}

func suiteTable() string {
	var b strings.Builder
	for _, s := range suite.All(suite.Options{}) {
		fmt.Fprintf(&b, "  %-9s %s\n", s.Name, s.Question)
	}
	return strings.TrimRight(b.String(), "\n")
}

// benchPlan is what a command line asks to be measured.
type benchPlan struct {
	options suite.Options
	suites  []suite.Suite
	peers   *peers.Set
	seed    uint64
	notes   []string
}

func runBench(c *cli.Context) error {
	p, err := planBench(c)
	if err != nil {
		return &exitError{plan.ExitUsage, err}
	}
	self, err := os.Executable()
	if err != nil {
		return &exitError{plan.ExitFailure, err}
	}
	dir := c.String("out")
	if dir == "" {
		dir = "cluster-bench-" + time.Now().Format("20060102-150405")
	}
	run := bench.Describe(version(), os.Args, p.seed, p.options)
	run.Notes = p.notes
	out, err := openBenchOutput(dir, run, p.suites)
	if err != nil {
		return &exitError{plan.ExitFailure, err}
	}
	defer out.close()
	work, err := os.MkdirTemp("", "cluster-bench")
	if err != nil {
		return &exitError{plan.ExitFailure, err}
	}
	defer os.RemoveAll(work)

	ctx, release := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer release()
	context.AfterFunc(ctx, release) // a second one ends the command at once
	launcher := &target.Launcher{Self: self, Dir: work, Addr: c.String("addr"), Peers: p.peerCommand}
	line := newProgressLine(os.Stderr)
	session := bench.Session{
		Suites: p.suites, Seed: p.seed, Load: loadgen.RunObserved, Serves: p.serves, Keep: out.keep, Progress: line.show,
		Start: func(ctx context.Context, s target.Spec) (bench.Target, error) {
			t, err := launcher.Start(ctx, s)
			if err != nil {
				return nil, err
			}
			return t, nil
		},
	}
	runErr := session.Run(ctx)
	line.clear()
	if err := out.report(os.Stdout); err != nil {
		return &exitError{plan.ExitFailure, errors.Join(runErr, err)}
	}
	return out.verdict(runErr)
}

func planBench(c *cli.Context) (*benchPlan, error) {
	names, program := benchArguments(c.Args().Slice())
	if len(names) == 0 {
		names = []string{"headline"}
	}
	p := &benchPlan{seed: c.Uint64("seed")}
	if !c.IsSet("seed") {
		p.seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	for _, flag := range []string{"workers", "threads", "connections", "rounds"} {
		if c.IsSet(flag) && c.Int(flag) < 1 {
			return nil, fmt.Errorf("--%s %d: give at least 1", flag, c.Int(flag))
		}
	}
	for _, flag := range []string{"duration", "warmup"} {
		if c.IsSet(flag) && c.Duration(flag) < 50*time.Millisecond {
			return nil, fmt.Errorf("--%s %v: give at least 50ms", flag, c.Duration(flag))
		}
	}
	tool := loadgen.Tool(c.String("load"))
	if !slices.Contains([]loadgen.Tool{loadgen.Builtin, loadgen.Wrk, loadgen.AB}, tool) {
		return nil, fmt.Errorf("--load %s: the tools are builtin, wrk and ab", tool)
	}
	if len(program) == 0 && c.IsSet("path") {
		return nil, errors.New("--path is for a program of your own: cluster bench --path / -- ./app")
	}
	if alt := c.String("alt-binary"); alt != "" {
		if _, err := os.Stat(alt); err != nil {
			return nil, fmt.Errorf("--alt-binary: %w", err)
		}
	}
	if err := p.findPeers(c.StringSlice("peers"), c.String("peers-dir")); err != nil {
		return nil, err
	}
	p.options = suite.Options{
		Workers: c.Int("workers"), Threads: c.Int("threads"), Connections: c.Int("connections"), Duration: c.Duration("duration"),
		Warmup: c.Duration("warmup"), Rounds: c.Int("rounds"), Quick: c.Bool("quick"), Tool: tool, Peers: p.options.Peers,
		AltBinary: absolute(c.String("alt-binary")), Program: program, Paths: c.StringSlice("path"),
	}
	var err error
	p.suites, err = suite.Make(names, p.options)
	return p, err
}

// flagsFirst puts the flags of bench before the names of suites, where the parser of flags wants them, and -- before the
// names: what follows a second -- is a program.
func flagsFirst(args []string) []string {
	if len(args) < 2 || args[1] != "bench" {
		return args
	}
	command, rest := benchCommand(), args[2:]
	if len(rest) > 0 {
		for _, sub := range command.Subcommands {
			if sub.Name == rest[0] {
				command, rest = sub, rest[1:]
				break
			}
		}
	}
	sorted, names := slices.Clone(args[:len(args)-len(rest)]), []string{"--"}
	for i := 0; i < len(rest); i++ {
		arg := rest[i]
		if arg == "--" {
			names = append(names, rest[i:]...)
			break
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			names = append(names, arg)
			continue
		}
		sorted = append(sorted, arg)
		if takesValue(command, arg) && i+1 < len(rest) {
			i++
			sorted = append(sorted, rest[i])
		}
	}
	return append(sorted, names...)
}

// takesValue says whether the value of a flag is the next argument.
func takesValue(command *cli.Command, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	for _, f := range command.Flags {
		if _, isSwitch := f.(*cli.BoolFlag); !isSwitch && slices.Contains(f.Names(), name) {
			return true
		}
	}
	return false
}

// benchArguments parts the names of suites from the program behind --.
func benchArguments(args []string) (names, program []string) {
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i], args[i+1:]
	}
	return args, nil
}

func absolute(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// findPeers takes those that are installed. The others are reported, with how to install them.
func (p *benchPlan) findPeers(names []string, dir string) error {
	var err error
	if p.peers, err = peers.Embedded(); err != nil {
		return err
	}
	if dir != "" {
		if err := p.peers.Add(dir); err != nil {
			return err
		}
	}
	if slices.Contains(names, "all") {
		names = p.peers.Names()
	}
	for _, name := range names {
		peer, err := p.peers.Lookup(name)
		if err != nil {
			return err
		}
		if err := peer.Installed(); err != nil {
			p.notes = append(p.notes, fmt.Sprintf("%s is not measured: %v", name, err))
			fmt.Fprintln(os.Stderr, "cluster bench:", p.notes[len(p.notes)-1])
			continue
		}
		p.notes = append(p.notes, fmt.Sprintf("%s: %s", name, peer.Version(context.Background())))
		p.options.Peers = append(p.options.Peers, name)
	}
	return nil
}

func (p *benchPlan) peerCommand(name string, given target.Params) (target.Command, error) {
	peer, err := p.peers.Lookup(name)
	if err != nil {
		return target.Command{}, err
	}
	c, err := peer.Command(peers.Params(given))
	return target.Command(c), err
}

func (p *benchPlan) serves(name, path string) bool {
	peer, err := p.peers.Lookup(name)
	return err == nil && peer.Serves(path)
}
