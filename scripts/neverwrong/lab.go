package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prefork/cluster/master/api"
)

const patience = 60 * time.Second // for starting and stopping a cluster, on a machine that is busy

// lab is the programs that a cluster is made of.
type lab struct {
	dir     string // removed by close
	cluster string // the command
	program string // of the workers: this script
}

func newLab(race bool) (*lab, error) {
	dir, err := os.MkdirTemp("", "neverwrong")
	if err != nil {
		return nil, err
	}
	l := &lab{dir: dir, cluster: filepath.Join(dir, "cluster"), program: filepath.Join(dir, "echo")}
	for program, source := range map[string]string{l.cluster: "./cmd/cluster", l.program: "./scripts/neverwrong"} {
		args := []string{"build", "-o", program}
		if race {
			args = append(args, "-race")
		}
		if out, err := exec.Command("go", append(args, source)...).CombinedOutput(); err != nil {
			l.close()
			return nil, fmt.Errorf("go build %s: %w\n%s", source, err, out)
		}
	}
	return l, nil
}

func (l *lab) close() { os.RemoveAll(l.dir) }

// running is a cluster.
type running struct {
	*lab
	addr   string // HOST:PORT
	start  *exec.Cmd
	exited chan error
}

func (l *lab) control() string { return filepath.Join(l.dir, "control.sock") }

// start returns when all workers are ready.
func (l *lab) start(dispatch, engine string) (*running, error) {
	cmd := exec.Command(
		l.cluster, "start", "-C", "/dev/null", "--control", l.control(), "--bind", "tcp://127.0.0.1:0", "--metrics", "off", "--quiet",
		"--dispatch", dispatch, "--workers", "4", "--threads", "2", "--settle", "100ms", "--surge", "8", "--drain-idle", "25s",
		"--", l.program, verb, engine,
	)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is this script's: it stops the cluster in order
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := &running{lab: l, start: cmd, exited: make(chan error, 1)}
	go func() { r.exited <- cmd.Wait() }()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		s, err := r.status()
		if err == nil && s.State == "ready" {
			_, r.addr, _ = strings.Cut(s.Binds[0], "://")
			return r, nil
		}
		select {
		case ended := <-r.exited:
			return nil, fmt.Errorf("cluster start ended before it was ready: %w", ended)
		default:
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("the cluster is not ready after %v: it is %q (%w)", patience, s.State, err), r.stop())
		}
	}
}

// command runs a verb against the cluster.
func (r *running) command(args ...string) error {
	_, err := r.run(args...)
	return err
}

func (r *running) run(args ...string) ([]byte, error) {
	cmd := exec.Command(r.cluster, append([]string{args[0], "--control", r.control()}, args[1:]...)...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out, nil
}

func (r *running) status() (s api.Status, err error) {
	text, err := r.run("status", "--json")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// stop ends the cluster. One that does not end well is an error.
func (r *running) stop() error {
	_ = r.start.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-r.exited:
		if err != nil {
			return fmt.Errorf("cluster start: %w", err)
		}
		return nil
	case <-time.After(patience):
	}
	_ = r.start.Process.Kill()
	return errors.Join(fmt.Errorf("the cluster did not end within %v after SIGTERM and was killed", patience), <-r.exited)
}
