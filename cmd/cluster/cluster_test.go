package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

const (
	startPatience = 30 * time.Second // a loaded machine and the race detector included
	stopPatience  = 20 * time.Second
)

// testCluster is a cluster that runs in processes of its own: this binary as the master and, unless the arguments name a
// program, as the workers. It has a runtime directory of its own, so any number run side by side.
type testCluster struct {
	Addr        string // HOST:PORT of the first bind, or its path
	MetricsAddr string // HOST:PORT, or empty with --metrics off
	Dir         string // XDG_RUNTIME_DIR of the cluster; gone after the test
	PID         int    // of the master

	t      testing.TB
	env    []string // of the master and of commands
	work   string   // their working directory; empty: that of the test
	filed  bool     // the addresses are in the file cluster.yaml of work
	log    string   // file with what the master and the workers wrote
	stdout *os.File // where the access log goes; nil: to the log
	path   string   // of the control socket
	mark   string
	leash  io.Closer
	exited chan struct{}
	code   int  // once exited
	killed bool // the workers are orphans, which leave in their own time
	waited bool // the test has looked at the exit code itself
	http   *http.Client
}

// startCluster starts a cluster with the arguments of `cluster start`, a program after "--" included, and returns when
// every worker is ready. It binds a free port of 127.0.0.1, and serves metrics on another, unless the arguments say
// otherwise. At the end of the test it is stopped, unless it has been, and must leave cleanly and without leftovers.
func startCluster(t testing.TB, args ...string) *testCluster {
	t.Helper()
	return startClusterTo(t, nil, args...)
}

// startClusterTo is startCluster with a standard output of its own.
func startClusterTo(t testing.TB, stdout *os.File, args ...string) *testCluster {
	t.Helper()
	c := launchCluster(t, stdout, args...)
	c.Await("every worker is ready", func(s api.Status) bool { return s.State == "ready" })
	return c
}

// launchCluster is startCluster that returns as soon as the control socket answers.
func launchCluster(t testing.TB, stdout *os.File, args ...string) *testCluster {
	t.Helper()
	dir := shortDir(t)
	c := &testCluster{t: t, Dir: dir, log: filepath.Join(dir, "log"), stdout: stdout, env: environment(dir)}
	c.launch(args)
	return c
}

// environment is that of the test without any settings, and with a runtime directory.
func environment(dir string) []string {
	return append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		ours := strings.HasPrefix(v, "CLUSTER_") && !strings.HasPrefix(v, "CLUSTER_DEMO_")
		return ours || strings.HasPrefix(v, "WEB_CONCURRENCY=") || strings.HasPrefix(v, "MAX_THREADS=")
	}), "XDG_RUNTIME_DIR="+dir)
}

// shortDir is a directory for sockets: those of t.TempDir have paths that are too long.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// launch starts the master and waits until it answers. t, Dir, env, work and log are set.
func (c *testCluster) launch(args []string) {
	c.t.Helper()
	c.path = controlPath(c.Dir, args)
	c.mark = envMark + "=" + strconv.FormatInt(time.Now().UnixNano(), 36) + filepath.Base(c.log)
	c.exited = make(chan struct{})
	c.http = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.path)
		},
	}}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()

	if !c.filed {
		args = withDefaults(args)
	}
	cmd := c.command(append([]string{"start"}, args...)...)
	cmd.Env = append(cmd.Env, envLeash+"=1", c.mark)
	cmd.Stdout, cmd.Stderr = log, log // a file, not a pipe: nothing to copy, and Wait waits for the master alone
	if c.stdout != nil {
		cmd.Stdout = c.stdout
	}
	if c.leash, err = cmd.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.PID = cmd.Process.Pid
	go func() {
		_ = cmd.Wait()
		c.code = cmd.ProcessState.ExitCode()
		close(c.exited)
	}()
	c.t.Cleanup(c.cleanUp)

	s := c.Await("the control socket answers", func(s api.Status) bool { return s.PID == c.PID })
	_, c.Addr, _ = strings.Cut(s.Binds[0], "://")
	c.MetricsAddr = s.Metrics
}

