package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/cmd/cluster/reference"
	"github.com/prefork/cluster/internal/traffic"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

func init() {
	programs["fasthttp"] = func() {
		os.Setenv("CLUSTER_ENGINE", "fasthttp")
		os.Exit(reference.RunWorker())
	}
}

// accessLine is what a test wants to know of a line of the access log.
type accessLine struct {
	Method, Path     string
	Status           int
	Bytes            int64
	Slot, Generation int
}

// accessLines parses all lines of some files. Each must be whole.
func accessLines(t *testing.T, names ...string) (all []accessLine) {
	t.Helper()
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var l accessLine
			if err := json.Unmarshal([]byte(line), &l); err != nil || !strings.HasSuffix(line, "}\n") {
				t.Fatalf("%s: line %q: %v", name, line, err)
			}
			all = append(all, l)
		}
	}
	return all
}

// counted adds the samples of a metric up.
func counted(t *testing.T, c *testCluster, metric string) (sum int64) {
	t.Helper()
	res, err := http.Get("http://" + c.MetricsAddr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	found := false
	for in := bufio.NewScanner(res.Body); in.Scan(); {
		rest, ok := strings.CutPrefix(in.Text(), metric+"{")
		if !ok {
			continue
		}
		var n float64
		if _, err := fmt.Sscan(rest[strings.LastIndex(rest, " ")+1:], &n); err != nil {
			t.Fatalf("%s: %v", in.Text(), err)
		}
		found = true
		sum += int64(n)
	}
	if !found {
		t.Errorf("there is no metric %s", metric)
	}
	return sum
}

// The access log of a cluster has a line for each request that it has counted, over a rolling restart, and over files
// that are moved away by HUP and by command; none is lost or doubled.
func TestAccessLogIsComplete(t *testing.T) {
	for _, engine := range []string{"nethttp", "fasthttp"} {
		t.Run(engine, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "access.log")
			args := []string{"--workers", "2", "--threads", "3", "--settle", "100ms", "--quiet", "--log-requests", "--log-requests-file", name, "--log-format", "json"}
			if engine == "fasthttp" {
				args = append(args, "--", testBinary(t), "fasthttp")
			}
			c := startCluster(t, args...)
			l := startLoad(c, 2, 4, 100*time.Millisecond, nil)
			seen := func(n int64) {
				t.Helper()
				for deadline := time.Now().Add(startPatience); l.fresh.Load()+l.kept.Load() < n; {
					if time.Now().After(deadline) {
						t.Fatal("the load makes no progress")
					}
					c.Status()
				}
			}
			moved := func(to string, reopen func()) string {
				t.Helper()
				to = name + "." + to
				if err := os.Rename(name, to); err != nil {
					t.Fatal(err)
				}
				reopen()
				c.Await("the file is there again", func(api.Status) bool {
					_, err := os.Stat(name)
					return err == nil
				})
				return to
			}
			seen(500)
			first := moved("1", func() { c.Signal(syscall.SIGHUP) })
			seen(1000)
			c.Must("restart", "--wait")
			seen(2000)
			second := moved("2", func() { c.Must("reopen-logs") })
			seen(3000)
			report := l.stop()
			if report.Losses() != 0 {
				t.Errorf("requests were lost: %v", report)
			}
			requests, dropped := counted(t, c, "cluster_requests_total"), counted(t, c, "cluster_worker_log_lines_dropped_total")
			c.Must("stop")
			c.Wait()
			lines := accessLines(t, first, second, name)
			if int64(len(lines)) != requests || int64(len(lines)) != report.ClassCounts["2xx"] || dropped != 0 {
				t.Errorf("%d lines, %d requests counted by the cluster, %v by the clients; %d lines dropped", len(lines), requests, report.ClassCounts, dropped)
			}
			generations := map[int]int{}
			for _, l := range lines {
				generations[l.Generation]++
				if l.Method != "GET" || l.Path != "/pid" || l.Status != 200 || l.Bytes == 0 || l.Slot > 1 {
					t.Fatalf("%+v", l)
				}
			}
			if len(generations) != 2 || generations[1] == 0 || generations[2] == 0 {
				t.Errorf("lines by generation: %v", generations)
			}
			for _, file := range []string{first, second, name} {
				if len(accessLines(t, file)) == 0 {
					t.Errorf("%s is empty", file)
				}
			}
		})
	}
}

// If nobody reads standard output, requests go on, and so do restarts and the stop; lines are dropped and counted. When the
// reader is back, whole lines come.
func TestAccessLogWithoutReader(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC, 0) // that blocks when it is full, as a shell's pipe does
	if err != nil {
		t.Fatal(err)
	}
	out := os.NewFile(uintptr(fd), name)
	defer out.Close()
	c := startClusterTo(t, out, "--workers", "8", "--threads", "1", "--settle", "10ms", "--quiet", "--log-requests", "--log-format", "json")
	load := func(path string, requests int64) {
		t.Helper()
		report := traffic.Clients{Addr: c.Addr, Path: path, Connections: 16, KeepAlive: true, Requests: requests}.Run(t.Context())
		if report.Losses() != 0 || report.Requests != requests {
			t.Error(report)
		}
	}
	long := "/" + strings.Repeat("x", 1900)
	load(long, 6000)
	c.Await("dropped lines are counted", func(api.Status) bool { return counted(t, c, "cluster_worker_log_lines_dropped_total") > 0 })
	before := time.Now()
	c.Must("restart", "--wait=drained")
	if took := time.Since(before); took > startPatience {
		t.Errorf("a restart has taken %v", took)
	}
	lost := counted(t, c, "cluster_worker_log_lines_dropped_total")

	text := make(chan string, 1)
	go func() {
		all, err := io.ReadAll(r)
		if err != nil {
			t.Error(err)
		}
		text <- string(all)
	}()
	load("/pid", 1000)
	c.Must("stop")
	if code := c.Wait(); code != plan.ExitClean {
		t.Errorf("exit code %d", code)
	}
	out.Close()
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte(<-text), 0o600); err != nil {
		t.Fatal(err)
	}
	paths := map[string]int64{}
	for _, l := range accessLines(t, file) {
		paths[l.Path]++
	}
	if paths["/pid"] != 1000 || paths[long]+lost < 6000 || len(paths) != 2 {
		t.Errorf("%d lines since the reader is back, want 1000; %d from before and %d dropped, want 6000", paths["/pid"], paths[long], lost)
	}
}
