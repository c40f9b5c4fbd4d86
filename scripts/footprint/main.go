// Command footprint measures what an idle cluster takes: time until all workers are ready, memory of the workers and the
// master (smaps_rollup), CPU while idle, and the time of a rolling restart, with the default and with a full surge.
//
//	go run ./scripts/footprint -workers 8
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/metrics"
)

func main() {
	log.SetFlags(0)
	workers := flag.Int("workers", 8, "workers")
	idle := flag.Duration("idle", 20*time.Second, "how long idle CPU is measured")
	flag.Parse()
	dir, err := os.MkdirTemp("", "footprint")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	m := measurement{dir: dir, workers: *workers}
	if out, err := exec.Command("go", "build", "-o", m.binary(), "./cmd/cluster").CombinedOutput(); err != nil {
		log.Fatalf("build: %v\n%s", err, out)
	}
	m.boot()
	m.idle(*idle)
	m.restart("1")
	m.restart(strconv.Itoa(*workers))
}

type measurement struct {
	dir     string
	workers int
}

func (m *measurement) binary() string  { return filepath.Join(m.dir, "cluster") }
func (m *measurement) control() string { return filepath.Join(m.dir, "c.sock") }

// start returns the running master and how long it took until every worker was ready.
func (m *measurement) start(flags ...string) (*exec.Cmd, time.Duration) {
	args := []string{"start", "--workers", strconv.Itoa(m.workers), "--bind", "tcp://127.0.0.1:0", "--metrics", "127.0.0.1:0", "--quiet", "--control", m.control()}
	cmd := exec.Command(m.binary(), append(args, flags...)...)
	cmd.Stderr = os.Stderr
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		log.Fatal(err)
	}
	for {
		if s, err := m.status(); err == nil && s.State == "ready" {
			// The status command itself takes some milliseconds: the time stands in the status.
			return cmd, time.Since(begun)
		}
		if time.Since(begun) > time.Minute {
			log.Fatal("the cluster is not ready after a minute")
		}
	}
}

func (m *measurement) status() (s api.Status, err error) {
	out, err := exec.Command(m.binary(), "status", "--json", "--control", m.control()).Output()
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(out, &s)
}

func stop(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(unix.SIGTERM)
	_ = cmd.Wait()
}

func (m *measurement) boot() {
	var took []time.Duration
	for range 5 {
		cmd, d := m.start()
		took = append(took, d.Round(time.Millisecond))
		stop(cmd)
	}
	slices.Sort(took)
	fmt.Printf("%d workers ready after (from exec of the master, polled by the status command): median %v of %v\n", m.workers, took[len(took)/2], took)
}

func (m *measurement) idle(length time.Duration) {
	cmd, _ := m.start()
	defer stop(cmd)
	time.Sleep(2 * time.Second)
	s, err := m.status()
	if err != nil {
		log.Fatal(err)
	}
	pids := []int{s.PID}
	var anonymous, pss []string
	for _, w := range s.Slots {
		pids = append(pids, w.PID)
		memory, err := metrics.ReadMemory(w.PID)
		if err != nil {
			log.Fatal(err)
		}
		anonymous, pss = append(anonymous, mb(memory.Anonymous)), append(pss, mb(memory.PSS))
	}
	own, err := metrics.ReadMemory(s.PID)
	if err != nil {
		log.Fatal(err)
	}
	slices.Sort(anonymous)
	slices.Sort(pss)
	fmt.Printf("worker, 2 s after ready: Anonymous MB %v, PSS MB %v\n", anonymous, pss)
	fmt.Printf("master: PSS %s MB, Anonymous %s MB\n", mb(own.PSS), mb(own.Anonymous))
	before := cpu(pids)
	time.Sleep(length)
	used := cpu(pids) - before
	fmt.Printf("idle cluster, master included: %.2f%% of one CPU over %v\n", 100*used.Seconds()/length.Seconds(), length)
}

func mb(bytes int64) string { return strconv.FormatFloat(float64(bytes)/(1<<20), 'f', 2, 64) }

// cpu is the sum of the CPU clocks of processes (clock_getcpuclockid(3)).
func cpu(pids []int) time.Duration {
	var sum time.Duration
	for _, pid := range pids {
		var ts unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
			log.Fatalf("CPU clock of pid %d: %v", pid, err)
		}
		sum += time.Duration(ts.Nano())
	}
	return sum
}

func (m *measurement) restart(surge string) {
	cmd, _ := m.start("--surge", surge)
	defer stop(cmd)
	begun := time.Now()
	out, err := exec.Command(m.binary(), "restart", "--wait", "--control", m.control()).CombinedOutput()
	if err != nil {
		log.Fatalf("restart: %v\n%s", err, out)
	}
	fmt.Printf("rolling restart of %d idle workers, --surge %s, until --wait returns: %.2f s\n", m.workers, surge, time.Since(begun).Seconds())
}
