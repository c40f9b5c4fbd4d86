package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/internal/verify"
	"github.com/prefork/cluster/internal/verify/echo"
	"github.com/prefork/cluster/internal/verify/trial"
)

// go test ./cmd/cluster -run 'TestNeverWrong|TestRestartsCloseNothing' -args -dispatch handoff -seed 7
var (
	dispatchFlag = flag.String("dispatch", "handoff", "how connections reach the workers of TestNeverWrong and TestRestartsCloseNothing; with handoff no restart may close one")
	seedFlag     = flag.Uint64("seed", 0, "seed of TestNeverWrong, to repeat a run; 0: another each time")
)

func init() {
	programs["echo nethttp"] = func() { echoUntilDrained(echo.ServeNetHTTP) }
	programs["echo fasthttp"] = func() { echoUntilDrained(echo.ServeFastHTTP) }
}

func echoUntilDrained(serve func() error) {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Every answer is right, byte for byte, whatever clients do and whatever happens to the workers. Restarts and scaling lose
// nothing; kills lose the connections that the killed workers had and not one more.
func TestNeverWrong(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for _, engine := range []string{"nethttp", "fasthttp"} {
		for _, deadly := range []bool{false, true} {
			name := engine + ", restarts"
			if deadly {
				name = engine + ", kills"
			}
			t.Run(name, func(t *testing.T) { neverWrong(t, engine, deadly, seed) })
		}
	}
}

func neverWrong(t *testing.T, engine string, deadly bool, seed uint64) {
	c := startCluster(t, "--dispatch", *dispatchFlag, "--workers", "4", "--threads", "2", "--settle", "100ms", "--surge", "8",
		"--drain-idle", "25s", "--quiet", // no client is silent for so long, even if the machine is slow
		"--", testBinary(t), "echo "+engine)
	o, err := trial.Trial{
		Clients:  verify.Clients{Addr: c.Addr, Seed: seed, Connections: 64, Requests: 50_000, HTTP2: engine == "nethttp"},
		Status:   c.status,
		Command:  c.asOperator,
		Dispatch: *dispatchFlag, Deadly: deadly, Least: 2, Most: 6,
	}.Run(t.Context())
	t.Logf("seed %d; %v", seed, &o)
	if err != nil {
		t.Error(err)
	}
	for _, fault := range o.Faults() {
		t.Error(fault)
	}
	for kind, splits := range o.Report.Splits {
		if splits.Seen < splits.Places {
			t.Errorf("a %s was split at %d places of %d", kind, splits.Seen, splits.Places)
		}
	}
	if t.Failed() {
		t.Log("to repeat: -args -seed " + strconv.FormatUint(seed, 10))
	}
}

// asOperator is Command for a trial.
func (c *testCluster) asOperator(args ...string) error {
	if _, errs, code := c.Command(args...); code != 0 {
		return fmt.Errorf("cluster %s: exit code %d: %s", strings.Join(args, " "), code, strings.TrimSpace(errs))
	}
	return nil
}
