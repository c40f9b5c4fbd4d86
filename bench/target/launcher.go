package target

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Launcher starts targets, one after another or side by side.
type Launcher struct {
	Self string // path of the command cluster; Spec.Binary wins
	Dir  string // each target gets a folder in it, until it is stopped; empty: that for temporary files
	Addr string // HOST:PORT that all targets listen on; empty: a free port of 127.0.0.1 for each

	// Peers makes the command of the peer with a name, and the files that it needs in Params.Dir. Nil: there are no peers.
	Peers func(name string, p Params) (Command, error)

	BootTimeout time.Duration // from the start to being ready; 0: 60 s
	StopTimeout time.Duration // from being told to stop to the end, before it is killed; 0: 30 s
	// Grace is how long the other processes of a target may outlive the first of them. Those left then are killed, and Stop says so.
	Grace time.Duration // 0: 5 s
}

// Params are what a peer is told about its place.
type Params struct {
	Host    string
	Port    int
	Addr    string // HOST:PORT
	Workers int
	Threads int
	Dir     string // absolute; for files, removed when the peer has stopped
}

// Command is how a peer is started.
type Command struct {
	Argv         []string
	Env          []string       // NAME=VALUE, in addition
	Dir          string         // working folder; empty: that of this process
	Ready        string         // path that is answered 2xx once it is ready
	Stop         syscall.Signal // 0: SIGTERM
	MasterServes bool           // the root process serves requests itself, whether or not it has children
}

// socketRoom is how long the path of a socket may be (sun_path of unix(7), less the zero byte).
const socketRoom = 107

// Start starts a target and returns when it is ready. The error of one that dies or does not become ready has its last
// words; nothing is left of it then. The context ends the waiting, not a target that is ready.
func (l *Launcher) Start(ctx context.Context, s Spec) (*Running, error) {
	addr, err := l.address()
	if err != nil {
		return nil, err
	}
	parent, err := filepath.Abs(cmp.Or(l.Dir, os.TempDir()))
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, "target")
	if err != nil {
		return nil, fmt.Errorf("no folder for the target: %w", err)
	}
	r := &Running{
		launcher: l, spec: s, addr: addr, dir: dir, control: filepath.Join(dir, "control"), mark: fmt.Sprintf("%s=%x", markVariable, rand.Uint64()),
		ended: make(chan struct{}), seen: history{},
	}
	if r.command, err = l.command(r); err == nil {
		err = r.spawn()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := r.boot(ctx); err != nil {
		return nil, errors.Join(err, r.end(context.WithoutCancel(ctx), cmp.Or(l.Grace, defaultGrace)))
	}
	return r, nil
}

// address is where the next target listens; nobody else does.
func (l *Launcher) address() (string, error) {
	if l.Addr == "" {
		port, err := pick()
		return address(loopback, port), err
	}
	if host, port, err := net.SplitHostPort(l.Addr); err != nil || host == "" || port == "0" {
		return "", fmt.Errorf("address %q: give HOST:PORT, or none for a free port of %s", l.Addr, loopback)
	}
	return l.Addr, free(l.Addr)
}

func (l *Launcher) command(r *Running) (Command, error) {
	switch s := r.spec; s.Kind {
	case Cluster:
		if len(r.control) > socketRoom {
			return Command{}, fmt.Errorf("%s is too long for the path of a socket, of which %d bytes count: give another folder", r.control, socketRoom)
		}
		return Command{Argv: append([]string{r.binary()}, clusterArgs(s, r.addr, r.control)...)}, nil
	case Bare:
		if len(s.Program) > 0 { // which the library lets serve alone
			_, port, _ := net.SplitHostPort(r.addr)
			return Command{Argv: s.Program, Env: []string{"PORT=" + port}, Ready: s.Ready}, nil
		}
		args, err := bareArgs(s, r.addr)
		return Command{Argv: append([]string{r.binary()}, args...), Ready: "/plaintext"}, err
	case Peer:
		if l.Peers == nil {
			return Command{}, fmt.Errorf("peer %q: no peers are known here", s.Peer)
		}
		host, text, _ := net.SplitHostPort(r.addr)
		port, err := strconv.Atoi(text)
		if err != nil {
			return Command{}, fmt.Errorf("address %s: a peer needs the number of the port", r.addr)
		}
		return l.Peers(s.Peer, Params{Host: host, Port: port, Addr: r.addr, Workers: s.Workers, Threads: s.Threads, Dir: r.dir})
	}
	return Command{}, fmt.Errorf("unknown kind of target %q: there are %s, %s and %s", r.spec.Kind, Cluster, Bare, Peer)
}

