package master

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
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

const (
	patience = 30 * time.Second
	nobody   = 65534
)

// realMaster is a master in a process of its own, with the test binary as its workers.
type realMaster struct {
	t       *testing.T
	cmd     *exec.Cmd
	control string
	log     string
	exited  chan struct{}
}

// settings is a small cluster on a free port.
func settings(t *testing.T, change func(*configs.Config)) configs.Config {
	t.Helper()
	c := configs.Default()
	c.Workers, c.Threads, c.Metrics = 1, 1, "off"
	c.Control = filepath.Join(socketDir(t), "c.sock")
	c.Binds = []configs.Bind{{Scheme: "tcp", Address: "127.0.0.1:0"}}
	c.DrainIdle, c.OrphanGrace = 0, 0
	if change != nil {
		change(&c)
	}
	return c
}

// launch starts a master and does not wait until it is ready.
func launch(t *testing.T, c configs.Config, prepare ...func(*exec.Cmd)) *realMaster {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(c.Control)
	m := &realMaster{t: t, control: c.Control, log: filepath.Join(dir, "log"), exited: make(chan struct{})}
	log, err := os.Create(m.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	m.cmd = exec.Command("/proc/self/exe")
	m.cmd.Env = append(os.Environ(), envConfig+"="+string(text), "XDG_RUNTIME_DIR="+dir, "GORACE=atexit_sleep_ms=0")
	m.cmd.Stdout, m.cmd.Stderr = log, log
	for _, f := range prepare {
		f(m.cmd)
	}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = m.cmd.Wait(); close(m.exited) }()
	t.Cleanup(func() {
		_ = m.cmd.Process.Signal(syscall.SIGTERM)
		m.wait()
		if t.Failed() {
			t.Logf("log of the master:\n%s", m.said())
		}
	})
	return m
}

func (m *realMaster) said() string {
	text, _ := os.ReadFile(m.log)
	return string(text)
}

func (m *realMaster) wait() int {
	m.t.Helper()
	select {
	case <-m.exited:
	case <-time.After(patience):
		_ = m.cmd.Process.Kill()
		m.t.Fatalf("the master has not ended within %v", patience)
	}
	return m.cmd.ProcessState.ExitCode()
}

func (m *realMaster) call(method, path string) (int, []byte, error) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", m.control)
		},
	}}
	q, err := http.NewRequest(method, "http://cluster"+path, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := client.Do(q)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, body, err
}

func (m *realMaster) ready() api.Status {
	m.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		var s api.Status
		if _, body, err := m.call("GET", "/v1/status"); err == nil && json.Unmarshal(body, &s) == nil && s.State == "ready" {
			return s
		}
		select {
		case <-m.exited:
			m.t.Fatalf("the master has ended:\n%s", m.said())
		case <-time.After(10 * time.Millisecond):
		}
	}
	m.t.Fatalf("not ready within %v:\n%s", patience, m.said())
	return api.Status{}
}

func (m *realMaster) portrait() (p selfPortrait) {
	m.t.Helper()
	s := m.ready()
	res, err := http.Get("http://" + strings.TrimPrefix(s.Binds[0], "tcp://"))
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
		m.t.Fatal(err)
	}
	return p
}

