package main

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/prefork/cluster/bench"
	"github.com/prefork/cluster/bench/peers"
	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/report"
	"github.com/prefork/cluster/bench/suite"
	"github.com/prefork/cluster/bench/target"
	"github.com/prefork/cluster/master/plan"
)

// benchOutput is the directory of a run: opened before anything is measured, so that nothing is measured in vain.
type benchOutput struct {
	dir    string
	run    record.Run
	suites []suite.Suite
	raw    *os.File
	writer *record.Writer
	views  map[string]*os.File
	trials []record.Trial
}

// The views of the raw results, by the names of their files.
const (
	rawFile       = "results.jsonl"
	markdownFile  = "report.md"
	htmlFile      = "report.html"
	benchstatFile = "benchstat.txt"
)

func openBenchOutput(dir string, run record.Run, suites []suite.Suite) (*benchOutput, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("the results cannot be written: %w; give another --out", err)
	}
	o := &benchOutput{dir: dir, run: run, suites: suites, views: map[string]*os.File{}}
	for _, name := range []string{markdownFile, htmlFile, benchstatFile} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			o.close()
			return nil, fmt.Errorf("the results cannot be written: %w; give another --out", err)
		}
		o.views[name] = f
	}
	var err error
	if o.raw, err = os.Create(filepath.Join(dir, rawFile)); err == nil {
		o.writer, err = record.NewWriter(o.raw, run)
	}
	if err != nil {
		o.close()
		return nil, fmt.Errorf("the results cannot be written: %w; give another --out", err)
	}
	return o, nil
}

func (o *benchOutput) close() {
	for _, f := range o.views {
		f.Close()
	}
	if o.raw != nil {
		o.raw.Close()
	}
}

func (o *benchOutput) keep(t record.Trial) error {
	o.trials = append(o.trials, t)
	if err := o.writer.Add(t); err != nil {
		return fmt.Errorf("a result cannot be written: %w", err)
	}
	return nil
}

// report writes the views, and the one for people to out, too.
func (o *benchOutput) report(out io.Writer) error {
	if len(o.trials) == 0 {
		return nil
	}
	if err := report.Markdown(io.MultiWriter(out, o.views[markdownFile]), o.run, o.trials, o.suites); err != nil {
		return err
	}
	if err := report.HTML(o.views[htmlFile], o.run, o.trials, o.suites); err != nil {
		return err
	}
	return report.Benchfmt(o.views[benchstatFile], o.run, o.trials)
}

// verdict says where the results are, and is an error if they are not whole.
func (o *benchOutput) verdict(runErr error) error {
	failed := 0
	for _, t := range o.trials {
		if t.Failed != "" {
			failed++
		}
	}
	fmt.Fprintf(os.Stderr, "cluster bench: %d measurements in %s: %s\n", len(o.trials)-failed, o.dir, strings.Join([]string{rawFile, markdownFile, htmlFile, benchstatFile}, ", "))
	switch {
	case errors.Is(runErr, bench.ErrStopped):
		return &exitError{plan.ExitFailure, errors.New("stopped before the end: the report has what was measured until then")}
	case errors.Is(runErr, target.ErrTaken):
		return &exitError{plan.ExitAddressTaken, runErr}
	case runErr != nil:
		return &exitError{plan.ExitFailure, runErr}
	case failed > 0:
		return &exitError{plan.ExitFailure, fmt.Errorf("%d trials failed: the report says which and why", failed)}
	}
	return nil
}

// progressLine shows what is being measured: on a terminal one line that changes, elsewhere a line for each cell.
type progressLine struct {
	out      *os.File
	terminal bool
	last     string
}

func newProgressLine(out *os.File) *progressLine {
	st, err := out.Stat()
	return &progressLine{out: out, terminal: err == nil && st.Mode()&os.ModeCharDevice != 0}
}

