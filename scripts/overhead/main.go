// Command overhead measures what one worker costs on top of the same handler on bare net/http: CPU per request of the
// server process, at saturation by wrk with 64 keep-alive connections, in interleaved rounds of
//
//	bare, worker under a master, bare again
//
// so that the second bare run, against the first, shows what the machine's noise alone looks like (A/A). It prints each
// round and the median ratios with their 95% intervals (golang.org/x/perf/benchmath, no assumption about distributions).
//
//	go run ./scripts/overhead -rounds 15 -seconds 5
//
// It needs wrk (Debian package wrk).
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/perf/benchmath"
	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/worker/demo"
)

func main() {
	log.SetFlags(0)
	rounds := flag.Int("rounds", 15, "rounds of three runs")
	seconds := flag.Int("seconds", 5, "length of a run")
	connections := flag.Int("connections", 64, "keep-alive connections")
	path := flag.String("path", "/plaintext", "what is asked for")
	bare := flag.String("bare", "", "serve the reference application on bare net/http at this address (used by the command itself)")
	flag.Parse()
	if *bare != "" {
		log.Fatal(serveBare(*bare))
	}
	if err := measure(*rounds, *seconds, *connections, *path); err != nil {
		log.Fatal(err)
	}
}

// serveBare is what anybody would write without cluster.
func serveBare(address string) error {
	handler, err := demo.Handler()
	if err != nil {
		return err
	}
	return http.ListenAndServe(address, handler)
}

func measure(rounds, seconds, connections int, path string) error {
	dir, err := os.MkdirTemp("", "overhead")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cluster := filepath.Join(dir, "cluster")
	if out, err := exec.Command("go", "build", "-o", cluster, "./cmd/cluster").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	runBare := func() (float64, error) {
		return run([]string{self, "-bare", address}, nil, address, path, seconds, connections)
	}
	runWorker := func() (float64, error) {
		args := []string{cluster, "start", "--workers", "1", "--bind", "tcp://" + address, "--metrics", "off", "--quiet", "--control", filepath.Join(dir, "c.sock")}
		return run(args, firstChild, address, path, seconds, connections)
	}
	var ratio, noise []float64
	fmt.Println("round    bare  worker    bare   worker/bare  bare/bare   (µs CPU of the server per request)")
	for i := range rounds {
		a, err := runBare()
		if err != nil {
			return err
		}
		b, err := runWorker()
		if err != nil {
			return err
		}
		c, err := runBare()
		if err != nil {
			return err
		}
		// The worker is compared with the mean of the bare runs on both sides of it: a drift of the machine cancels.
		ratio, noise = append(ratio, 2*b/(a+c)), append(noise, c/a)
		fmt.Printf("%5d  %6.2f  %6.2f  %6.2f  %12.3f  %9.3f\n", i+1, a, b, c, ratio[i], noise[i])
	}
	fmt.Printf("\nworker/bare  median %s\n", interval(ratio))
	fmt.Printf("bare/bare    median %s\n", interval(noise))
	return nil
}

func interval(values []float64) string {
	s := benchmath.AssumeNothing.Summary(benchmath.NewSample(values, &benchmath.DefaultThresholds), 0.95)
	return fmt.Sprintf("%.3f, 95%% interval %.3f to %.3f, %d rounds", s.Center, s.Lo, s.Hi, len(values))
}

// run starts a server, lets wrk warm it up and saturate it, and returns the microseconds of CPU per request of its process.
func run(args []string, process func(pid int) (int, error), address, path string, seconds, connections int) (float64, error) {
	server := exec.Command(args[0], args[1:]...)
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		return 0, err
	}
	defer func() {
		_ = server.Process.Signal(unix.SIGTERM)
		_ = server.Wait()
	}()
	if err := awaitListening(address); err != nil {
		return 0, err
	}
	pid := server.Process.Pid
	if process != nil {
		var err error
		if pid, err = process(pid); err != nil {
			return 0, err
		}
	}
	url := "http://" + address + path
	if _, err := wrk(url, 1, connections); err != nil {
		return 0, err
	}
	before, err := processCPU(pid)
	if err != nil {
		return 0, err
	}
	requests, err := wrk(url, seconds, connections)
	if err != nil {
		return 0, err
	}
	after, err := processCPU(pid)
	if err != nil {
		return 0, err
	}
	return float64((after - before).Microseconds()) / float64(requests), nil
}

var requestsLine = regexp.MustCompile(`(\d+) requests in`)

func wrk(url string, seconds, connections int) (int, error) {
	out, err := exec.Command("wrk", "-t", "1", "-c", strconv.Itoa(connections), "-d", strconv.Itoa(seconds)+"s", url).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w (Debian package wrk)\n%s", err, out)
	}
	if strings.Contains(string(out), "Socket errors") || strings.Contains(string(out), "Non-2xx") {
		return 0, fmt.Errorf("wrk saw errors:\n%s", out)
	}
	m := requestsLine.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("wrk printed no number of requests:\n%s", out)
	}
	return strconv.Atoi(string(m[1]))
}

// processCPU reads the CPU clock of another process: clock_getcpuclockid(3).
func processCPU(pid int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of pid %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

func firstChild(pid int) (int, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	line, _ := bufio.NewReader(f).ReadString(' ')
	if child, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
		return child, nil
	}
	// The master may have forked from another of its threads.
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		data, _ := os.ReadFile(task)
		if fields := strings.Fields(string(data)); len(fields) > 0 {
			return strconv.Atoi(fields[0])
		}
	}
	return 0, fmt.Errorf("pid %d has no child", pid)
}

func awaitListening(address string) error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		res, err := http.Get("http://" + address + "/plaintext")
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nobody answers on %s: %w", address, err)
		}
	}
}

func freeAddress() (string, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
