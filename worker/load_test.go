package worker

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prefork/cluster/internal/traffic"
)

// Workers follow each other on one listener, new before old, under load: no client notices.
func TestNothingIsLostWhenWorkersFollowEachOther(t *testing.T) {
	t.Parallel()
	const rounds = 4
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rand.IntN(10) == 0 {
			<-time.After(time.Duration(rand.IntN(3000)) * time.Microsecond)
		}
		hello(w, r)
	})
	kept := listenLocal(t) // the master's
	next := func() *testWorker {
		return startWorker(t, handler, func(s *setup) { s.listeners = []net.Listener{duplicate(t, kept)} })
	}
	worker := next()

	// Each speaks more often than drain-idle, which is a minute here.
	think := func(int) time.Duration { return time.Duration(rand.IntN(15_000)) * time.Microsecond }
	groups := []traffic.Clients{
		{Connections: 12, KeepAlive: true, Think: think},
		{Connections: 4, KeepAlive: true}, // always another request
		{Connections: 6},                  // always another connection
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var answers progress
	var mu sync.Mutex
	var total traffic.Report
	var clients sync.WaitGroup
	for _, group := range groups {
		group.Addr = kept.Addr().String()
		group.OnAnswer = answers.count
		clients.Go(func() {
			report := group.Run(ctx)
			mu.Lock()
			defer mu.Unlock()
			total.Merge(report)
		})
	}
	var counted, accepted int64
	for range rounds {
		answers.await(t, 300)
		old := worker
		worker = next()
		old.order(order{})
		old.wantResult(t)
		counted += old.Row.Total()
		accepted += old.Row.Accepted.Load()
	}
	answers.await(t, 300)
	stop()
	clients.Wait()
	counted += worker.Row.Total()
	accepted += worker.Row.Accepted.Load()

	t.Log(total)
	if total.Losses() != 0 {
		t.Error("requests were lost")
	}
	want(t, "answers counted by the workers", counted, total.ClassCounts["2xx"])
	want(t, "accepted by the workers", accepted, total.Opened)
	if total.Counts[traffic.ClosedIdle] != 0 {
		t.Errorf("%d connections were closed while their client was thinking", total.Counts[traffic.ClosedIdle])
	}
}

// progress counts answers, of several groups of clients.
type progress struct {
	mu sync.Mutex
	n  int
}

func (p *progress) count(traffic.Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
}

func (p *progress) seen() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// await returns after so many more answers.
func (p *progress) await(t *testing.T, n int) {
	t.Helper()
	enough := p.seen() + n
	eventually(t, "answers", func() bool { return p.seen() >= enough })
}
