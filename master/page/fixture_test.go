package page

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/metrics"
	"github.com/prefork/cluster/metrics/rates"
)

// fixture is a metrics address: it serves the page, and the stream with what the test sends.
type fixture struct {
	*httptest.Server

	mu      sync.Mutex
	token   string // that a request has to bring; empty: none
	refuses bool   // no stream is served
	status  []byte // the last one; a new stream begins with it
	events  []journal.Event
	streams []chan string // open ones; closed: the stream ends
	lastIDs []string      // that requests came with
}

func serve(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{}
	mux := http.NewServeMux()
	mux.Handle("/page", Handler())
	mux.Handle("/page/", Handler())
	mux.HandleFunc("/v1/stream", f.stream)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		f.cut(true)
		f.Server.Close()
	})
	return f
}

func (f *fixture) host() string { return strings.TrimPrefix(f.URL, "http://") }

func (f *fixture) stream(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	if f.token != "" && r.Header.Get("Authorization") != "Bearer "+f.token {
		f.mu.Unlock()
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if f.refuses {
		f.mu.Unlock()
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, `{"error":"100 clients follow already"}`)
		return
	}
	lastID := r.Header.Get("Last-Event-ID")
	since, _ := strconv.ParseUint(lastID, 10, 64)
	f.lastIDs = append(f.lastIDs, lastID)
	lines := make(chan string, 2000)
	f.streams = append(f.streams, lines)
	if f.status != nil {
		lines <- fmt.Sprintf("event: status\ndata: %s\n\n", f.status)
	}
	for _, e := range f.events {
		if e.ID > since {
			lines <- sent(e)
		}
	}
	f.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	for {
		http.NewResponseController(w).Flush()
		select {
		case line, ok := <-lines:
			if !ok {
				return
			}
			io.WriteString(w, line)
		case <-r.Context().Done():
			return
		}
	}
}

func sent(e journal.Event) string {
	data, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("id: %d\nevent: event\ndata: %s\n\n", e.ID, data)
}

// send shows a status on all streams.
func (f *fixture) send(t *testing.T, s *api.Status) {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status = data
	for _, lines := range f.streams {
		lines <- fmt.Sprintf("event: status\ndata: %s\n\n", data)
	}
}

// tell tells of an event on all streams.
func (f *fixture) tell(e journal.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
	for _, lines := range f.streams {
		lines <- sent(e)
	}
}

// cut ends all streams, and says whether new ones are refused.
func (f *fixture) cut(refuses bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuses = refuses
	for _, lines := range f.streams {
		close(lines)
	}
	f.streams = nil
}

// lastID is what the last request for a stream came with.
func (f *fixture) lastID() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lastIDs[len(f.lastIDs)-1]
}

var epoch = time.Now().Add(-76 * time.Hour)

const mb = 1 << 20

// shop is a cluster as one may find it: it has served for three days, and n seconds ago something has begun to be slow.
func shop(workers, threads, n int) *api.Status {
	s := &api.Status{
		Name: "shop", Version: "1.4.0", PID: 2210, Started: epoch, State: "ready", Mode: "prefork", Dispatch: "handoff",
		Workers: workers, Threads: threads, Generation: 3, Binds: []string{"tcp://0.0.0.0:8080", "unix:///run/shop.sock"},
		Metrics: "127.0.0.1:9394", Control: "/run/shop/control.sock", Program: "/srv/shop/bin/shop",
		Memory: metrics.Memory{PSS: 14 * mb, Anonymous: 9 * mb, RSS: 22 * mb},
		Restart: &plan.Rollout{
			Generation: 3, From: 2, Outcome: plan.Done, Started: time.Now().Add(-42 * time.Minute),
			Ended: time.Now().Add(-42*time.Minute + 21*time.Second), Replaced: workers, Drained: true,
		},
		Deaths: []api.DeathStatus{{Slot: 1, Death: plan.Death{
			Time: time.Now().Add(-11 * time.Minute), PID: 2304, Generation: 3, Reason: "oom",
			Detail: "killed by the kernel for its memory", Open: 12, Uptime: 4213,
		}}},
		Handoff: &api.Handoff{Handoff: metrics.Handoff{
			Moved:    map[string]int64{"pushed": 48210, "hinted": 1204, "drained": 96},
			Received: 49510, Stayed: map[string]int64{"tls": 310},
		}, Shares: make([]float64, workers)},
		Rates: pace(n, float64(workers)*281, 0),
	}
	for slot := range workers {
		s.Slots = append(s.Slots, worker(s, slot, n))
		s.Backlogs = append(s.Backlogs, api.Backlog{Bind: s.Binds[0], Slot: strconv.Itoa(slot), Waiting: slot * 5 % 7, Limit: 4096})
	}
	s.Backlogs = append(s.Backlogs, api.Backlog{Bind: s.Binds[1], Slot: "all", Limit: 4096})
	return s
}