// field is a line of /proc/self/status.
func (p selfPortrait) field(name string) string {
	for line := range strings.Lines(p.Status) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (p selfPortrait) variable(name string) string {
	for _, v := range p.Env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

func TestWorkerInherits(t *testing.T) {
	dir := t.TempDir()
	made := filepath.Join(dir, "made")
	m := launch(t, settings(t, func(c *configs.Config) { c.Chdir, c.Umask, c.Name = dir, "027", "blog" }), func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, envMade+"="+made, "CLUSTER_WORKERS=7", "CLUSTER_DEMO_DATA=1MiB", "GOMAXPROCS=3", "PWD=/nowhere", "LISTEN_FDS=1")
	})
	p := m.portrait()
	if p.Dir != dir || p.variable("PWD") != dir {
		t.Errorf("it works in %s, PWD %s, want %s", p.Dir, p.variable("PWD"), dir)
	}
	if got := p.field("Umask"); got != "0027" {
		t.Errorf("umask %s", got)
	}
	if st, err := os.Stat(made); err != nil || st.Mode() != 0o640 {
		t.Errorf("a file that main made first: %v, %v, want mode 0640", st, err)
	}
	for name, want := range map[string]string{"CLUSTER_DEMO_DATA": "1MiB", "GOMAXPROCS": "3", "CLUSTER_WORKERS": "", "CLUSTER_SEAT": "", "LISTEN_FDS": ""} {
		if got := p.variable(name); got != want {
			t.Errorf("%s=%q, want %q", name, got, want)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(p.Descriptors, self) {
		t.Errorf("the worker has its program open: %q", p.Descriptors)
	}
	own, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.cmd.Process.Pid))
	mine, _ := os.ReadFile("/proc/self/status")
	umask := regexp.MustCompile(`(?m)^Umask:.*$`)
	if got, want := umask.Find(own), umask.Find(mine); !bytes.Equal(got, want) {
		t.Errorf("the umask of the master: %s, want %s", got, want)
	}
	if !strings.HasPrefix(string(own), "Name:\tcluster:blog\n") {
		t.Errorf("the name of the master: %.30s", own)
	}
	if s := m.ready(); s.Limits.FilesMax == 0 || s.Limits.CorePattern == "" {
		t.Errorf("limits: %+v", s.Limits)
	}
}

func TestFewConnections(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m := launch(t, settings(t, nil), func(cmd *exec.Cmd) {
		cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", `ulimit -n 200; exec "$0"`, self}
	})
	s := m.ready()
	if s.Limits.FilesMax != 200 {
		t.Errorf("limits: %+v", s.Limits)
	}
	if want := "level=WARN msg=\"few connections fit under the limit of file descriptors: raise `ulimit -n`, or LimitNOFILE= of the unit\" limit=200 connections=136 wanted=1000"; !strings.Contains(m.said(), want) {
		t.Errorf("no %s", want)
	}
}

func TestGOMAXPROCS(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	p := launch(t, settings(t, func(c *configs.Config) { c.Workers = 2 })).portrait()
	if got, want := p.variable("GOMAXPROCS"), strconv.Itoa(max(1, configs.AvailableCPUs()/2)); got != want {
		t.Errorf("GOMAXPROCS=%s, want %s", got, want)
	}
}

// The directory is resolved for each generation; a missing one refuses the restart, and nothing changes.
func TestDirectoryOfAGeneration(t *testing.T) {
	dir := t.TempDir()
	v1, v2, current := filepath.Join(dir, "v1"), filepath.Join(dir, "v2"), filepath.Join(dir, "current")
	if err := errors.Join(os.Mkdir(v1, 0o755), os.Mkdir(v2, 0o755), os.Symlink(v1, current)); err != nil {
		t.Fatal(err)
	}
	m := launch(t, settings(t, func(c *configs.Config) { c.Chdir, c.Settle = "current", 0 }), func(cmd *exec.Cmd) { cmd.Dir = dir })
	if p := m.portrait(); p.Dir != v1 {
		t.Errorf("it works in %s, want %s", p.Dir, v1)
	}
	if err := errors.Join(os.Remove(current), os.Symlink(v2, current)); err != nil {
		t.Fatal(err)
	}
	if status, body, err := m.restart(); status != http.StatusOK || !strings.Contains(body, `"final":true`) {
		t.Fatalf("restart: %d %s %v", status, body, err)
	}
	if p := m.portrait(); p.Dir != v2 {
		t.Errorf("after a restart it works in %s, want %s", p.Dir, v2)
	}
	if err := os.Remove(current); err != nil {
		t.Fatal(err)
	}
	if status, body, err := m.restart(); status != http.StatusConflict || !strings.Contains(body, "the working directory "+current+" does not exist: make it, or give another --chdir") {
		t.Errorf("restart without it: %d %s %v", status, body, err)
	}
	if p := m.portrait(); p.Dir != v2 {
		t.Errorf("after that it works in %s", p.Dir)
	}
}

func (m *realMaster) restart() (int, string, error) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", m.control)
	}, DisableKeepAlives: true}}
	res, err := client.Post("http://cluster/v1/restart", "application/json", strings.NewReader(`{"wait":"drained"}`))
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can start processes of another user")
	}
}