// controlPath is where a master with these arguments listens.
func controlPath(dir string, args []string) string {
	name := "cluster"
	flags, _, _ := cut(args, "--")
	for i, arg := range flags {
		flag, value, found := strings.Cut(arg, "=")
		if !found && i+1 < len(flags) {
			value = flags[i+1]
		}
		switch flag {
		case "--control":
			return value
		case "--name":
			name = value
		}
	}
	return filepath.Join(dir, "cluster", name+".sock")
}

// withDefaults adds free ports unless the arguments name some.
func withDefaults(args []string) []string {
	flags, _, _ := cut(args, "--")
	given := func(names ...string) bool {
		return slices.ContainsFunc(flags, func(arg string) bool {
			name, _, _ := strings.Cut(arg, "=")
			return slices.Contains(names, name)
		})
	}
	var defaults []string
	if !given("--bind", "-b") {
		defaults = append(defaults, "--bind", "tcp://127.0.0.1:0")
	}
	if !given("--metrics") {
		defaults = append(defaults, "--metrics", "127.0.0.1:0")
	}
	return append(defaults, args...)
}

func cut(args []string, at string) (before, after []string, found bool) {
	if i := slices.Index(args, at); i >= 0 {
		return args[:i], args[i+1:], true
	}
	return args, nil, false
}

