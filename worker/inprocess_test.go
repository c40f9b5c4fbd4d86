package worker

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
)

// together makes a worker the one process of three workers with two threads each.
func together(pool string) func(*setup) {
	return func(s *setup) { s.config.Pool, s.config.Workers, s.config.Threads = pool, 3, 2 }
}

// perPool runs a test for each that bounds how many handlers run.
func perPool(t *testing.T, test func(t *testing.T, pool string)) {
	t.Parallel()
	for _, pool := range []string{"lease", "queue", "lanes"} {
		t.Run(pool, func(t *testing.T) {
			t.Parallel()
			test(t, pool)
		})
	}
}

// share is what one worker of a process has counted.
type share struct{ busy, ok, wrong, refused, panics, durations, waits, open, accepted int64 }

func (m *member) share(worker int) share {
	seat := 2*worker + m.info.Seat
	r := m.board.Row(seat)
	return share{
		int64(m.board.Busy(seat)), r.Requests[1].Load(), r.Requests[4].Load(), r.Refused.Load(), r.Panics.Load(),
		count(&r.Duration), count(&r.Wait), r.Open.Load(), r.Accepted.Load(),
	}
}

// wantShares compares what the workers have counted, once it is so, and that nothing is in the rows of another process.
func (m *member) wantShares(t *testing.T, wanted ...share) {
	t.Helper()
	var got []share
	eventually(t, "the counters", func() bool {
		got = nil
		for i := range wanted {
			got = append(got, m.share(i))
		}
		return fmt.Sprint(got) == fmt.Sprint(wanted)
	})
	for slot := range m.board.Slots() {
		other := 2*slot + 1 - m.info.Seat
		want(t, "answers in the seat of another process", m.board.Row(other).Total(), 0)
		want(t, "busy threads of another process", m.board.Busy(other), 0)
	}
}

// Thread t is counted in the row of worker t ÷ M, and what no thread does in that of the first.
func TestThreadsCountForTheirWorker(t *testing.T) {
	perPool(t, func(t *testing.T, pool string) {
		g := newGate()
		w := startWorker(t, g, together(pool), func(s *setup) { s.config.QueueDepth = 1 })
		clients := make([]*client, 6)
		for i := range clients { // the first free thread is taken
			clients[i] = dial(t, w.addr)
			clients[i].send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n")
			await(t, "the handler", g.entered)
		}
		w.wantShares(t, share{busy: 2, waits: 2, open: 6, accepted: 6}, share{busy: 2, waits: 2}, share{busy: 2, waits: 2}, share{})
		waiting := dial(t, w.addr)
		waiting.send("GET /waiting HTTP/1.1\r\nHost: test\r\n\r\n")
		w.eventuallyWaiting(t, 1)
		refused := dial(t, w.addr)
		want(t, "status", refused.get("/").status, http.StatusServiceUnavailable)
		w.wantShares(t, share{busy: 2, waits: 2, wrong: 1, refused: 1, open: 8, accepted: 8}, share{busy: 2, waits: 2}, share{busy: 2, waits: 2})
		close(g.leave)
		for _, c := range append(clients, waiting) {
			want(t, "status", c.answer("GET").status, http.StatusOK)
		}
		eventually(t, "all answers", func() bool { return w.share(0).ok+w.share(1).ok+w.share(2).ok == 7 })
		for worker := range 3 {
			s := w.share(worker)
			if s.ok < 2 || s.durations != s.ok || s.waits != s.ok || s.busy != 0 {
				t.Errorf("worker %d: %+v", worker, s)
			}
		}
	})
}

// An answer that follows one of a thread on the same connection, but has none itself, is not that thread's.
func TestWhatNoThreadAnswersIsTheProcess(t *testing.T) {
	perPool(t, func(t *testing.T, pool string) {
		g := newGate()
		mux := http.NewServeMux()
		mux.Handle("/held", g)
		mux.HandleFunc("/", hello)
		mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("no reason") })
		mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
			nc, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
				nc.Close()
			}
		})
		w := startWorker(t, mux, together(pool), func(s *setup) { s.config.QueueDepth = 0 })
		hold := func() {
			dial(t, w.addr).send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n")
			await(t, "the handler", g.entered)
		}
		for range 5 {
			hold()
		}
		c := dial(t, w.addr) // has the last thread, of the third worker
		want(t, "status", c.get("/").status, http.StatusOK)
		want(t, "status", dial(t, w.addr).get("/panic").status, http.StatusInternalServerError)
		dial(t, w.addr).get("/hijack")
		eventually(t, "the hijacker", func() bool { return w.board.Row(5).Requests[0].Load() == 1 })
		hold()
		want(t, "status", c.get("/").status, http.StatusServiceUnavailable)
		c.send("this is not HTTP\r\n\r\n")
		want(t, "status", c.answer("GET").status, http.StatusBadRequest)
		eventually(t, "the bad request", func() bool { return w.Row.Requests[3].Load() == 1 })
		first, third := w.share(0), w.share(2)
		want(t, "refused", first.refused, 1)
		want(t, "5xx of the first", first.wrong, 1)
		want(t, "2xx of the third", third.ok, 1)
		want(t, "5xx of the third", third.wrong, 1)
		want(t, "panics of the third", third.panics, 1)
		want(t, "4xx of the third", w.board.Row(5).Requests[3].Load(), 0)
		want(t, "accepted elsewhere", w.share(1).accepted+third.accepted, 0)
		close(g.leave)
	})
}

