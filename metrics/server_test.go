package metrics

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestHealth(t *testing.T) {
	for name, tt := range map[string]struct {
		ready    int
		stopping bool
		livez    int
		readyz   int
		says     string
	}{
		"ready":                    {ready: 3, livez: 200, readyz: 200, says: "ready\n"},
		"one slot is ready":        {ready: 1, livez: 200, readyz: 200, says: "ready\n"},
		"no worker":                {livez: 200, readyz: 503, says: "no worker is ready\n"},
		"draining":                 {ready: 3, stopping: true, livez: 200, readyz: 503, says: "draining\n"},
		"draining, no worker left": {stopping: true, livez: 200, readyz: 503, says: "draining\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 3, 1)
			f.set(func(v *View) { v.Ready, v.Stopping = tt.ready, tt.stopping })
			h := Handler(f, noMemory(f))
			live := get(t, h, "/livez")
			if live.Code != tt.livez || live.Body.String() != "alive\n" {
				t.Errorf("/livez: %d %q", live.Code, live.Body)
			}
			ready := get(t, h, "/readyz")
			if ready.Code != tt.readyz || ready.Body.String() != tt.says {
				t.Errorf("/readyz: %d %q, want %d %q", ready.Code, ready.Body, tt.readyz, tt.says)
			}
			for _, w := range []*httptest.ResponseRecorder{live, ready} {
				if w.Header().Get("Cache-Control") != "no-store" || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
					t.Errorf("headers %v", w.Header())
				}
			}
			if w := get(t, h, "/metrics"); w.Code != http.StatusOK {
				t.Errorf("/metrics: %d %s", w.Code, w.Body) // in every state
			}
		})
	}
}

func TestOtherPagesAndMethods(t *testing.T) {
	f := newFake(t, 1, 1)
	h := Handler(f, noMemory(f))
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{http.MethodHead, "/metrics", 200},
		{http.MethodHead, "/livez", 200},
		{http.MethodPost, "/metrics", 405},
		{http.MethodPost, "/readyz", 405},
		{http.MethodGet, "/", 404},
		{http.MethodGet, "/metrics/x", 404},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
		if w.Code != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, w.Code, tt.status)
		}
	}
}

// Any number of servers may scrape while workers count, come and go, and slots are added. No counter goes back.
func TestConcurrentScrapes(t *testing.T) {
	f := newFake(t, 1, 2)
	h := Handler(f, noMemory(f))
	stop := make(chan struct{})
	var writers, scrapers sync.WaitGroup
	for slot := range 2 {
		writers.Go(func() { // the worker of a slot
			for i := int64(0); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				row, cell := f.view.Board.Row(2*slot+int(i%2)), f.view.Board.Cell(2*slot+int(i%2), 0)
				cell.Take()
				row.Answer(200)
				row.Duration.Observe(i % 1e9)
				row.Wait.Observe(i % 1e6)
				cell.Give()
			}
		})
	}
	writers.Go(func() { // the master
		for pid := 1000; ; pid++ {
			select {
			case <-stop:
				return
			default:
			}
			f.grow(1 + pid%8)
			f.set(func(v *View) {
				v.Workers = []Worker{{PID: pid, State: "ready", Serves: true, Threads: 4}, {Seat: 1, PID: pid + 1, State: "draining"}}
			})
			f.view.Board.Clear(1)
		}
	})
	for range 4 {
		scrapers.Go(func() {
			last := sample{}
			for range 10 {
				w := get(t, h, "/metrics")
				if w.Code != http.StatusOK {
					t.Errorf("status %d: %s", w.Code, w.Body)
					return
				}
				found := 0
				for line := range strings.Lines(w.Body.String()) {
					series, text, _ := strings.Cut(strings.TrimSpace(line), " ") // no label of a counter has a space here
					if !last.counts(series) {
						continue
					}
					value, err := strconv.ParseFloat(text, 64)
					if err != nil || value < last[series] {
						t.Errorf("%s went from %v to %q (%v)", series, last[series], text, err)
					}
					last[series] = value
					found++
				}
				if found == 0 || found < len(last) {
					t.Errorf("%d of %d series are gone", len(last)-found, len(last))
				}
			}
		})
	}
	scrapers.Wait()
	close(stop)
	writers.Wait()
}