// openDir is a directory that every user may enter, which those of t.TempDir are not.
func openDir(t *testing.T) string {
	t.Helper()
	dir := socketDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copySelf makes a program of the test binary.
func copySelf(t *testing.T, path string, mode os.FileMode) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = errors.Join(os.WriteFile(path, self, 0o600), os.Chmod(path, mode))
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWorkerOfAnotherUser(t *testing.T) {
	needRoot(t)
	// A file that the user may execute but not read, in a directory that it may not enter.
	program := copySelf(t, filepath.Join(socketDir(t), "program"), 0o711)
	for name, change := range map[string]func(*configs.Config){
		"by name":   func(c *configs.Config) { c.User = "nobody" },
		"by number": func(c *configs.Config) { c.User = strconv.Itoa(nobody) },
		"program":   func(c *configs.Config) { c.User, c.Program = "nobody", []string{program} },
	} {
		t.Run(name, func(t *testing.T) {
			m := launch(t, settings(t, func(c *configs.Config) { c.Chdir = "/"; change(c) }), func(cmd *exec.Cmd) {
				cmd.Env = append(cmd.Env, "HOME=/root", "USER=root", "LOGNAME=root")
			})
			p := m.portrait()
			if p.UID != nobody || p.GID != nobody || !slices.Equal(p.Groups, []int{nobody}) {
				t.Errorf("it is %d:%d of groups %v", p.UID, p.GID, p.Groups)
			}
			if caps := strings.Trim(p.field("CapPrm")+p.field("CapEff")+p.field("CapAmb"), "0"); caps != "" {
				t.Errorf("it has capabilities: %s", p.Status)
			}
			if p.variable("USER") != "nobody" || p.variable("LOGNAME") != "nobody" || p.variable("HOME") == "/root" {
				t.Errorf("HOME=%s USER=%s LOGNAME=%s", p.variable("HOME"), p.variable("USER"), p.variable("LOGNAME"))
			}
			if got := p.field("Name"); name != "program" && got != "cluster-w0" { // what cannot be read has no business there
				t.Errorf("its name is %s", got)
			}
			if status, body, err := m.restart(); status != http.StatusOK || !strings.Contains(body, `"final":true`) {
				t.Errorf("restart: %d %s %v", status, body, err)
			}
			if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil || m.wait() != plan.ExitClean {
				t.Errorf("stop: %v, exit code %d", err, m.cmd.ProcessState.ExitCode())
			}
		})
	}
}

func TestUserRefused(t *testing.T) {
	needRoot(t)
	closed := filepath.Join(openDir(t), "closed")
	text := filepath.Join(closed, "script")
	if err := errors.Join(os.Mkdir(closed, 0o700), os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	asNobody := func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	for name, test := range map[string]struct {
		change  func(*configs.Config)
		prepare func(*exec.Cmd)
		code    int
		want    string
	}{
		"unknown user":   {func(c *configs.Config) { c.User = "nosuch" }, nil, plan.ExitConfig, "--user nosuch: there is no such user: give the name of one"},
		"unknown group":  {func(c *configs.Config) { c.Group = "nosuch" }, nil, plan.ExitConfig, "--group nosuch: there is no such group: give the name of one"},
		"number alone":   {func(c *configs.Config) { c.User = "54321" }, nil, plan.ExitConfig, "--user 54321 is in no user database, so nobody knows its group: give --group too"},
		"not root":       {func(c *configs.Config) { c.User = "root" }, asNobody, plan.ExitConfig, "workers cannot run as user root: only root may choose their user, and this is uid 65534"},
		"not root group": {func(c *configs.Config) { c.Group = "0" }, asNobody, plan.ExitConfig, "workers cannot run as group 0: only root may"},
		"directory": {
			func(c *configs.Config) { c.User, c.Chdir = "nobody", closed }, nil, plan.ExitNoWorker,
			"permission denied: user nobody may not enter or execute " + closed + " (drwx------, owner 0:0): give it that right",
		},
		"script": {
			func(c *configs.Config) { c.User, c.Chdir, c.Program = "nobody", "/", []string{text} }, nil, plan.ExitNoWorker,
			"permission denied: user nobody may not enter or execute " + closed + " (drwx------, owner 0:0): give it that right",
		},
		"no directory": {func(c *configs.Config) { c.Chdir = "/nonexistent" }, nil, plan.ExitConfig, "the working directory /nonexistent does not exist"},
		"umask":        {func(c *configs.Config) { c.Umask = "1000" }, nil, plan.ExitUsage, `--umask "1000" is no umask`},
	} {
		t.Run(name, func(t *testing.T) {
			c := settings(t, test.change)
			prepare := []func(*exec.Cmd){}
			if test.prepare != nil {
				prepare = append(prepare, test.prepare)
				if err := os.Chown(filepath.Dir(c.Control), nobody, nobody); err != nil {
					t.Fatal(err)
				}
			}
			m := launch(t, c, prepare...)
			if code := m.wait(); code != test.code || !strings.Contains(m.said(), test.want) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, test.code, test.want, m.said())
			}
		})
	}
}