func worker(s *api.Status, slot, n int) api.WorkerStatus {
	w := api.WorkerStatus{
		Slot: slot, Seat: 2*slot + slot%2, Generation: 3, PID: 2300 + 7*slot, State: "ready", Uptime: 2511 - float64(slot*3),
		Threads: s.Threads, Open: int64(180 + 13*slot%40), Requests: int64(8_400_000 + 31_337*slot),
		Memory: metrics.Memory{PSS: int64(61+slot%5) * mb, Anonymous: int64(44+slot%5) * mb, RSS: 90 * mb}, Rates: pace(n, 281, slot),
	}
	paths := []string{"/checkout", "/search", "/product/48213", "/cart", "/"}
	level := int(2.5 + 1.5*math.Sin(float64(n)/19+float64(slot)*1.3))
	for i := range s.Threads {
		thread := api.Thread{State: "free"}
		switch place := (i*2 + slot) % 5; {
		case place < level:
			thread = api.Thread{State: "running", For: float64((i+1)*(n%9+1)) * 0.0137, Method: "GET", Path: paths[(i+slot+n)%len(paths)]}
			w.Busy++
		case place == 4 && slot == 0:
			thread.State = "reserved"
		}
		w.ThreadList = append(w.ThreadList, thread)
	}
	if w.Busy == w.Threads {
		w.Waiting = int64(slot%3 + 1)
	}
	return w
}

// pace is how fast it goes, and where the time goes, by the second and the slot.
func pace(n int, base float64, slot int) rates.Rates {
	x := float64(n)
	wave := 1 + 0.12*math.Sin(x/31+float64(slot)) + 0.05*math.Sin(x/7)
	slow := 0.0
	if n%150 > 95 && n%150 < 125 {
		slow = 1
	}
	p50 := 0.0041 * wave * (1 + slow*0.7)
	queue := 0.04 + 0.18*slow
	r := rates.Rates{
		Window: 10, Requests: base * wave * (1 - 0.2*slow), Errors: 1.4 * slow, CPUs: 0.31 * wave * base / 281,
		Duration: rates.Quantiles{P50: p50, P90: 3 * p50, P99: 9.2 * p50, P999: 21 * p50},
		Wait:     rates.Quantiles{P50: 0.00004, P90: 0.0008, P99: 0.0031 * (1 + 8*slow), P999: 0.011},
		Time: rates.Split{InFlight: base * wave * 0.0079, Parts: []rates.Part{
			{Name: rates.IO, Share: 0.63 - queue},
			{Name: rates.CPU, Share: 0.24},
			{Name: rates.Queue, Share: queue},
			{Name: rates.Scheduler, Share: 0.06},
			{Name: rates.RunQueue, Share: 0.04},
			{Name: rates.GC, Share: 0.03},
		}},
	}
	slices.SortFunc(r.Time.Parts, func(a, b rates.Part) int { return cmp.Compare(b.Share, a.Share) })
	return r
}

// happenings are events as a cluster tells of them.
func happenings() []journal.Event {
	at := func(minutes float64) time.Time { return time.Now().Add(-time.Duration(minutes * float64(time.Minute))) }
	return []journal.Event{
		{ID: 1, Time: at(42), Level: "info", Name: "restart_begun", Message: "a rolling restart begins", Fields: map[string]any{"generation": 3}},
		{ID: 2, Time: at(41.7), Level: "info", Name: "worker_ready", Message: "the worker serves", Fields: map[string]any{"slot": 0, "seat": 0, "pid": 2300, "generation": 3, "took": "312ms"}},
		{ID: 3, Time: at(41.6), Level: "info", Name: "restart_done", Message: "the restart is done", Fields: map[string]any{"generation": 3, "took": "21.4s"}},
		{ID: 4, Time: at(19), Level: "warn", Name: "worker_stalled", Message: "the worker shows no sign of life", Fields: map[string]any{"slot": 2, "pid": 2314, "silent": "5.2s"}},
		{ID: 5, Time: at(18.9), Level: "info", Name: "worker_recovered", Message: "the worker shows signs of life again", Fields: map[string]any{"slot": 2, "pid": 2314}},
		{ID: 6, Time: at(11), Level: "error", Name: "worker_died", Message: "the worker died", Fields: map[string]any{
			"slot": 1, "seat": 2, "pid": 2304, "generation": 3, "reason": "oom", "open": 12, "status": "signal: killed",
			"output": []string{"2026/11/22 23:10:41 cache: 1.9 GB in 48213 entries", "2026/11/22 23:10:42 cache: 2.0 GB in 50110 entries"},
		}},
		{ID: 7, Time: at(10.9), Level: "info", Name: "worker_ready", Message: "the worker serves", Fields: map[string]any{"slot": 1, "seat": 3, "pid": 2307, "generation": 3, "took": "298ms"}},
		{ID: 8, Time: at(0.5), Level: "info", Name: "reload_unchanged", Message: "the configuration was read and nothing in it has changed"},
	}
}
