package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"
)

// tool is another program that makes the load.
type tool interface {
	program() (name, debian string)
	// refuse is what the tool cannot do of a plan.
	refuse(p Plan) string
	// arguments of a run of this length; a length of 0 stands for p.Requests. The tool may put files into dir.
	arguments(p Plan, length time.Duration, dir, url string) ([]string, error)
	// parse reads what it printed, and what it left in dir. It leaves out CPU.
	parse(p Plan, output, dir string) (Result, error)
	// gaveUp is why it ended without a report, if it did because of the server.
	gaveUp(output string) (o outcome, why string)
}

func runTool(ctx context.Context, addr string, p Plan, m marks, t tool) (Result, error) {
	name, debian := t.program()
	if why := t.refuse(p); why != "" {
		return Result{}, fmt.Errorf("impossible load: %s %s: take the tool %s", name, why, Builtin)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return Result{}, fmt.Errorf("%s is not installed: install the Debian package %s: %w", name, debian, err)
	}
	dir, err := os.MkdirTemp("", "load-")
	if err != nil {
		return Result{}, fmt.Errorf("%s needs a directory for its files: %w", name, err)
	}
	defer os.RemoveAll(dir)
	c := child{ctx: ctx, path: path, dir: dir, url: "http://" + addr + p.Path, plan: p, tool: t}
	if p.Warmup > 0 {
		if _, err := c.run(p.Warmup); err != nil {
			return Result{}, err
		}
	}
	m.begin()
	defer m.end()
	return c.run(p.Duration)
}

// child is a tool with all that it needs to run.
type child struct {
	ctx            context.Context
	path, dir, url string
	plan           Plan
	tool           tool
}

func (c child) run(length time.Duration) (Result, error) {
	name, _ := c.tool.program()
	arguments, err := c.tool.arguments(c.plan, length, c.dir, c.url)
	if err != nil {
		return Result{}, fmt.Errorf("cannot prepare %s: %w", name, err)
	}
	command := exec.CommandContext(c.ctx, c.path, arguments...)
	command.Env = append(os.Environ(), "LC_ALL=C")
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	began := time.Now()
	err = command.Run()
	elapsed := time.Since(began)
	if c.ctx.Err() != nil {
		return Result{}, fmt.Errorf("%s was stopped before its end, and tells nothing then: %w", name, context.Cause(c.ctx))
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return Result{}, fmt.Errorf("cannot run %s: %w", name, err)
	}
	var r Result
	if o, why := c.tool.gaveUp(output.String()); why != "" {
		r = Result{Elapsed: elapsed, Outcomes: map[string]int64{o.String(): 1}, First: why, Note: name + " gave up, and tells nothing of what it had done"}
	} else if r, err = c.tool.parse(c.plan, output.String(), c.dir); err != nil {
		return Result{}, fmt.Errorf("cannot read what %s printed: %w\n%s", strings.Join(command.Args, " "), err, output.Bytes())
	}
	r.CPU = command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	r.Bottleneck = r.Elapsed > 0 && float64(r.CPU) > busy*float64(r.Elapsed)
	return r, nil
}

// busy is the share of its one CPU above which a generator is a bottleneck.
const busy = 0.9

// oddSeconds is what tools that count in seconds refuse.
func oddSeconds(p Plan) string {
	if p.Duration%time.Second != 0 || p.Warmup%time.Second != 0 {
		return fmt.Sprintf("knows only whole seconds, not a duration of %s after a warm-up of %s", p.Duration, p.Warmup)
	}
	return ""
}

// withoutZeros leaves out what did not happen.
func withoutZeros(counts map[string]int64) map[string]int64 {
	for name, n := range counts {
		if n == 0 {
			delete(counts, name)
		}
	}
	return counts
}

// pattern is compiled when it is used first: workers are processes of the same binary, and have no use for it.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}
