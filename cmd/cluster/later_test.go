package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

// A stop with a delay: from its first moment /readyz says 503, and until its last one new and kept connections are served, each
// kept one once more. Hooks run meanwhile, as they do at other times, and the end is clean.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--workers", "2", "--dispatch", "handoff", "--settle", "100ms", "--drain-delay", "6s", "--request-timeout", "2s", "--name", "odd$(name)",
		"--on-ready", `echo "$CLUSTER_EVENT of generation $CLUSTER_GENERATION of $CLUSTER_NAME"; exit 3`,
		"--on-crash", `echo "$CLUSTER_SLOT: $CLUSTER_REASON"; sleep 100`, "--hook-timeout", "500ms")
	awaitLog(t, c, "hook on-ready | ready of generation 1 of odd$(name)\n")
	awaitLog(t, c, "hook failed")
	if err := syscall.Kill(c.Workers()[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitLog(t, c, ": signal\n")
	awaitLog(t, c, "hook takes too long")
	c.Await("the dead worker has been replaced", func(s api.Status) bool { return s.State == "ready" })

	slow := make(chan int, 1)
	go func() {
		res, err := http.Get(c.URL("/io?ms=5000"))
		if err != nil {
			slow <- 0
			return
		}
		res.Body.Close()
		slow <- res.StatusCode
	}()

	l := startLoad(c, 2, 4, 100*time.Millisecond, nil)
	kept := &http.Client{Transport: &http.Transport{}, Timeout: startPatience}
	if res := get(t, kept, c.URL("/plaintext")); res.Close {
		t.Error("a connection is closed before anything stops")
	}
	if status := <-slow; status != http.StatusGatewayTimeout {
		t.Errorf("a slow request: status %d", status)
	}
	awaitLog(t, c, "request timed out")
	if log := c.Log(); !strings.Contains(log, "path=/io took=2") || !strings.Contains(log, "time.Sleep") {
		t.Error("the log does not say which request timed out, and where")
	}
	c.Signal(syscall.SIGTERM)
	ready := "http://" + c.MetricsAddr + "/readyz"
	for deadline := time.Now().Add(startPatience); get(t, kept, ready).StatusCode != http.StatusServiceUnavailable; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("/readyz goes on saying that it is ready")
		}
	}
	if s := c.Status(); s.State != "stopping" {
		t.Errorf("state %q", s.State)
	}
	fresh, old := l.fresh.Load(), l.kept.Load()
	for l.fresh.Load() < fresh+100 || l.kept.Load() < old+100 {
		time.Sleep(time.Millisecond)
	}
	if res := get(t, kept, c.URL("/plaintext")); res.StatusCode != http.StatusOK || !res.Close {
		t.Errorf("during the delay: status %d, close %v", res.StatusCode, res.Close)
	}
	if report := l.stop(); report.Losses() != 0 {
		t.Errorf("requests were lost: %v", report)
	}
	if out := c.Must("stop", "--control", c.path); !regexp.MustCompile(`^all is served for another [1-6]\S*s \(drain-delay\), then workers drain within 30s \(drain-timeout\)\nstopped\n$`).MatchString(out) {
		t.Errorf("stop says %q", out)
	}
	if code := c.Wait(); code != plan.ExitClean {
		t.Errorf("exit code %d", code)
	}
}

func get(t *testing.T, c *http.Client, url string) *http.Response {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return res
}

func awaitLog(t *testing.T, c *testCluster, text string) {
	t.Helper()
	for deadline := time.Now().Add(startPatience); !strings.Contains(c.Log(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log has no %q:\n%s", text, c.Log())
		}
	}
}

// As process 1 of a pid namespace, which is what it is in a container, the master ends cleanly on TERM and reaps what others have
// left behind.
func TestProcessOne(t *testing.T) {
	t.Parallel()
	space := []string{"--fork", "--pid", "--mount-proc", "--kill-child"}
	if out, err := exec.Command("unshare", append(space, "true")...).CombinedOutput(); err != nil {
		t.Skipf("no pid namespace can be made here: %v: %s", err, bytes.TrimSpace(out))
	}
	dir := shortDir(t)
	path := filepath.Join(dir, "log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("unshare", append(space, testBinary(t), "start", "--workers", "1", "--bind", "127.0.0.1:0", "--metrics", "off",
		"--on-ready", `sleep 0.3 & echo "I am $PPID, it is $!"`)...)
	cmd.Env = append(environment(dir), envCommand+"=1", envRace+"="+noRaceSleep)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }() // and --kill-child the master
	text := func() string {
		data, _ := os.ReadFile(path)
		return string(data)
	}
	said := regexp.MustCompile(`hook on-ready \| I am (\d+), it is (\d+)\n`)
	deadline := time.Now().Add(startPatience)
	wait := func(what string, done func() bool) {
		t.Helper()
		for ; !done(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not within %v:\n%s", what, startPatience, text())
			}
		}
	}
	wait("the hook", func() bool { return said.MatchString(text()) })
	pids := said.FindStringSubmatch(text())
	if pids[1] != "1" {
		t.Errorf("the master is process %s", pids[1])
	}
	wait("the orphan is reaped", func() bool { return insider(pids[2]) == 0 })
	master := insider("1")
	if master == 0 {
		t.Fatal("the master is not to be found")
	}
	if err := syscall.Kill(master, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with %v:\n%s", err, text())
		}
	case <-time.After(stopPatience):
		t.Errorf("it has not ended:\n%s", text())
	}
}

// insider is the process that has this number in a pid namespace below that of the test; 0 if there is none. Only one test makes
// such namespaces.
func insider(pid string) int {
	files, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, file := range files {
		status, _ := os.ReadFile(file)
		outer, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if strings.Contains(string(status), fmt.Sprintf("\nNSpid:\t%d\t%s\n", outer, pid)) {
			return outer
		}
	}
	return 0
}
