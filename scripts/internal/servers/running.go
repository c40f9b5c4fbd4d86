package servers

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prefork/cluster/master/api"
	"golang.org/x/sys/unix"
)

// patience is how long a server may take for what should take milliseconds, on a machine that is busy.
const patience = 30 * time.Second

// Running are the processes of a server.
type Running struct {
	Serving []int // the pids of those that serve: workers, or bare servers
	Master  int   // 0 for bare servers
	lab     *Lab
	started []*exec.Cmd
}

// Bare starts so many processes that serve in one of the ways for bare servers, and waits until all can be connected to.
// Each has GOMAXPROCS procs.
func (lab *Lab) Bare(how string, processes, procs int) (*Running, error) {
	r := &Running{lab: lab}
	for range processes {
		cmd := lab.command(procs, lab.program, verb, how, lab.Address, lab.certificate(), lab.key())
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = r.start(cmd)
		}
		if err != nil {
			return nil, errors.Join(err, r.Stop())
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != listening+"\n" {
			return nil, errors.Join(fmt.Errorf("the bare server did not come up: it said %q (%w)", line, err), r.Stop())
		}
		r.Serving = append(r.Serving, cmd.Process.Pid)
	}
	return r, nil
}

// Cluster starts a cluster on a bind, with more arguments for cluster start, and waits until all workers are ready. What
// they print goes to out, or nowhere if that is nil. Each has GOMAXPROCS procs.
func (lab *Lab) Cluster(bind string, workers, procs int, out *os.File, args ...string) (*Running, error) {
	fixed := []string{
		lab.cluster, "start", "-C", "/dev/null", "--workers", strconv.Itoa(workers), "--bind", bind,
		"--metrics", "off", "--quiet", "--control", lab.control(),
	}
	cmd := lab.command(procs, append(fixed, args...)...)
	if out != nil {
		cmd.Stdout = out
	}
	r := &Running{lab: lab}
	if err := r.start(cmd); err != nil {
		return nil, err
	}
	r.Master = cmd.Process.Pid
	for deadline := time.Now().Add(patience); ; {
		pids, err := lab.ready(workers)
		if err == nil {
			r.Serving = pids
			return r, nil
		}
		if time.Now().After(deadline) || unix.Kill(r.Master, 0) != nil {
			return nil, errors.Join(fmt.Errorf("the cluster is not ready: %w", err), r.Stop())
		}
	}
}

// ready returns the pids of the workers if all are ready.
func (lab *Lab) ready(workers int) ([]int, error) {
	s, err := lab.Status()
	if err != nil {
		return nil, err
	}
	if s.State != "ready" || len(s.Slots) != workers {
		return nil, fmt.Errorf("it is %s, with %d workers", s.State, len(s.Slots))
	}
	var pids []int
	for _, w := range s.Slots {
		pids = append(pids, w.PID)
	}
	return pids, nil
}

// Status asks the cluster how it is.
func (lab *Lab) Status() (s api.Status, err error) {
	out, err := exec.Command(lab.cluster, "status", "--json", "--control", lab.control()).Output()
	if err != nil {
		return s, fmt.Errorf("cluster status: %w", err)
	}
	return s, json.Unmarshal(out, &s)
}

func (lab *Lab) command(procs int, words ...string) *exec.Cmd {
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(procs), envCollected+"="+lab.collected())
	cmd.Stderr = os.Stderr
	return cmd
}

func (r *Running) start(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	r.started = append(r.started, cmd)
	return nil
}

// Unchanged is an error if a worker has died since the start: what was measured then is not what it seems.
func (r *Running) Unchanged() error {
	for _, pid := range r.Serving {
		if err := unix.Kill(pid, 0); err != nil {
			return fmt.Errorf("the server process %d has died: %w", pid, err)
		}
	}
	return nil
}

// Collect makes each serving process collect its garbage and give free memory back to the system, and waits for it. Only
// programs of the script do it.
func (r *Running) Collect() error {
	for _, pid := range r.Serving {
		mark := filepath.Join(r.lab.collected(), strconv.Itoa(pid))
		if err := os.WriteFile(mark, nil, 0o600); err != nil {
			return err
		}
		if err := unix.Kill(pid, unix.SIGUSR1); err != nil {
			return fmt.Errorf("server process %d: %w", pid, err)
		}
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(mark); errors.Is(err, os.ErrNotExist) {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("the server process %d does not collect its garbage", pid)
			}
		}
	}
	return nil
}

// Stop ends all processes. A cluster that does not end well is an error.
func (r *Running) Stop() error {
	var failed error
	for _, cmd := range r.started {
		_ = cmd.Process.Signal(unix.SIGTERM)
	}
	for _, cmd := range r.started {
		if err := cmd.Wait(); err != nil && r.Master != 0 { // a bare server knows no better end than a signal
			failed = errors.Join(failed, fmt.Errorf("cluster start: %w", err))
		}
	}
	return failed
}

// CPU is the CPU time that the processes have taken in sum: clock_getcpuclockid(3).
func CPU(pids ...int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		var ts unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
			return 0, fmt.Errorf("CPU clock of pid %d: %w", pid, err)
		}
		sum += time.Duration(ts.Nano())
	}
	return sum, nil
}