// testBinary is this binary, for `start -- BINARY NAME` with a name of programs.
func testBinary(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// command is a command of cluster in the cluster's own environment.
func (c *testCluster) command(args ...string) *exec.Cmd {
	c.t.Helper()
	cmd := exec.Command(testBinary(c.t), args...)
	cmd.Dir = c.work
	cmd.Env = append(slices.Clone(c.env), envCommand+"=1")
	return cmd
}

// Command runs a verb against the cluster and returns what it printed and its exit code.
func (c *testCluster) Command(args ...string) (stdout, stderr string, code int) {
	c.t.Helper()
	cmd := c.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		c.t.Fatalf("cluster %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// Must is Command that fails the test unless the verb exits 0. It returns what it printed.
func (c *testCluster) Must(args ...string) string {
	c.t.Helper()
	stdout, stderr, code := c.Command(args...)
	if code != plan.ExitClean {
		c.t.Fatalf("cluster %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// Status asks the master.
func (c *testCluster) Status() api.Status {
	c.t.Helper()
	s, err := c.status()
	if err != nil {
		c.t.Fatalf("status: %v", err)
	}
	return s
}

func (c *testCluster) status() (s api.Status, err error) {
	res, err := c.http.Get("http://cluster/v1/status")
	if err != nil {
		return s, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return s, errors.New(res.Status)
	}
	return s, json.NewDecoder(res.Body).Decode(&s)
}

// Await asks for the status until it is as wanted, and returns that. It fails the test if that takes too long or the
// master ends.
func (c *testCluster) Await(what string, ok func(api.Status) bool) api.Status {
	c.t.Helper()
	var s api.Status
	var err error
	for deadline := time.Now().Add(startPatience); ; {
		if s, err = c.status(); err == nil && ok(s) {
			return s
		}
		select {
		case <-c.exited:
			c.t.Fatalf("waiting until %s: the master has ended with exit code %d", what, c.code)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%v are over before %s: %+v %v", startPatience, what, s, err)
		}
	}
}

// Workers are the pids of the workers that are ready.
func (c *testCluster) Workers() []int {
	c.t.Helper()
	var pids []int
	for _, w := range c.Status().Slots {
		if w.State == plan.Ready.String() {
			pids = append(pids, w.PID)
		}
	}
	return pids
}

// URL is the address of a page of the cluster.
func (c *testCluster) URL(path string) string { return "http://" + c.Addr + path }

// Signal sends a signal to the master.
func (c *testCluster) Signal(s syscall.Signal) {
	c.t.Helper()
	if err := syscall.Kill(c.PID, s); err != nil {
		c.t.Fatalf("%v to the master: %v", s, err)
	}
}

// KillMaster kills the master, and makes orphans of the workers.
func (c *testCluster) KillMaster() {
	c.t.Helper()
	c.killed = true
	c.Signal(syscall.SIGKILL)
	c.Wait()
}

// Wait waits until the master has ended and returns its exit code, -1 if a signal ended it.
func (c *testCluster) Wait() int {
	c.t.Helper()
	c.waited = true
	select {
	case <-c.exited:
		return c.code
	case <-time.After(stopPatience):
		c.t.Fatalf("the master has not ended within %v", stopPatience)
		return 0
	}
}

// Log is what the master and the workers have written so far.
func (c *testCluster) Log() string {
	data, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Processes are the pids of the cluster's processes, its master and what the workers have started included: those that
// have its mark in their environment.
func (c *testCluster) Processes() []int { return marked(c.mark) }

// marked are the pids of processes that have a variable in their environment.
func marked(variable string) []int {
	mark := []byte(variable + "\x00")
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		if env, err := os.ReadFile(file); err == nil && bytes.Contains(env, mark) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

func (c *testCluster) cleanUp() {
	c.t.Helper()
	defer func() {
		if c.t.Failed() {
			c.t.Logf("log of the cluster on %s:\n%s", c.Addr, c.Log())
		}
	}()
	select {
	case <-c.exited:
	default:
		if err := c.end(); err != nil {
			c.t.Error(err)
		}
	}
	c.leash.Close()
	if c.code != plan.ExitClean && !c.waited {
		c.t.Errorf("the master ended with exit code %d", c.code)
	}
	patience := 2 * time.Second
	if c.killed {
		patience = stopPatience
	}
	var left []int
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if left = c.Processes(); len(left) == 0 {
			break
		}
	}
	for _, pid := range left {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		c.t.Errorf("process %d is left of the cluster: %q", pid, bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, bad := range []string{"WARNING: DATA RACE", "BUG in the master", "panic: "} {
		if strings.Contains(c.Log(), bad) {
			c.t.Errorf("the log has %q", bad)
		}
	}
}

// end stops the master in order, or kills it.
func (c *testCluster) end() error {
	_ = syscall.Kill(c.PID, syscall.SIGTERM)
	select {
	case <-c.exited:
		return nil
	case <-time.After(stopPatience):
	}
	_ = syscall.Kill(c.PID, syscall.SIGKILL)
	<-c.exited
	c.waited, c.killed = true, true
	return fmt.Errorf("the master did not end within %v after SIGTERM and was killed", stopPatience)
}

// The helper itself: a cluster starts, answers, and leaves nothing behind.
func TestStartCluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--workers", "2", "--threads", "2")
	// A connection that stays open keeps its worker for --drain-idle.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(c.URL("/plaintext"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || string(body) != "Hello, World!" {
		t.Fatalf("/plaintext: %q, %v", body, err)
	}
	if n := len(c.Workers()); n != 2 {
		t.Errorf("%d workers are ready, want 2", n)
	}
	if res, err := client.Get("http://" + c.MetricsAddr + "/readyz"); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("/readyz: %v, %v", res, err)
	} else {
		res.Body.Close()
	}
	// The request that was answered is in the rates a few seconds later, whoever asks.
	s := c.Await("the request is in the rates", func(s api.Status) bool { return s.Rates.Requests > 0 && len(s.Rates.Time.Parts) > 0 })
	if threads := s.Slots[0].ThreadList; len(threads) != 2 || threads[0].State != "free" {
		t.Errorf("threads: %+v", threads)
	}
	if out := c.Must("status"); !strings.Contains(out, "\ntime of requests (last ") {
		t.Errorf("status does not say where the time went: %q", out)
	}
	if out := c.Must("status"); !strings.Contains(out, "2 workers × 2 threads") {
		t.Errorf("status says %q", out)
	}
	if _, _, code := c.Command("scale", "0"); code != plan.ExitUsage {
		t.Errorf("scale 0: exit code %d", code)
	}
	if out := c.Must("stop"); out != "stopped\n" {
		t.Errorf("stop says %q", out)
	}
	if code := c.Wait(); code != plan.ExitClean {
		t.Errorf("exit code %d", code)
	}
	if left := c.Processes(); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}
