package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/internal/traffic"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

// load is clients of both kinds that run until they are stopped.
type load struct {
	fresh, kept atomic.Int64 // requests on new and on keep-alive connections
	mu          sync.Mutex
	report      traffic.Report
	clients     sync.WaitGroup
	cancel      context.CancelFunc
}

// startLoad runs clients that make a new connection for each request, and clients that keep theirs and think for up to
// thinkMax between requests.
func startLoad(c *testCluster, fresh, kept int, thinkMax time.Duration, on func(traffic.Answer)) *load {
	return startLoadAs(traffic.Clients{Addr: c.Addr}, fresh, kept, thinkMax, on)
}

// startLoadAs is startLoad for clients that come another way.
func startLoadAs(as traffic.Clients, fresh, kept int, thinkMax time.Duration, on func(traffic.Answer)) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	start := func(clients traffic.Clients, counter *atomic.Int64) {
		clients.Network, clients.Addr, clients.TLS, clients.Path = as.Network, as.Addr, as.TLS, "/pid"
		clients.OnAnswer = func(a traffic.Answer) {
			if a.Outcome != traffic.ClosedIdle {
				counter.Add(1)
			}
			if on != nil {
				on(a)
			}
		}
		l.clients.Go(func() {
			report := clients.Run(ctx)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.report.Merge(report)
		})
	}
	start(traffic.Clients{Connections: fresh}, &l.fresh)
	start(traffic.Clients{Connections: kept, KeepAlive: true, Think: func(int) time.Duration {
		// Most think briefly, so that requests meet every moment of a restart; a few for long.
		if rand.IntN(50) == 0 {
			return rand.N(thinkMax)
		}
		return rand.N(2 * time.Millisecond)
	}}, &l.kept)
	return l
}

func (l *load) stop() traffic.Report {
	l.cancel()
	l.clients.Wait()
	return l.report
}

// Rolling restarts back to back, scaling, and a restart during a restart, under clients of both kinds: nothing is lost.
func TestNothingIsLost(t *testing.T) {
	const enough = 10_000 // of each kind
	c := startCluster(t, "--workers", "2", "--threads", "3", "--settle", "100ms", "--surge", "2", "--quiet")
	l := startLoad(c, 4, 24, time.Second, nil)
	generation := func(g int) func(api.Status) bool {
		return func(s api.Status) bool { return s.State == "ready" && s.Generation == g }
	}
	g := 1
	for round := 0; round < 2 || l.fresh.Load() < enough || l.kept.Load() < enough; round++ {
		for _, n := range []string{"6", "1", "4", "2"} {
			c.Must("scale", n)
			c.Must("restart", "--wait")
			g++
		}
		c.Signal(syscall.SIGUSR2) // and again while that one is under way
		g++
		c.Await("the restart has begun", func(s api.Status) bool { return s.Generation == g && s.State == "restarting" })
		c.Must("restart", "--wait=drained")
		g++
		c.Await("the newest generation serves alone", generation(g))
		if t.Failed() {
			break
		}
	}
	report := l.stop()
	t.Logf("%d generations; %d requests on new and %d on kept connections; %v", g, l.fresh.Load(), l.kept.Load(), report)
	if report.Losses() != 0 || report.ClassCounts["5xx"] != 0 {
		t.Errorf("requests were lost: %v", report)
	}
	if d := c.Status().Deaths; len(d) != 0 {
		t.Errorf("workers died: %+v", d)
	}
}

