package reference

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/valyala/fasthttp/prefork"

	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/worker/demo"
	"github.com/prefork/cluster/worker/demo/fastdemo"
)

// BareVerb serves the reference application on the bare engine, without anything of this module around it: what clusters
// are compared with. It is in no help text: nobody but a benchmark needs it.
const BareVerb = "bare"

const BareUsage = "cluster bare [--engine nethttp|fasthttp] [--prefork [--processes N]] [--addr HOST:PORT]"

// bare is what was asked for.
type bare struct {
	engine    string
	addr      string
	prefork   bool // fasthttp's own: a master, and children that take from its one listener with GOMAXPROCS 1 each
	processes int  // of prefork; 0: GOMAXPROCS
}

// RunBare returns an exit code. The process ends at once on TERM or INT, with 0; what is being served then is cut off.
func RunBare(args []string) int {
	b, err := parseBare(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Println(BareUsage)
		return plan.ExitClean
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "cluster bare: %v (%s)\n", err, BareUsage)
		return plan.ExitUsage
	}
	if err := profiled(b.run); err != nil {
		fmt.Fprintln(os.Stderr, "cluster bare:", err)
		if errors.Is(err, syscall.EADDRINUSE) {
			return plan.ExitAddressTaken
		}
		return plan.ExitFailure
	}
	return plan.ExitClean
}

// flagText puts what package flag says into the spelling of the usage.
var flagText = strings.NewReplacer(
	"flag provided but not defined: -", "unknown flag --", "flag needs an argument: -", "no value for --", "for flag -", "for --", ": parse error", "",
)

func parseBare(args []string) (b bare, err error) {
	flags := flag.NewFlagSet("bare", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&b.engine, "engine", "nethttp", "")
	flags.StringVar(&b.addr, "addr", "127.0.0.1:9292", "")
	flags.BoolVar(&b.prefork, "prefork", false, "")
	flags.IntVar(&b.processes, "processes", 0, "")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return b, err
	} else if err != nil {
		return b, errors.New(flagText.Replace(err.Error()))
	}
	given := false
	flags.Visit(func(f *flag.Flag) { given = given || f.Name == "processes" })
	switch {
	case flags.NArg() > 0:
		return b, fmt.Errorf("it takes no argument %q", flags.Arg(0))
	case b.engine != "nethttp" && b.engine != "fasthttp":
		return b, fmt.Errorf("unknown --engine %q: use nethttp or fasthttp", b.engine)
	case b.prefork && b.engine != "fasthttp":
		return b, errors.New("--prefork is fasthttp's: add --engine fasthttp")
	case given && !b.prefork:
		return b, errors.New("--processes is for --prefork: without it there is one process")
	case given && b.processes < 1:
		return b, fmt.Errorf("--processes %d: give 1 or more", b.processes)
	}
	return b, nil
}

// run serves until a signal ends it.
func (b bare) run() error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	serve, end, err := b.ways()
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- serve() }()
	select {
	case <-ended:
		end(failed)
		return nil
	case err := <-failed:
		select {
		case <-ended: // children had the signal, too, and were faster
			return nil
		default:
			return err
		}
	}
}

// ways is how to serve, and how to end what serves; end is given what serve returns.
func (b bare) ways() (serve func() error, end func(failed <-chan error), err error) {
	end = func(<-chan error) {} // with the process
	if b.engine == "nethttp" {
		handler, err := demo.Handler()
		if err != nil {
			return nil, nil, err
		}
		return func() error { return b.listen("tcp", (&http.Server{Handler: handler}).Serve) }, end, nil
	}
	server, err := fastdemo.Server()
	if err != nil {
		return nil, nil, err
	}
	if !b.prefork {
		return func() error { return b.listen("tcp4", server.Serve) }, end, nil // as its ListenAndServe
	}
	if b.processes > 0 {
		runtime.GOMAXPROCS(b.processes) // of the master: so many children does it have
	}
	p := prefork.New(server)
	p.ServeFunc = func(l net.Listener) error { return b.announced(l, server.Serve) }
	p.OnMasterDeath = func() { os.Exit(plan.ExitFailure) }
	if !prefork.IsChild() {
		end = endable(p)
	}
	return func() error { return p.ListenAndServe(b.addr) }, end, nil
}

func (b bare) listen(network string, serve func(net.Listener) error) error {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // as the master's: only what is around the engine is to differ
	l, err := config.Listen(context.Background(), network, b.addr)
	if err != nil {
		return err
	}
	return b.announced(l, serve)
}

func (b bare) announced(l net.Listener, serve func(net.Listener) error) error {
	fmt.Printf("bare %s: process %d listens on %s\n", b.engine, os.Getpid(), l.Addr())
	return serve(l)
}

var errEnding = errors.New("a signal has ended it")

// endable gives fasthttp's master an end, which it does not have: its children end, and it starts no others for them.
func endable(p *prefork.Prefork) (end func(failed <-chan error)) {
	var mu sync.Mutex
	children := map[int]bool{} // pids
	ending := false
	logger := log.New(os.Stderr, "", log.LstdFlags)
	p.Logger = logger
	p.OnChildSpawn = func(pid int) error {
		mu.Lock()
		defer mu.Unlock()
		if ending {
			return errEnding // it ends all, this one too, and waits for them
		}
		children[pid] = true
		return nil
	}
	p.OnChildRecover = func(lost, _ int) {
		mu.Lock()
		defer mu.Unlock()
		delete(children, lost)
	}
	return func(failed <-chan error) {
		logger.SetOutput(io.Discard) // it would report each child as lost
		mu.Lock()
		ending = true
		for pid := range children {
			_ = syscall.Kill(pid, syscall.SIGTERM) // one that has just crashed is no more
		}
		mu.Unlock()
		<-failed
	}
}
