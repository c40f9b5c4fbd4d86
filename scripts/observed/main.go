// Command observed measures what it costs workers to be looked at: ten readers of the live stream, as ten open pages are, and
// one `cluster status` a second, as `cluster top` asks, against nobody, in interleaved rounds with nobody measured twice.
//
//	go run ./scripts/observed -rounds 10
//
// System calls are counted by strace(1) and context switches in /proc, each a request of the workers, in runs of their own. Before
// that it counts the messages that workers receive while all look and no request comes: there are to be none.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/proc"
	"github.com/prefork/cluster/bench/stats"
	"github.com/prefork/cluster/scripts/internal/servers"
)

const pages = 10

func main() {
	servers.Serve()
	log.SetFlags(0)
	rounds := flag.Int("rounds", 10, "rounds, each with every cell")
	length := flag.Duration("length", 3*time.Second, "of the load in each cell")
	rate := flag.Float64("rate", 400, "requests a second")
	flag.Parse()
	lab, err := servers.NewLab()
	if err != nil {
		log.Fatal(err)
	}
	err = measure(lab, *rounds, load.Plan{Path: "/io?ms=5", Connections: 16, Duration: *length, Rate: *rate})
	lab.Close()
	if err != nil {
		log.Fatal(err)
	}
}

func measure(lab *servers.Lab, rounds int, plan load.Plan) (err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	o := observers{lab: lab, metrics: l.Addr().String()}
	l.Close()
	server, err := lab.Cluster(lab.TCP(), 2, 1, nil, "--metrics", o.metrics)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()

	stop, err := o.look()
	if err != nil {
		return err
	}
	messages, err := traced(lab, server.Serving, "recvmsg", func() error { time.Sleep(10 * time.Second); return nil })
	if err = errors.Join(err, stop()); err != nil {
		return err
	}
	fmt.Printf("%d pages and a top, 10 s, no request: the workers received %d messages\n\n", pages, messages)

	var calls, switches []stats.Pair
	for i := range rounds {
		plan.Seed = uint64(i + 1)
		got := map[string][2]float64{}
		cells := []string{"nobody", "nobody again", "observed"}
		for _, at := range rand.Perm(len(cells)) {
			stop := func() error { return nil }
			if cells[at] == "observed" {
				if stop, err = o.look(); err != nil {
					return err
				}
			}
			c, s, err := cell(lab, server, plan)
			if err = errors.Join(err, stop()); err != nil {
				return err
			}
			got[cells[at]] = [2]float64{c, s}
		}
		pair := func(k int) stats.Pair {
			return stats.Pair{Cell: got["observed"][k], Base: got["nobody"][k], Again: got["nobody again"][k]}
		}
		calls, switches = append(calls, pair(0)), append(switches, pair(1))
		fmt.Printf("round %2d: system calls a request %.3f, %.3f, observed %.3f; context switches %.3f, %.3f, observed %.3f\n",
			i+1, pair(0).Base, pair(0).Again, pair(0).Cell, pair(1).Base, pair(1).Again, pair(1).Cell)
	}
	fmt.Println()
	for _, what := range []struct {
		name  string
		pairs []stats.Pair
	}{{"system calls", calls}, {"context switches", switches}} {
		c := stats.Ratio(what.pairs, true)
		fmt.Printf("%s a request: observed ÷ nobody %.4f (%.4f to %.4f), nobody ÷ nobody %.4f (%.4f to %.4f)\n",
			what.name, c.Ratio.Median, c.Ratio.Lo, c.Ratio.Hi, c.Noise.Median, c.Noise.Lo, c.Noise.Hi)
	}
	return server.Unchanged()
}

// cell runs the load twice: under strace, and without it for the context switches. Both are figures a request of all workers.
func cell(lab *servers.Lab, server *servers.Running, plan load.Plan) (calls, switches float64, err error) {
	var answered int64
	run := func() error {
		r, err := load.Run(context.Background(), lab.Address, plan)
		if answered = r.Answered; err == nil && (answered == 0 || r.First != "") {
			err = fmt.Errorf("%d answers, %s", answered, r.First)
		}
		return err
	}
	n, err := traced(lab, server.Serving, "all", run)
	if err != nil {
		return 0, 0, err
	}
	calls = float64(n) / float64(answered)
	before, err := proc.Measure(server.Serving...)
	if err != nil {
		return 0, 0, err
	}
	if err := run(); err != nil {
		return 0, 0, err
	}
	after, err := proc.Measure(server.Serving...)
	return calls, float64(after.Voluntary+after.Involuntary-before.Voluntary-before.Involuntary) / float64(answered), err
}

// traced counts system calls of processes while f runs.
func traced(lab *servers.Lab, pids []int, which string, f func() error) (n int64, err error) {
	summary := filepath.Join(lab.Dir, "strace")
	args := []string{"-f", "-c", "-o", summary, "-e", "trace=" + which}
	for _, pid := range pids {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	cmd := exec.Command("strace", args...)
	said, err := cmd.StderrPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("%w (on Debian: apt-get install strace)", err)
	}
	lines := bufio.NewScanner(said)
	for range pids { // "strace: Process 7 attached with 6 threads"
		if !lines.Scan() {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, said) }()
	failed := f()
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait() // it ends by the signal
	if failed != nil {
		return 0, failed
	}
	text, err := os.ReadFile(summary)
	if err != nil {
		return 0, err
	}
	return total(text)
}

// total is the number of calls in strace's summary: the fourth word of the line that ends in "total". Without a call there is no table.
func total(summary []byte) (int64, error) {
	if len(bytes.TrimSpace(summary)) == 0 {
		return 0, nil
	}
	for line := range strings.Lines(string(summary)) {
		if f := strings.Fields(line); len(f) >= 4 && f[len(f)-1] == "total" {
			return strconv.ParseInt(f[3], 10, 64)
		}
	}
	return 0, fmt.Errorf("strace's summary has no total:\n%s", summary)
}

// observers are those who look.
type observers struct {
	lab     *servers.Lab
	metrics string
}

// look begins to look, and returns what ends it.
func (o *observers) look() (stop func() error, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	seen := make(chan error, pages+1)
	for range pages {
		go func() { seen <- o.page(ctx) }()
	}
	go func() { seen <- o.top(ctx) }()
	return func() error {
		cancel()
		var failed error
		for range pages + 1 {
			failed = errors.Join(failed, <-seen)
		}
		return failed
	}, nil
}

// page reads the live stream. One that shows nothing is an error.
func (o *observers) page(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.metrics+"/v1/stream", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if ctx.Err() == nil || res.StatusCode != http.StatusOK || n == 0 {
		return fmt.Errorf("the stream ended: %s, %d bytes, %w", res.Status, n, err)
	}
	return nil
}

func (o *observers) top(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if _, err := o.lab.Status(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