func (l *progressLine) show(p bench.Progress) {
	cell := fmt.Sprintf("%s: round %d of %d, %d of %d: %s", p.Suite, p.Round, p.Rounds, p.Order, p.Cells, p.Cell)
	left := "about " + p.Left.Round(time.Second).String() + " left"
	if l.terminal {
		fmt.Fprintf(l.out, "\r\x1b[K%s, %s; %s", cell, p.Step, left)
	} else if cell != l.last {
		fmt.Fprintf(l.out, "%s; %s\n", cell, left)
	}
	l.last = cell
}

func (l *progressLine) clear() {
	if l.terminal && l.last != "" {
		fmt.Fprint(l.out, "\r\x1b[K")
	}
}

func benchListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "the suites, with the question that each answers, and the peers, with what is missing to measure them",
		Flags: []cli.Flag{&cli.StringFlag{Name: "peers-dir", DefaultText: "none", Usage: "directory with more descriptions"}},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			set, err := peers.Embedded()
			if err == nil && c.String("peers-dir") != "" {
				err = set.Add(c.String("peers-dir"))
			}
			if err != nil {
				return &exitError{plan.ExitConfig, err}
			}
			fmt.Printf("Suites:\n%s\n\nPeers:\n", suiteTable())
			for _, name := range set.Names() {
				peer, err := set.Lookup(name)
				if err != nil {
					return err
				}
				state := "installed"
				if err := peer.Installed(); err != nil {
					state = err.Error()
				}
				fmt.Printf("  %-9s %s; %s\n", name, peer.About, state)
			}
			return nil
		},
	}
}

func benchReportCommand() *cli.Command {
	return &cli.Command{
		Name: "report", Usage: "make the reports of a run anew from its " + rawFile + ", which may be packed with gzip", ArgsUsage: rawFile,
		Flags: []cli.Flag{&cli.StringFlag{Name: "html", DefaultText: "none", Usage: "file for the page with pictures"}},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return &exitError{plan.ExitUsage, fmt.Errorf("%s takes one %s", c.Command.HelpName, rawFile)}
			}
			run, trials, err := readResults(c.Args().First())
			if err != nil {
				return &exitError{plan.ExitFailure, err}
			}
			var names []string
			for _, t := range trials {
				if !slices.Contains(names, t.Suite) {
					names = append(names, t.Suite)
				}
			}
			suites, err := suite.Make(names, run.Options)
			if err == nil {
				err = report.Markdown(os.Stdout, run, trials, suites)
			}
			if err == nil && c.String("html") != "" {
				err = writeTo(c.String("html"), func(w io.Writer) error { return report.HTML(w, run, trials, suites) })
			}
			if err != nil {
				return &exitError{plan.ExitFailure, err}
			}
			return nil
		},
	}
}

func benchCompareCommand() *cli.Command {
	return &cli.Command{
		Name: "compare", Usage: "what has changed between two runs: medians, the change, and ~ where none is shown", ArgsUsage: "OLD/" + rawFile + " NEW/" + rawFile,
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return &exitError{plan.ExitUsage, fmt.Errorf("%s takes two files, OLD/%s and NEW/%s", c.Command.HelpName, rawFile, rawFile)}
			}
			oldRun, before, err := readResults(c.Args().Get(0))
			if err != nil {
				return &exitError{plan.ExitFailure, err}
			}
			newRun, after, err := readResults(c.Args().Get(1))
			if err != nil {
				return &exitError{plan.ExitFailure, err}
			}
			if err := report.Compare(os.Stdout, oldRun, newRun, before, after); err != nil {
				return &exitError{plan.ExitFailure, err}
			}
			return nil
		},
	}
}

func readResults(path string) (record.Run, []record.Trial, error) {
	f, err := os.Open(path)
	if err != nil {
		return record.Run{}, nil, err
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			return record.Run{}, nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	run, trials, err := record.Read(in)
	if errors.Is(err, record.ErrCut) {
		fmt.Fprintf(os.Stderr, "cluster bench: %s: %v\n", path, err)
		err = nil
	}
	if err != nil {
		return run, trials, fmt.Errorf("%s: %w", path, err)
	}
	return run, trials, nil
}

func writeTo(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
