package worker

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The clock that a silence is measured with may stand for as long as the quiet pulse: no client is closed on too early.
func TestOverdueIsNotTooEarly(t *testing.T) {
	const limit = 5 * time.Second
	c, _, _ := admitted(t)
	l := *c.m.Limits()
	l.HeadTimeout, l.IdleTimeout = limit, limit
	c.m.SetLimits(l)
	c.m.WatchHeads, c.m.WatchIdle = true, true
	now := c.m.Clock.Now()
	c.idleSince.Store(now - int64(quietPulse))
	for _, reused := range []bool{false, true} {
		c.reused.Store(reused)
		want(t, "overdue in time", c.overdue(now+int64(limit)), false)
		want(t, "overdue in the end", c.overdue(now+int64(limit+quietPulse)), true)
	}
	c.phase.Store(phaseActive)
	want(t, "overdue while a request runs", c.overdue(now+int64(time.Hour)), false)
}

// The same with the engine and the pulse: a connection of each kind, all at once.
func TestEngineTimeouts(t *testing.T) {
	t.Parallel()
	const (
		timeout = lazyAfter + 100*time.Millisecond
		late    = timeout + quietPulse + pulseInterval + time.Second
	)
	w := startWorker(t, http.HandlerFunc(hello), func(s *setup) { s.config.HeadTimeout, s.config.IdleTimeout = timeout, timeout })
	var wg sync.WaitGroup
	defer wg.Wait()
	closesInTime := func(what string, c *client, since time.Time) {
		t.Helper()
		// net/http answers 400 to the beginning of a line, which what is trickled after it may cut off.
		if text, err := io.ReadAll(c.in); err != nil && !errors.Is(err, syscall.ECONNRESET) || len(text) > 0 && !strings.HasPrefix(string(text), "HTTP/1.1 400 ") {
			t.Errorf("%s: %q, %v", what, text, err)
		}
		if took := time.Since(since); took < timeout || took > late {
			t.Errorf("%s: closed after %v, want %v..%v", what, took, timeout, late)
		}
	}
	trickle := func(c *client, closed chan struct{}) {
		for {
			select {
			case <-closed:
				return
			case <-time.After(100 * time.Millisecond):
				c.Write([]byte("x")) // fails once it is closed
			}
		}
	}
	wg.Go(func() {
		started := time.Now()
		closesInTime("silent from the first", dial(t, w.addr), started)
	})
	wg.Go(func() {
		c := dial(t, w.addr)
		started := time.Now()
		c.get("/")
		closesInTime("silent after an answer", c, started)
	})
	for _, what := range []string{"trickled head", "trickled second head"} {
		wg.Go(func() {
			c := dial(t, w.addr)
			started := time.Now()
			if what == "trickled second head" {
				c.get("/")
				passed(started.Add(300 * time.Millisecond))
				started = time.Now()
			}
			c.send("GET /")
			closed := make(chan struct{})
			go trickle(c, closed)
			closesInTime(what, c, started)
			close(closed)
		})
	}
}