// clusterArgs are those of the command for a cluster. The file is empty, so that the Spec alone says what is measured.
func clusterArgs(s Spec, addr, control string) []string {
	args := []string{"start", "-C", os.DevNull, "--control", control, "--bind", "tcp://" + addr, "--metrics", loopback + ":0", "--quiet"}
	for _, flag := range []struct {
		name, value string
	}{
		{"--workers", count(s.Workers)},
		{"--threads", count(s.Threads)},
		{"--mode", s.Mode},
		{"--dispatch", s.Dispatch},
		{"--pool", s.Pool},
		{"--engine", s.Engine},
	} {
		if flag.value != "" {
			args = append(args, flag.name, flag.value)
		}
	}
	if s.GVL {
		args = append(args, "--gvl")
	}
	args = append(args, s.Args...)
	if len(s.Program) > 0 {
		args = append(append(args, "--"), s.Program...)
	}
	return args
}

// count is a number of workers or threads; none for the command's default.
func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// bareArgs are those of the command for an engine without a cluster.
func bareArgs(s Spec, addr string) ([]string, error) {
	args := []string{"bare", "--addr", addr}
	switch s.Peer {
	case "nethttp", "fasthttp":
		return append(args, "--engine", s.Peer), nil
	case "fasthttp-prefork":
		args = append(args, "--engine", "fasthttp", "--prefork")
		if s.Workers > 0 {
			args = append(args, "--processes", strconv.Itoa(s.Workers))
		}
		return args, nil
	}
	return nil, fmt.Errorf("unknown bare server %q: there are nethttp, fasthttp and fasthttp-prefork", s.Peer)
}

// name is the target as errors have it.
func (s Spec) name() string {
	return strings.TrimSpace(string(s.Kind) + " " + s.Peer)
}

func (r *Running) binary() string { return cmp.Or(r.spec.Binary, r.launcher.Self) }

// markVariable is in the environment of every process of a target, to find those that have left its tree and its process group.
const markVariable = "PREFORK_BENCH_TARGET"

// environment is that of this process and more, without what would be settings of a cluster, of Puma or of Go: the Spec has those.
func environment(more ...string) []string {
	return append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "CLUSTER_") || slices.Contains(settings, name)
	}), more...)
}

var settings = []string{"WEB_CONCURRENCY", "MAX_THREADS", "GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG"}

// spawn starts the root process.
func (r *Running) spawn() error {
	if len(r.command.Argv) == 0 {
		return fmt.Errorf("%s: its description gives no command", r.spec.name())
	}
	output, err := os.OpenFile(filepath.Join(r.dir, "output"), os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	r.output = output
	r.cmd = exec.Command(r.command.Argv[0], r.command.Argv[1:]...)
	r.cmd.Env = append(environment(r.mark), slices.Concat(r.command.Env, r.spec.Env)...)
	r.cmd.Dir = r.command.Dir
	r.cmd.Stderr = output
	if r.spec.Output {
		r.cmd.Stdout = output
	}
	r.began = time.Now()
	if err := start(r.cmd, r.ended); err != nil {
		output.Close()
		return fmt.Errorf("%s does not start: %w", r.spec.name(), err)
	}
	return nil
}

// boot waits until the target is ready.
func (r *Running) boot(ctx context.Context) error {
	limit := cmp.Or(r.launcher.BootTimeout, defaultBootTimeout)
	booting, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not ready %v after its start", limit))
	defer cancel()
	pause, ask := answerPoll, func() error { return r.answers(booting) }
	if r.spec.Kind == Cluster {
		pause, ask = statusPoll, func() error {
			s, err := r.status(booting)
			if err == nil {
				r.metrics, err = s.Metrics, s.settled()
			}
			return err
		}
	}
	if err := r.await(booting, pause, ask); err != nil {
		return err
	}
	r.ready = time.Since(r.began)
	pids, err := r.tree()
	r.split = r.spec.Kind == Cluster || len(pids) > 1 && !r.command.MasterServes
	return err
}

const (
	defaultBootTimeout = 60 * time.Second
	defaultStopTimeout = 30 * time.Second
	defaultGrace       = 5 * time.Second
)