// A stopped worker collects connections in its listener. When it is killed, others answer all of them.
func TestStopThenKill(t *testing.T) {
	c := startCluster(t, "--workers", "2", "--threads", "3")
	victim := c.Status().Slots[0]
	if err := syscall.Kill(victim.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	const clients = 200
	var done sync.WaitGroup
	var report traffic.Report
	done.Go(func() {
		report = traffic.Clients{Addr: c.Addr, Path: "/pid", Connections: clients, Requests: clients}.Run(context.Background())
	})
	waiting := 0
	for waiting < 20 {
		if waiting = int(metric(t, c, fmt.Sprintf(`cluster_listen_backlog{bind="tcp://%s",slot="%d"}`, c.Addr, victim.Slot))); waiting >= 20 {
			break
		}
		if time.Since(stopped) > 20*time.Second {
			t.Fatalf("only %d connections wait in the listener of the stopped worker", waiting)
		}
	}
	if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	done.Wait()
	t.Logf("%d connections waited when the worker was killed, %v after it was stopped", waiting, time.Since(stopped).Round(time.Millisecond))
	if report.Losses() != 0 || report.ClassCounts["2xx"] != clients {
		t.Errorf("requests were lost: %v", report)
	}
}

// metric reads one series.
func metric(t *testing.T, c *testCluster, series string) float64 {
	t.Helper()
	res, err := http.Get("http://" + c.MetricsAddr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			var v float64
			if _, err := fmt.Sscan(value, &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no series %s", series)
	return 0
}

// A kill costs at most the connections that the dead worker had open, and none that another worker was serving.
func TestKillUnderLoad(t *testing.T) {
	c := startCluster(t, "--workers", "3", "--threads", "3", "--quiet")
	var mu sync.Mutex
	last := map[int]int{} // pid of the last answer by connection
	lost := map[int]int{} // losses by that pid; 0: the connection had no answer yet
	l := startLoad(c, 4, 12, 100*time.Millisecond, func(a traffic.Answer) {
		mu.Lock()
		defer mu.Unlock()
		key := a.Conn
		if a.First {
			delete(last, key)
		}
		if a.Outcome.Lost() {
			lost[last[key]]++
		}
		last[key] = a.PID
	})
	killed := map[int]bool{}
	for len(killed) < 6 {
		before := l.fresh.Load() + l.kept.Load()
		s := c.Await("every worker is ready", func(s api.Status) bool { return s.State == "ready" })
		for l.fresh.Load()+l.kept.Load() < before+300 {
			time.Sleep(time.Millisecond) // until the load has reached every worker again
		}
		victim := s.Slots[len(killed)%len(s.Slots)]
		if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		killed[victim.PID] = true
		c.Await("the death is known", func(s api.Status) bool {
			for _, d := range s.Deaths {
				if d.PID == victim.PID {
					return true
				}
			}
			return false
		})
	}
	report := l.stop()
	open := 0
	for _, d := range c.Status().Deaths {
		if !killed[d.PID] || d.Reason != plan.Signal.String() {
			t.Errorf("death %+v", d)
		}
		open += int(d.Open)
	}
	t.Logf("%d connections were open in killed workers; %v", open, report)
	if report.Losses() > open {
		t.Errorf("%d losses, but only %d connections were open in the killed workers", report.Losses(), open)
	}
	for pid, n := range lost {
		if pid != 0 && !killed[pid] {
			t.Errorf("%d losses on connections that the living worker %d was serving", n, pid)
		}
	}
}

// A bad version never takes the service down: the restart is taken back, nothing is lost, and there are never fewer ready
// workers than slots.
func TestBadVersion(t *testing.T) {
	for _, mood := range []string{"exits", "hangs", "protocol"} {
		t.Run(mood, func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, "--workers", "2", "--threads", "3", "--settle", "200ms", "--boot-timeout", "3s", "--quiet",
				"--", testBinary(t), "moody", "2="+mood)
			l := startLoad(c, 2, 4, time.Second, nil)
			watched := watchReady(c)
			out, errs, code := c.Command("restart", "--wait")
			fewest := watched()
			report := l.stop()
			t.Logf("%s%s%v", out, errs, report)
			if code != plan.ExitAborted || !strings.Contains(errs, "restart aborted (boot_") {
				t.Errorf("exit code %d, %q", code, errs)
			}
			if report.Losses() != 0 || report.ClassCounts["5xx"] != 0 {
				t.Errorf("requests were lost: %v", report)
			}
			if fewest < 2 {
				t.Errorf("there were moments with %d ready workers", fewest)
			}
			expectOld(t, c)
		})
	}
}

// A version that dies two seconds after it was ready is taken back too. Only what a dead worker had accepted is lost.
func TestBadVersionThatDiesLater(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--workers", "2", "--threads", "3", "--settle", "500ms", "--quiet", "--", testBinary(t), "moody", "2=dies")
	type loss struct{ conn, last int }
	var mu sync.Mutex
	var lost []loss
	last := map[int]int{}
	l := startLoad(c, 2, 4, 100*time.Millisecond, func(a traffic.Answer) {
		mu.Lock()
		defer mu.Unlock()
		if a.First {
			delete(last, a.Conn)
		}
		if a.Outcome.Lost() {
			lost = append(lost, loss{a.Conn, last[a.Conn]})
		}
		last[a.Conn] = a.PID
	})
	c.Must("restart")
	c.Await("the restart was taken back", func(s api.Status) bool {
		gone := !slices.ContainsFunc(s.Slots, func(w api.WorkerStatus) bool { return w.Generation == 2 }) // each of them dies, one while it drains
		return s.Restart != nil && s.Restart.Outcome == plan.Aborted && s.State == "ready" && gone
	})
	report := l.stop()
	s := c.Status()
	if s.Restart.Reason != plan.Rollback.String() {
		t.Errorf("reason %s: %s", s.Restart.Reason, s.Restart.Detail)
	}
	dead, open := map[int]bool{}, int64(0)
	for _, d := range s.Deaths {
		dead[d.PID], open = true, open+d.Open
		if d.Generation != 2 {
			t.Errorf("a worker of the old generation died: %+v", d)
		}
	}
	t.Logf("%d deaths with %d connections; %v", len(s.Deaths), open, report)
	for _, x := range lost {
		if x.last != 0 && !dead[x.last] {
			t.Errorf("connection %d lost a request, but worker %d that served it lives", x.conn, x.last)
		}
	}
	if int64(report.Losses()) > open {
		t.Errorf("%d losses on %d connections of dead workers", report.Losses(), open)
	}
	expectOld(t, c)
}

// expectOld checks that every slot is ready on generation 1.
func expectOld(t *testing.T, c *testCluster) {
	t.Helper()
	c.Await("every slot is ready on the old generation alone", func(s api.Status) bool {
		for _, w := range s.Slots {
			if w.Generation != 1 || w.State != plan.Ready.String() {
				return false
			}
		}
		return len(s.Slots) == s.Workers
	})
}

// watchReady looks at the number of ready workers again and again; the function it returns ends that and tells the fewest.
func watchReady(c *testCluster) func() int {
	stop := make(chan struct{})
	fewest := make(chan int)
	go func() {
		least := 1 << 30
		for {
			if s, err := c.status(); err == nil {
				n := 0
				for _, w := range s.Slots {
					if w.State == plan.Ready.String() {
						n++
					}
				}
				least = min(least, n)
			}
			select {
			case <-stop:
				fewest <- least
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() int {
		close(stop)
		return <-fewest
	}
}

// When the master is killed its workers go on for a while. A new master waits for them and takes over.
func TestMasterDies(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--workers", "2", "--orphan-grace", "5s", "--drain-idle", "1s")
	c.KillMaster()
	if _, err := http.Get(c.URL("/plaintext")); err != nil {
		t.Errorf("the orphans do not serve: %v", err)
	}
	next := startCluster(t, "--workers", "1", "--bind", "tcp://"+c.Addr)
	if !strings.Contains(next.Log(), "workers of a dead master hold the address") {
		t.Errorf("the new master did not wait:\n%s", next.Log())
	}
}
