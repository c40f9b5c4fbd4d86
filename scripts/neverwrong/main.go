// Command neverwrong looks for a wrong answer for as long as it is told to: clients that compare every byte (internal/verify)
// against a cluster that is restarted and scaled, and then also killed and stopped, on both engines by turns.
//
//	go run ./scripts/neverwrong --requests 5000000 --seed 7
//
// It must run in the folder of the module, whose command cluster it builds. It prints what it finds, and exits with 1 if a
// request was lost that no event explains, an answer was wrong, or a worker died by itself. The seed repeats what the clients
// and the events do, not when.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prefork/cluster/internal/verify"
	"github.com/prefork/cluster/internal/verify/echo"
	"github.com/prefork/cluster/internal/verify/trial"
)

// verb makes this program a worker of the cluster that it starts; the engine follows.
const verb = "serve-as-worker"

// engines are how the application is served.
var engines = map[string]func() error{"nethttp": echo.ServeNetHTTP, "fasthttp": echo.ServeFastHTTP}

// plan is what was asked for.
type plan struct {
	requests    int64
	seed        uint64
	engines     []string
	dispatch    string
	connections int
	round       int64
	race        bool
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == verb {
		if err := engines[os.Args[2]](); err != nil {
			log.Fatal(err)
		}
		return
	}
	log.SetFlags(0)
	var p plan
	var only string
	flag.Int64Var(&p.requests, "requests", 1_000_000, "requests in all")
	flag.Uint64Var(&p.seed, "seed", uint64(time.Now().UnixNano()), "of what clients and events do; the first round's, the next ones count up")
	flag.StringVar(&only, "engines", "nethttp,fasthttp", "engines, by turns")
	flag.StringVar(&p.dispatch, "dispatch", "handoff", "of the cluster; only with handoff it is a fault that a restart closes a connection")
	flag.IntVar(&p.connections, "connections", 64, "clients, each with one connection that it keeps")
	flag.Int64Var(&p.round, "round", 250_000, "requests after which a new cluster is started, on the next engine")
	flag.BoolVar(&p.race, "race", false, "build the command and the application with the race detector")
	flag.Parse()
	p.engines = strings.Split(only, ",")
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := p.run(ctx); err != nil {
		cancel()
		log.Fatal(err)
	}
}

func (p *plan) run(ctx context.Context) error {
	for _, engine := range p.engines {
		if engines[engine] == nil {
			return fmt.Errorf("unknown engine %q: give nethttp, fasthttp or both", engine)
		}
	}
	if p.requests < 1 || p.round < 1 {
		return errors.New("give --requests and --round of 1 or more")
	}
	l, err := newLab(p.race)
	if err != nil {
		return err
	}
	defer l.close()
	fmt.Printf("seed %d, dispatch %s, %d requests\n", p.seed, p.dispatch, p.requests)
	var all verify.Report
	began := time.Now()
	for round := 0; all.Requests < p.requests; round++ {
		// The first two rounds are restarts and scaling, the next two are deadly, and so on: each engine has both.
		engine, deadly := p.engines[round%len(p.engines)], round/len(p.engines)%2 == 1
		o, err := p.trial(ctx, l, engine, deadly, p.seed+uint64(round), min(p.round, p.requests-all.Requests), all.Requests)
		all.Merge(&o.Report)
		fmt.Printf("\nround %d, seed %d, %s, deadly %v: %v\n", round+1, p.seed+uint64(round), engine, deadly, &o)
		if n := len(o.Faults()); n > 0 {
			err = errors.Join(err, fmt.Errorf("%d faults in round %d, seed %d", n, round+1, p.seed+uint64(round)))
		}
		if err != nil {
			return err
		}
	}
	all.Faults = nil // told by round
	fmt.Printf("\nnothing wrong in %v: %v\n", time.Since(began).Round(time.Second), &all)
	return nil
}

// trial is one round on a cluster of its own.
func (p *plan) trial(ctx context.Context, l *lab, engine string, deadly bool, seed uint64, requests, before int64) (o trial.Outcome, err error) {
	r, err := l.start(p.dispatch, engine)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	var ended atomic.Int64
	over := make(chan struct{})
	defer close(over)
	go func() {
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Printf("%s %d requests\n", time.Now().Format("15:04:05"), before+ended.Load())
			case <-over:
				return
			}
		}
	}()
	return trial.Trial{
		Clients:  verify.Clients{Addr: r.addr, Seed: seed, Connections: p.connections, Requests: requests, HTTP2: engine == "nethttp", Progress: &ended},
		Status:   r.status,
		Command:  r.command,
		Dispatch: p.dispatch, Deadly: deadly, Least: 2, Most: 6,
	}.Run(ctx)
}
