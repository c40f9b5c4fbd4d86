package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/master/api"
	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts of testdata/script use the command as a person does. Besides the commands of testscript they have:
//
//	start [flags] [-- program]   a cluster in the background, on free ports; returns when all workers are ready
//	end [cluster] CODE           waits until it has ended, with this exit code
//	signal [cluster] NAME        to its master
//	exits CODE program args...   exec that wants an exit code
//	until REGEXP program args... runs the program until its output matches
//	await REGEXP file            waits until a line of the file matches
//	get [-status N] URL          on a connection of its own; the body becomes stdout
//	get & URL                    the same in the background, whatever comes of it
//	listen NAME                  a listener of the test's own process, its address in $NAME
//	unixsocket [-stale] path     the same on a unix socket; stale: nobody listens on it any more
//
// start sets $ADDR, $METRICS, $PID (of the master) and $SOCKET, and writes to the file log. With --name NAME the cluster
// has that name in end and signal, and its log is NAME.log.
func TestScripts(t *testing.T) {
	t.Parallel()
	programs := t.TempDir()
	build := exec.Command("go", "build", "-o", programs, "../../examples/jsonapi", "../worker")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			runtime := shortDir(env.T().(testing.TB))
			env.Setenv("XDG_RUNTIME_DIR", runtime)
			env.Setenv("PROGRAMS", programs)
			env.Setenv("TESTPID", strconv.Itoa(os.Getpid()))
			env.Setenv(envRace, os.Getenv(envRace))
			env.Values[scriptKey{}] = &script{t: env.T().(testing.TB), runtime: runtime, clusters: map[string]*testCluster{}}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":      scriptStart,
			"end":        scriptEnd,
			"signal":     scriptSignal,
			"exits":      scriptExits,
			"until":      scriptUntil,
			"await":      scriptAwait,
			"get":        scriptGet,
			"listen":     scriptListen,
			"unixsocket": scriptUnixSocket,
		},
	})
}

// script is what the commands of one script share.
type script struct {
	t        testing.TB
	runtime  string
	clusters map[string]*testCluster
}

type scriptKey struct{}

func of(ts *testscript.TestScript) *script { return ts.Value(scriptKey{}).(*script) }

// cluster takes the name of a cluster from the arguments if there is one.
func (s *script) cluster(ts *testscript.TestScript, args []string, want int) (*testCluster, []string) {
	name := "cluster"
	if len(args) == want+1 {
		name, args = args[0], args[1:]
	}
	c := s.clusters[name]
	if c == nil || len(args) != want {
		ts.Fatalf("no cluster %q was started, or not %d arguments", name, want)
	}
	return c, args
}

func scriptStart(ts *testscript.TestScript, _ bool, args []string) {
	s := of(ts)
	name, log := "cluster", "log"
	flags, _, _ := cut(args, "--")
	if i := slices.Index(flags, "--name"); i >= 0 && i+1 < len(flags) {
		name, log = flags[i+1], flags[i+1]+".log"
	}
	c := &testCluster{t: s.t, Dir: s.runtime, work: ts.MkAbs("."), log: ts.MkAbs(log)}
	// What the script has set is not to be had from testscript as a whole: its own `env` prints it.
	ts.Check(ts.Exec("env", "-0"))
	c.env = strings.Split(strings.TrimRight(ts.ReadFile("stdout"), "\x00"), "\x00")
	s.clusters[name] = c
	c.launch(args)
	c.Await("every worker is ready", func(s api.Status) bool { return s.State == "ready" })
	ts.Setenv("ADDR", c.Addr)
	ts.Setenv("METRICS", c.MetricsAddr)
	ts.Setenv("PID", strconv.Itoa(c.PID))
	ts.Setenv("SOCKET", c.path)
}

func scriptEnd(ts *testscript.TestScript, _ bool, args []string) {
	c, args := of(ts).cluster(ts, args, 1)
	if code := strconv.Itoa(c.Wait()); code != args[0] {
		ts.Fatalf("the master ended with exit code %s, want %s\n%s", code, args[0], c.Log())
	}
}

func scriptSignal(ts *testscript.TestScript, _ bool, args []string) {
	c, args := of(ts).cluster(ts, args, 1)
	signals := map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "HUP": syscall.SIGHUP,
		"QUIT": syscall.SIGQUIT, "TTIN": syscall.SIGTTIN, "TTOU": syscall.SIGTTOU, "KILL": syscall.SIGKILL,
	}
	if signals[args[0]] == syscall.SIGKILL {
		c.killed = true
	}
	c.Signal(signals[args[0]])
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE program args...")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP program args...")
	}
	wanted := regexp.MustCompile("(?m)" + args[0])
	poll(ts, args[0], 50*time.Millisecond, func() bool {
		err := ts.Exec(args[1], args[2:]...)
		return err == nil && wanted.MatchString(ts.ReadFile("stdout"))
	})
}

func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await REGEXP file")
	}
	wanted, path := regexp.MustCompile("(?m)"+args[0]), ts.MkAbs(args[1])
	poll(ts, args[0]+" in "+args[1], 10*time.Millisecond, func() bool {
		data, err := os.ReadFile(path)
		return err == nil && wanted.Match(data)
	})
}

func poll(ts *testscript.TestScript, what string, pause time.Duration, ok func() bool) {
	for deadline := time.Now().Add(startPatience); !ok(); time.Sleep(pause) {
		if time.Now().After(deadline) {
			ts.Fatalf("%v are over before %s", startPatience, what)
		}
	}
}

func scriptGet(ts *testscript.TestScript, neg bool, args []string) {
	client := &http.Client{Timeout: startPatience, Transport: &http.Transport{DisableKeepAlives: true}}
	if len(args) == 2 && args[0] == "&" {
		go func() {
			if res, err := client.Get(args[1]); err == nil {
				res.Body.Close()
			}
		}()
		return
	}
	status := http.StatusOK
	if len(args) == 3 && args[0] == "-status" {
		var err error
		status, err = strconv.Atoi(args[1])
		ts.Check(err)
		args = args[2:]
	}
	if len(args) != 1 {
		ts.Fatalf("usage: get [&] [-status N] URL")
	}
	res, err := client.Get(args[0])
	if neg {
		if err == nil {
			ts.Fatalf("%s was answered %s", args[0], res.Status)
		}
		return
	}
	ts.Check(err)
	defer res.Body.Close()
	var body bytes.Buffer
	_, err = io.Copy(&body, res.Body)
	ts.Check(err)
	_, _ = ts.Stdout().Write(body.Bytes())
	if res.StatusCode != status {
		ts.Fatalf("%s was answered %s, want %d\n%s", args[0], res.Status, status, body.Bytes())
	}
}

func scriptListen(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: listen NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

func scriptUnixSocket(ts *testscript.TestScript, _ bool, args []string) {
	stale := len(args) == 2 && args[0] == "-stale"
	path := args[len(args)-1]
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o700))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	ts.Check(err)
	if stale {
		l.SetUnlinkOnClose(false)
		l.Close()
		return
	}
	ts.Defer(func() { l.Close() })
}
