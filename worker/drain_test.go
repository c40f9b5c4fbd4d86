package worker

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/nethttp"
)

// An idle connection may speak once more, and learns then that it was the last time.
func TestDrainAnswersOnceMore(t *testing.T) {
	w := startWorker(t, http.HandlerFunc(hello))
	spoke, fresh := dial(t, w.addr), dial(t, w.addr)
	want(t, "Connection: close before", spoke.get("/").close, false)
	eventually(t, "both to be accepted", func() bool { return w.Row.Accepted.Load() == 2 })
	w.drain(t, order{})
	want(t, "state", w.Row.State.Load(), scoreboard.StateDraining)
	for _, c := range []*client{spoke, fresh} {
		a := c.get("/")
		want(t, "body", a.body, "hello")
		want(t, "Connection: close", a.close, true)
		c.wantEOF()
	}
	w.wantResult(t)
}

// A silent connection is closed when drain-idle is over, and not before.
func TestDrainIdle(t *testing.T) {
	t.Parallel()
	const idle = 400 * time.Millisecond
	w := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.config.DrainIdle = idle })
	spoke, fresh := dial(t, w.addr), dial(t, w.addr)
	spoke.get("/")
	eventually(t, "both to be accepted", func() bool { return w.Row.Accepted.Load() == 2 })
	started := time.Now()
	w.order(order{})
	for _, c := range []*client{spoke, fresh} {
		c.wantEOF()
		if took := time.Since(started); took < idle || took > idle+3*pulseInterval+2*time.Second {
			t.Errorf("closed after %v, want some time after %v", took, idle)
		}
	}
	w.wantResult(t)
	want(t, "open", w.Row.Open.Load(), 0)
}

// What runs when the drain begins is finished, and drain-idle begins anew after it.
func TestDrainFinishesWhatRuns(t *testing.T) {
	g := newGate()
	w := startWorker(t, g)
	c := dial(t, w.addr)
	c.send("GET /running HTTP/1.1\r\nHost: test\r\n\r\n")
	await(t, "the handler", g.entered)
	w.drain(t, order{})
	w.age(time.Hour)
	g.leave <- struct{}{}
	want(t, "body", c.answer("GET").body, "/running")
	w.pulse()
	go func() { g.leave <- struct{}{} }()
	a := c.get("/again")
	want(t, "body", a.body, "/again")
	want(t, "Connection: close", a.close, true)
	w.wantResult(t)
}

// The client that has begun a request may finish it, even if that takes longer than drain-idle.
func TestDrainServesAHalfSentHead(t *testing.T) {
	w := startWorker(t, http.HandlerFunc(hello))
	fresh, reused, pipelined := dial(t, w.addr), dial(t, w.addr), dial(t, w.addr)
	fresh.send("GET / HTTP/1.1\r\n")
	reused.get("/")
	reused.send("G")
	pipelined.send("GET / HTTP/1.1\r\nHost: test\r\n\r\nGET / HT")
	pipelined.answer("GET")
	rest := map[*client]string{fresh: "Host: test\r\n\r\n", reused: "ET / HTTP/1.1\r\nHost: test\r\n\r\n", pipelined: "TP/1.1\r\nHost: test\r\n\r\n"}
	eventually(t, "all of it to arrive", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		begun := 0
		for c := range w.conns {
			if c.phase.Load() == phaseIdle && c.readable.Load() != 0 {
				begun++
			}
		}
		return begun == len(rest)
	})
	w.drain(t, order{})
	w.age(time.Hour)
	for c, text := range rest {
		c.send(text)
		a := c.answer("GET")
		want(t, "body", a.body, "hello")
		want(t, "Connection: close", a.close, true)
		c.wantEOF()
	}
	w.wantResult(t)
}

func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	g := newGate()
	t.Cleanup(func() { close(g.leave) })
	var exited bool
	w := startWorker(t, g, func(s *setup) {
		s.config.DrainTimeout = 200 * time.Millisecond
		s.options = []Option{OnExit(func() { exited = true })}
	})
	for range 2 {
		dial(t, w.addr).send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
		await(t, "the handler", g.entered)
	}
	started := time.Now()
	w.order(order{})
	w.wantResult(t, "2 connections were still open", "200ms")
	if took := time.Since(started); took < 200*time.Millisecond {
		t.Errorf("left after %v", took)
	}
	want(t, "OnExit ran", exited, true)
}

// Hooks run in order: before ready, after the last accept, and when no connection is left.
func TestHooksInOrder(t *testing.T) {
	var w *testWorker
	var seen []string
	note := func(what string) { seen = append(seen, what) }
	drains := make(chan struct{})
	w = startWorker(t, http.HandlerFunc(hello), func(s *setup) {
		s.options = []Option{
			OnBoot(func(i Info) error { note("boot of slot " + string(rune('0'+i.Slot))); return nil }),
			OnBoot(func(Info) error { note("boot again"); return nil }),
			OnExit(func() { note("exit") }),
			OnDrain(func() {
				select {
				case <-w.drained:
					note("drain")
				default:
					note("drain while accepting")
				}
				if w.Row.Open.Load() != 1 {
					note("no connection left")
				}
			}),
			OnDrain(func() { note("drain again"); close(drains) }),
			OnExit(func() {
				if w.Row.Open.Load() != 0 {
					note("a connection was left")
				}
				note("exit again")
			}),
		}
	})
	c := dial(t, w.addr)
	c.get("/")
	w.order(order{})
	await(t, "OnDrain", drains)
	c.Close()
	w.wantResult(t)
	if wanted := []string{"boot of slot 0", "boot again", "drain", "drain again", "exit", "exit again"}; !slices.Equal(seen, wanted) {
		t.Errorf("hooks: %q, want %q", seen, wanted)
	}
}

// A worker whose OnBoot fails accepts nothing.
func TestOnBootFails(t *testing.T) {
	m := newTestMember(testConfig(), listenLocal(t))
	m.options = collect([]Option{
		OnBoot(func(Info) error { return errors.New("no database") }),
		OnBoot(func(Info) error { t.Error("the next hook was called"); return nil }),
		OnExit(func() { t.Error("OnExit was called") }),
	})
	m.engine = nethttp.New(&m.Worker, &http.Server{})
	wantError(t, m.run(), "worker: boot: no database")
	want(t, "state", m.Row.State.Load(), scoreboard.StateBoot)
	want(t, "sources", len(m.sources), 0)
}

// A hook that hangs keeps the worker for no longer than it may.
func TestHangingHooks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		hook  func(func()) Option
		least time.Duration
		log   string
	}{
		"OnExit":  {OnExit, time.Second, "OnExit hook runs for longer than a second"},
		"OnDrain": {OnDrain, 200 * time.Millisecond, "OnDrain hook runs for longer than the drain timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hang := make(chan struct{})
			t.Cleanup(func() { close(hang) })
			w := startWorker(t, http.HandlerFunc(hello), func(s *setup) {
				s.config.DrainTimeout = 200 * time.Millisecond
				s.options = []Option{test.hook(func() { <-hang })}
			})
			started := time.Now()
			w.order(order{})
			w.wantResult(t)
			if took := time.Since(started); took < test.least || took > test.least+3*time.Second {
				t.Errorf("left after %v, want %v", took, test.least)
			}
			if !strings.Contains(w.log.String(), test.log) {
				t.Errorf("the log says %q", w.log)
			}
		})
	}
}