// So it is where the connection cannot see the answers.
func TestVeiledThreadsCountForTheirWorker(t *testing.T) {
	perVeiledProtocol(t, func(t *testing.T, protocol string) {
		g := newGate()
		mux := http.NewServeMux()
		mux.Handle("/held", g)
		mux.HandleFunc("/", hello)
		mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("no reason") })
		w, base, client := startVeiled(t, protocol, mux, together("queue"))
		results := make(chan error, 4)
		for range 4 {
			go func() {
				a, err := client.Get(base + "/held")
				if err == nil {
					a.Body.Close()
				}
				results <- err
			}()
			await(t, "the handler", g.entered)
		}
		for path, status := range map[string]int{"/": http.StatusOK, "/panic": http.StatusInternalServerError} {
			a, err := client.Get(base + path)
			if err != nil {
				t.Fatal(err)
			}
			a.Body.Close()
			want(t, "status", a.StatusCode, status)
		}
		third := w.share(2)
		want(t, "2xx of the third", third.ok, 1)
		want(t, "5xx of the third", third.wrong, 1)
		want(t, "panics of the third", third.panics, 1)
		want(t, "answers of others", w.board.Row(1).Total()+w.board.Row(3).Total(), 0)
		close(g.leave)
		for range 4 {
			if err := await(t, "an answer", results); err != nil {
				t.Error(err)
			}
		}
		eventually(t, "the answers of the first two", func() bool { return w.share(0).ok == 2 && w.share(1).ok == 2 })
	})
}

// Fewer workers take no thread from a request, more have theirs at once, and each keeps its row.
func TestScalingInProcess(t *testing.T) {
	perPool(t, func(t *testing.T, pool string) {
		g := newGate()
		w := startWorker(t, g, together(pool))
		scale := func(workers int) {
			limits := *w.Limits()
			limits.Workers = workers
			w.do(ipc.Message{Type: ipc.Configure, Limits: &limits}, nil)
		}
		ask := func() { dial(t, w.addr).send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n") }
		for range 6 {
			ask()
			await(t, "the handler", g.entered)
		}
		scale(1)
		ask()
		w.eventuallyWaiting(t, 1)
		for range 6 { // whoever ends first, the four of workers that are gone give none to who waits
			g.leave <- struct{}{}
		}
		await(t, "the handler of who has waited", g.entered)
		w.wantBusy(t, 1, 0, 0, 0)
		ask()
		await(t, "the handler", g.entered)
		ask()
		w.eventuallyWaiting(t, 1)
		w.wantBusy(t, 2, 0, 0, 0)
		scale(4) // who waits has a thread of the second worker now
		await(t, "the handler of who has waited", g.entered)
		for range 5 {
			ask()
			await(t, "the handler", g.entered)
		}
		w.wantBusy(t, 2, 2, 2, 2)
		close(g.leave)
	})
}

func (m *member) wantBusy(t *testing.T, wanted ...int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%v threads to run, by worker", wanted), func() bool {
		for worker, n := range wanted {
			if m.board.Busy(2*worker+m.info.Seat) != n {
				return false
			}
		}
		return true
	})
}

// The access log names the worker whose thread it was.
func TestAccessLogInProcess(t *testing.T) {
	name := filepath.Join(t.TempDir(), "access")
	g := newGate()
	mux := http.NewServeMux()
	mux.Handle("/held", g)
	mux.HandleFunc("/free", hello)
	w := startWorker(t, mux, together("lease"), func(s *setup) { s.accessLog, s.logFormat = name, "text" })
	for range 3 {
		dial(t, w.addr).send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n")
		await(t, "the handler", g.entered)
	}
	dial(t, w.addr).get("/free")
	eventually(t, "the line", func() bool {
		text, _ := os.ReadFile(name)
		return strings.Contains(string(text), "path=/free") && strings.Contains(string(text), " slot=1 ")
	})
	close(g.leave)
}

// One process, in the seats of one parity, which takes what of the limits can be changed while it runs.
func TestProcessInProcess(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "serve", func(h *ipc.Handover) { h.Seat, h.Config.Workers, h.Config.Threads = 1, 2, 3 })
	m.wantReady()
	want(t, "pid in its row", m.row.PID.Load(), int64(m.pid))
	want(t, "state", m.row.State.Load(), scoreboard.StateReady)
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", m.pid))
	want(t, "its name in ps", string(comm), "cluster-workers\n")
	want(t, "error", err, nil)
	want(t, "body", dial(t, m.addr).get("/self").body, fmt.Sprintf("%d {Slot:0 Seat:1 Generation:7 Alone:false}", m.pid))

	limits := testConfig().Limits
	for _, test := range []struct {
		workers, threads int
		part             string
	}{
		{2, 4, "4 threads a worker where there are 3"},
		{0, 3, "no limits that fit a scoreboard of 4 slots × 8 threads"},
		{5, 3, "no limits that fit"},
	} {
		limits.Workers, limits.Threads = test.workers, test.threads
		m.send(ipc.Message{Type: ipc.Configure, Limits: &limits}, nil)
		m.wantMessage(ipc.Message{Type: ipc.Error}, test.part)
	}
	m.send(ipc.Message{Type: ipc.Drain}, nil)
	m.wantLeave("")
}
