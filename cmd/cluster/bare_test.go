package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/cmd/cluster/reference"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/worker/demo"
)

var bareLine = regexp.MustCompile(`^bare (\w+): process (\d+) listens on (\S+)\n$`)

// bareServer is `cluster bare` that serves.
type bareServer struct {
	*testCluster // for its Processes
	cmd          *exec.Cmd
	addr         string
	serving      []string      // pids
	out          *bufio.Reader // of all its processes
	errs         bytes.Buffer
}

// startBare starts `cluster bare` with the arguments, and returns when so many processes listen.
func startBare(t *testing.T, processes int, env []string, args ...string) *bareServer {
	t.Helper()
	mark := envMark + "=bare" + strconv.FormatInt(time.Now().UnixNano(), 36) + t.Name()
	s := &bareServer{testCluster: &testCluster{t: t, mark: mark, env: environment(t.TempDir())}}
	s.cmd = s.command(append([]string{reference.BareVerb, "--addr", "127.0.0.1:0"}, args...)...)
	s.cmd.Env = append(append(s.cmd.Env, mark), env...)
	s.cmd.Stderr = &s.errs
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out, s.cmd.Stdout = bufio.NewReader(r), w
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	watchdog := time.AfterFunc(startPatience+stopPatience, func() { _ = s.cmd.Process.Kill() })
	t.Cleanup(func() {
		watchdog.Stop()
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		r.Close()
	})
	for range processes {
		line, err := s.out.ReadString('\n')
		m := bareLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("it says %q (%v); %s", line, err, s.errs.String())
		}
		s.serving, s.addr = append(s.serving, m[2]), m[3]
	}
	return s
}

// end sends a signal, and returns the exit code when no process is left that could print.
func (s *bareServer) end(signal syscall.Signal) int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
	rest, err := io.ReadAll(s.out)
	if err != nil || len(rest) > 0 {
		s.t.Errorf("in the end it says %q, %v", rest, err)
	}
	_ = s.cmd.Wait()
	if left := s.Processes(); len(left) > 0 {
		s.t.Errorf("processes %v are left", left)
	}
	return s.cmd.ProcessState.ExitCode()
}

var bareWays = []struct {
	name    string
	args    []string
	serving int
	all     int // with the master
}{
	{"nethttp", nil, 1, 1},
	{"fasthttp", []string{"--engine", "fasthttp"}, 1, 1},
	{"fasthttp prefork", []string{"--engine", "fasthttp", "--prefork", "--processes", "3"}, 3, 4},
}

// Every bare server answers what the reference application does, and leaves with all of its processes.
func TestBare(t *testing.T) {
	t.Parallel()
	handler, err := demo.Handler()
	if err != nil {
		t.Fatal(err)
	}
	reference := httptest.NewServer(handler)
	t.Cleanup(reference.Close)
	for _, way := range bareWays {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := startBare(t, way.serving, nil, way.args...)
			if n := len(s.Processes()); n != way.all {
				t.Errorf("%d processes, want %d", n, way.all)
			}
			client := &http.Client{Timeout: startPatience, Transport: &http.Transport{DisableKeepAlives: true}}
			for _, path := range []string{"/", "/plaintext", "/10k", "/cpu", "/cpu?n=46", "/io?ms=0.5", "/io_native?ms=0.5", "/app", "/nowhere"} {
				if got, wanted := answer(t, client, "http://"+s.addr+path), answer(t, client, reference.URL+path); got != wanted {
					t.Errorf("%s: %.200q, want %.200q", path, got, wanted)
				}
			}
			if pid := answer(t, client, "http://"+s.addr+"/pid"); !regexp.MustCompile(`"pid":(` + strings.Join(s.serving, "|") + `),`).MatchString(pid) {
				t.Errorf("/pid is %q, want one of %v", pid, s.serving)
			}
			if code := s.end(syscall.SIGTERM); code != plan.ExitClean || s.errs.Len() > 0 {
				t.Errorf("exit code %d, and it says %q", code, s.errs.String())
			}
		})
	}
}

func answer(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	res, err := client.Post(url, "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %v\n%s", res.Status, res.Header["Content-Type"], body)
}

