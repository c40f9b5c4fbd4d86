package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/worker"
)

// hoarder is a worker that takes memory and threads, and gives nothing back.
func init() { programs["hoarder"] = hoarder }

func hoarder() {
	var taken atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("/hoard", func(w http.ResponseWriter, r *http.Request) {
		bytes, err := strconv.Atoi(r.URL.Query().Get("bytes"))
		if err == nil && taken.CompareAndSwap(false, true) { // no heap: the garbage collector has nothing to do with it
			_, err = unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE)
		}
		fmt.Fprintln(w, os.Getpid(), err)
	})
	mux.HandleFunc("/stick", func(http.ResponseWriter, *http.Request) { select {} })
	mux.HandleFunc("/limit", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, debug.SetMemoryLimit(-1)) })
	if err := worker.Serve(mux); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// exits counts the workers that left for a reason.
func exits(t *testing.T, c *testCluster, why plan.Reason) (n int) {
	t.Helper()
	for slot := range c.Status().Workers {
		n += int(metric(t, c, fmt.Sprintf(`cluster_worker_exits_total{reason="%v",slot="%d"}`, why, slot)))
	}
	return n
}

// Under load workers are replaced one at a time, and one by request; no request is lost, and never is there one worker fewer.
func TestRecycling(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--workers", "2", "--threads", "3", "--settle", "100ms", "--drain-idle", "300ms", "--recycle-requests", "800")
	old := c.Status().Slots[1].PID
	out := c.Must("restart", "--slot", "1", "--wait=drained")
	if want := fmt.Sprintf("slot 1, pid %d: ", old); !strings.Contains(out, want+"a new worker starts\n") || !strings.HasSuffix(out, ", the old one has left\n") {
		t.Errorf("restart --slot says %q", out)
	}
	if s := c.Status(); s.Generation != 1 || s.Slots[1].PID == old || exits(t, c, plan.Restart) != 1 {
		t.Errorf("%+v", s)
	}
	if _, errs, code := c.Command("restart", "--slot", "7"); code != plan.ExitAborted || !strings.Contains(errs, "there is no slot 7: there are 0 to 1") {
		t.Errorf("restart of a slot that is not there: exit code %d, %q", code, errs)
	}

	l := startLoad(c, 2, 4, 100*time.Millisecond, nil)
	seen := map[int]bool{}
	c.Await("workers have been recycled", func(s api.Status) bool {
		ready := 0
		for _, w := range s.Slots {
			if w.State == plan.Ready.String() {
				ready++
				seen[w.PID] = true
			}
		}
		if ready < 2 || ready > 3 {
			t.Errorf("%d workers are ready; there are to be 2, and at most one that is new beside them", ready)
		}
		return len(seen) >= 2+4
	})
	report := l.stop()
	t.Logf("%d requests on new and %d on kept connections; %v", l.fresh.Load(), l.kept.Load(), report)
	if report.Losses() != 0 || report.ClassCounts["5xx"] != 0 {
		t.Errorf("requests were lost: %v", report)
	}
	if n := exits(t, c, plan.RecycleRequests); n < 2 { // the last ones may still be draining
		t.Errorf("%d workers have left because they were recycled, and %d have been ready", n, len(seen))
	}
	if d := c.Status().Deaths; len(d) != 0 {
		t.Errorf("workers died: %+v", d)
	}
}

// A worker that takes too much memory is replaced before the kernel would kill it.
func TestGreedyWorker(t *testing.T) {
	t.Parallel()
	c := startHoarder(t, "--memory", "256MiB")
	if got, want := askHoarder(t, c, "/limit"), strconv.Itoa((256-32)<<20*9/10); got != want && os.Getenv("GOMEMLIMIT") == "" {
		t.Errorf("the heap of the worker is limited to %s bytes, want %s", got, want)
	}
	greedy := c.Status().Slots[0].PID
	if got := askHoarder(t, c, "/hoard?bytes="+strconv.Itoa(230<<20)); got != fmt.Sprintln(greedy, nil) {
		t.Fatal(got)
	}
	c.Await("the greedy worker has been replaced", func(s api.Status) bool {
		return len(s.Slots) == 1 && s.Slots[0].PID != greedy && s.Slots[0].State == plan.Ready.String() && exits(t, c, plan.RecycleMemory) == 1
	})
	if exits(t, c, plan.OOM) != 0 {
		t.Errorf("%+v", c.Status().Deaths)
	}
}