// A master that is not root but has the capabilities may choose the user, and does not pass them on. One that names itself
// needs none.
func TestUserWithoutRoot(t *testing.T) {
	needRoot(t)
	dir := func(c configs.Config) configs.Config {
		if err := os.Chown(filepath.Dir(c.Control), nobody, nobody); err != nil {
			t.Fatal(err)
		}
		return c
	}
	credential := &syscall.Credential{Uid: nobody, Gid: nobody}
	program := copySelf(t, filepath.Join(openDir(t), "program"), 0o755)
	t.Run("itself", func(t *testing.T) {
		c := dir(settings(t, func(c *configs.Config) { c.User, c.Chdir = "nobody", "/" }))
		p := launch(t, c, func(cmd *exec.Cmd) {
			cmd.Path, cmd.SysProcAttr = program, &syscall.SysProcAttr{Credential: credential}
		}).portrait()
		if p.UID != nobody || p.variable("USER") != "nobody" {
			t.Errorf("uid %d, USER=%s", p.UID, p.variable("USER"))
		}
	})
	t.Run("capabilities", func(t *testing.T) {
		c := dir(settings(t, func(c *configs.Config) { c.User, c.Group, c.Chdir = "54321", "54322", "/" }))
		m := launch(t, c, func(cmd *exec.Cmd) {
			cmd.Path = program
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, AmbientCaps: []uintptr{unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_KILL}}
		})
		p := m.portrait()
		if p.UID != 54321 || p.GID != 54322 || len(p.Groups) != 0 || p.variable("HOME") != "/" {
			t.Errorf("it is %d:%d of groups %v, HOME=%s", p.UID, p.GID, p.Groups, p.variable("HOME"))
		}
		if caps := strings.Trim(p.field("CapPrm")+p.field("CapEff")+p.field("CapAmb"), "0"); caps != "" {
			t.Errorf("it has capabilities: %s", p.Status)
		}
		// What is not to be dumped belongs to root.
		st, err := os.Stat(fmt.Sprintf("/proc/%d/environ", m.cmd.Process.Pid))
		if err != nil || st.Sys().(*syscall.Stat_t).Uid != nobody {
			t.Errorf("the master leaves no core file any more: %v, %v", st, err)
		}
	})
}

func TestPidfileOfAMaster(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.pid")
	first := launch(t, settings(t, func(c *configs.Config) { c.Pidfile, c.OrphanGrace = path, time.Second }))
	first.ready()
	pid := fmt.Sprintf("%d\n", first.cmd.Process.Pid)
	if text, err := os.ReadFile(path); string(text) != pid {
		t.Errorf("it holds %q, %v", text, err)
	}
	second := launch(t, settings(t, func(c *configs.Config) { c.Pidfile = path }))
	want := fmt.Sprintf("pidfile %s belongs to another cluster that runs (pid %s): stop that one, or give another --pidfile", path, strings.TrimSpace(pid))
	if code := second.wait(); code != plan.ExitAddressTaken || !strings.Contains(second.said(), want) {
		t.Errorf("a second master: exit code %d\n%s", code, second.said())
	}

	// The lock dies with the master, though its workers live on for a while.
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.wait()
	if text, err := os.ReadFile(path); string(text) != pid {
		t.Errorf("after a kill it holds %q, %v", text, err)
	}
	third := launch(t, settings(t, func(c *configs.Config) { c.Pidfile = path }))
	third.ready()
	if text, err := os.ReadFile(path); string(text) != fmt.Sprintf("%d\n", third.cmd.Process.Pid) {
		t.Errorf("the next master wrote %q, %v", text, err)
	}
	_ = third.cmd.Process.Signal(syscall.SIGTERM)
	if code := third.wait(); code != plan.ExitClean {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is left: %v", err)
	}
}