// fasthttp's master would leave its children behind when it is killed.
func TestBareMasterIsKilled(t *testing.T) {
	t.Parallel()
	s := startBare(t, 2, nil, "--engine", "fasthttp", "--prefork", "--processes", "2")
	if code := s.end(syscall.SIGKILL); code != -1 {
		t.Errorf("exit code %d", code)
	}
}

// A child that dies is replaced by fasthttp, which gives up at a second one; then the others end, too.
func TestBareChildrenDie(t *testing.T) {
	t.Parallel()
	s := startBare(t, 2, nil, "--engine", "fasthttp", "--prefork", "--processes", "2")
	kill := func(serving string) {
		pid, err := strconv.Atoi(serving)
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	kill(s.serving[0])
	if line, err := s.out.ReadString('\n'); !bareLine.MatchString(line) {
		t.Errorf("no new child: %q, %v", line, err)
	}
	kill(s.serving[1])
	rest, err := io.ReadAll(s.out)
	if err != nil || len(rest) > 0 {
		t.Errorf("in the end it says %q, %v", rest, err)
	}
	_ = s.cmd.Wait()
	if code := s.cmd.ProcessState.ExitCode(); code != plan.ExitFailure || !strings.Contains(s.errs.String(), "cluster bare: prefork: exceeding") {
		t.Errorf("exit code %d, and it says %q", code, s.errs.String())
	}
}

// Each process that serves writes a profile when it ends, on every engine, and so does a worker.
func TestCPUProfile(t *testing.T) {
	t.Parallel()
	for _, way := range bareWays {
		dir := t.TempDir()
		s := startBare(t, way.serving, []string{reference.EnvProfile + "=" + dir}, way.args...)
		if code := s.end(syscall.SIGTERM); code != plan.ExitClean {
			t.Errorf("%s: exit code %d", way.name, code)
		}
		for _, pid := range s.serving {
			checkProfile(t, filepath.Join(dir, pid+".pprof"))
		}
	}
	for _, engine := range []string{"nethttp", "fasthttp"} {
		dir := shortDir(t)
		c := &testCluster{t: t, Dir: dir, log: filepath.Join(dir, "log"), env: append(environment(dir), reference.EnvProfile+"="+dir)}
		c.launch([]string{"--workers", "1", "--engine", engine, "--bind", "tcp://127.0.0.1:0", "--metrics", "off"})
		c.Await("the worker is ready", func(s api.Status) bool { return s.State == "ready" })
		pid := c.Workers()[0]
		c.Must("stop")
		checkProfile(t, filepath.Join(dir, strconv.Itoa(pid)+".pprof"))
	}
}

// checkProfile wants a profile that `go build -pgo` reads: gzipped, and not broken off.
func checkProfile(t *testing.T, path string) {
	t.Helper()
	if out, err := exec.Command("go", "tool", "pprof", "-raw", path).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("PeriodType: cpu nanoseconds")) {
		t.Errorf("%s: %v\n%.300s", path, err, out)
	}
}

func TestBareAddressTaken(t *testing.T) {
	t.Parallel()
	s := startBare(t, 1, nil)
	for _, way := range bareWays {
		cmd := s.command(append([]string{reference.BareVerb, "--addr", s.addr}, way.args...)...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != plan.ExitAddressTaken || !bytes.Contains(out, []byte("address already in use")) {
			t.Errorf("%s: exit code %d, %s", way.name, code, out)
		}
	}
}

func TestBareFlags(t *testing.T) {
	c := &testCluster{t: t, env: environment(t.TempDir())}
	if _, stderr, code := c.Command(reference.BareVerb, "--threads", "3"); code != plan.ExitUsage || stderr != "cluster bare: unknown flag --threads ("+reference.BareUsage+")\n" {
		t.Errorf("exit code %d, and it says %q", code, stderr)
	}
	if stdout, _, code := c.Command(reference.BareVerb, "--help"); code != plan.ExitClean || stdout != reference.BareUsage+"\n" {
		t.Errorf("--help: exit code %d, and it says %q", code, stdout)
	}
	if stdout := c.Must("--help"); strings.Contains(stdout, reference.BareVerb) {
		t.Errorf("the help names it: %s", stdout)
	}
}