// A worker whose threads are all stuck is replaced, and killed if it does not leave.
func TestStuckWorker(t *testing.T) {
	t.Parallel()
	c := startHoarder(t, "--request-timeout", "1s")
	stuck := c.Status().Slots[0].PID
	for range 2 {
		go func() { // until its worker is killed
			if res, err := http.Get(c.URL("/stick")); err == nil {
				res.Body.Close()
			}
		}()
	}
	c.Await("the stuck worker drains", func(s api.Status) bool {
		for _, w := range s.Slots {
			if w.PID == stuck && w.Reason == plan.RequestStuck.String() {
				return true
			}
		}
		return false
	})
	askHoarder(t, c, "/limit") // the new one answers
	c.Await("the stuck worker has left", func(s api.Status) bool { return len(s.Slots) == 1 && s.Slots[0].PID != stuck })
	if n := exits(t, c, plan.RequestStuck) + exits(t, c, plan.DrainTimeout); n != 1 {
		t.Errorf("%d workers left because they were stuck", n)
	}
}

// startHoarder starts a cluster of one hoarder with two threads.
func startHoarder(t *testing.T, flags ...string) *testCluster {
	t.Helper()
	flags = append([]string{"--workers", "1", "--threads", "2", "--settle", "100ms", "--drain-timeout", "1s", "--drain-idle", "0s"}, flags...)
	return startCluster(t, append(flags, "--", testBinary(t), "hoarder")...)
}

// askHoarder returns an answer of a new connection's.
func askHoarder(t *testing.T, c *testCluster, path string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(c.URL(path))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestRenewalVerdict(t *testing.T) {
	at := time.Date(2025, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		renewal plan.Renewal
		line    string
		verdict string // empty: it is as wished
	}{
		{plan.Renewal{Outcome: plan.Pending}, "slot 3, pid 42: to be replaced", ""},
		{plan.Renewal{Outcome: plan.Running}, "slot 3, pid 42: a new worker starts", ""},
		{plan.Renewal{Outcome: plan.Pending, Failures: 1, Failure: "exit code 1"}, "slot 3, pid 42: a new worker failed (exit code 1); it is tried again", ""},
		{plan.Renewal{Outcome: plan.Done, Asked: at, Ended: at.Add(1210 * time.Millisecond)}, "slot 3, pid 42: replaced in 1.2s", ""},
		{plan.Renewal{Outcome: plan.Done, Asked: at, Ended: at.Add(time.Second), Drained: true}, "slot 3, pid 42: replaced in 1s, the old one has left", ""},
		{plan.Renewal{Outcome: plan.Superseded}, "slot 3, pid 42: replaced by a restart", ""},
		{plan.Renewal{Outcome: plan.Aborted, Failures: 3, Failure: "exit code 1"}, "slot 3, pid 42: aborted", "not replaced: 3 new workers failed, and the old one stays: exit code 1"},
		{plan.Renewal{Outcome: plan.Cancelled, Failure: "the cluster stops"}, "slot 3, pid 42: cancelled", "not replaced: the cluster stops"},
	} {
		tt.renewal.Slot, tt.renewal.PID = 3, 42
		p := api.RenewalProgress{Renewal: tt.renewal}
		if got := describeRenewal(p); got != tt.line {
			t.Errorf("%q, want %q", got, tt.line)
		}
		var coded *exitError
		switch err := renewalVerdict(p); {
		case tt.verdict == "" && err != nil:
			t.Errorf("%s: %v", tt.line, err)
		case tt.verdict != "" && (!errors.As(err, &coded) || coded.code != plan.ExitAborted || err.Error() != tt.verdict):
			t.Errorf("%s: %v, want %s", tt.line, err, tt.verdict)
		}
	}
}
