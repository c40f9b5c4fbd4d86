package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prefork/cluster/internal/traffic"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/worker"
)

// long answers with 60 KiB, which the buffer of a response holds.
func init() {
	programs["long"] = func() {
		text := strings.Repeat("x", 60<<10)
		err := worker.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if r.URL.Path == "/long" {
				_, _ = io.WriteString(w, text)
			}
		}))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// 200 clients that trickle a head, or a body, or the reading of an answer, and 6 threads: others do not notice.
func TestSlowClientsHoldNoThread(t *testing.T) {
	c := startCluster(t, "--workers", "2", "--threads", "3", "--", testBinary(t), "long")
	kinds := []struct{ whole, trickle string }{
		{"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", "x"},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n", "x"},
		{"GET /long HTTP/1.1\r\nHost: a\r\n\r\n", ""}, // and reads nothing
	}
	stop := make(chan struct{})
	var slow sync.WaitGroup
	defer slow.Wait()
	defer close(stop)
	for i := range 200 {
		kind := kinds[i%len(kinds)]
		nc, err := net.Dial("tcp", c.Addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.(*net.TCPConn).SetReadBuffer(4 << 10)
		if _, err := io.WriteString(nc, kind.whole); err != nil {
			t.Fatal(err)
		}
		slow.Go(func() {
			defer nc.Close()
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					if _, err := io.WriteString(nc, kind.trickle); err != nil {
						t.Errorf("a slow client was cut off: %v", err)
						return
					}
				case <-stop:
					return
				}
			}
		})
	}
	c.Await("all slow clients are there and no thread is busy", func(s api.Status) bool {
		open, busy := int64(0), 0
		for _, w := range s.Slots {
			open += w.Open
			busy += w.Busy
		}
		return open == 200 && busy == 0
	})
	var longest time.Duration
	report := traffic.Clients{Addr: c.Addr, Connections: 4, Requests: 2000, OnAnswer: func(a traffic.Answer) { longest = max(longest, a.Ended.Sub(a.Started)) }}.
		Run(context.Background())
	t.Logf("%v; the longest took %v", report, longest)
	if report.Losses() != 0 || report.ClassCounts["2xx"] != 2000 {
		t.Errorf("others were not served: %v", report)
	}
	if longest > 5*time.Second {
		t.Errorf("one request of the others took %v", longest)
	}
}
