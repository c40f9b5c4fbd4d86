package traffic

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Against a real server each client has a connection, or each request.
func TestRealServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/pid" {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]int{"pid": 4211, "slot": 3, "generation": 2})
	}))
	defer server.Close()
	const requests, connections = 1000, 8
	for _, keepAlive := range []bool{true, false} {
		var answers, firsts int
		conns := map[int]int{}
		report := Clients{
			Addr: server.Listener.Addr().String(), Path: "/pid",
			Connections: connections, KeepAlive: keepAlive, Requests: requests,
			OnAnswer: func(a Answer) {
				answers++
				conns[a.Conn]++
				if a.First {
					firsts++
				}
				if a.PID != 4211 || a.Slot != 3 || a.Generation != 2 || a.Port == 0 || a.Request != conns[a.Conn] ||
					a.Started.IsZero() || a.Ended.Before(a.Started) {
					t.Errorf("%+v", a)
				}
			},
		}.Run(context.Background())
		opened := report.Opened
		if keepAlive && opened > connections || !keepAlive && opened != requests {
			t.Errorf("keep-alive %v: %d connections", keepAlive, opened)
		}
		want(t, report, opened, map[Outcome]int64{OK: requests})
		if answers != requests || firsts != len(conns) || int64(firsts) != opened {
			t.Errorf("%d answers, %d firsts, %d connections", answers, firsts, len(conns))
		}
		if classes := map[string]int64{"2xx": requests}; !maps.Equal(report.ClassCounts, classes) {
			t.Errorf("classes %v, want %v", report.ClassCounts, classes)
		}
	}
	report := Clients{Addr: server.Listener.Addr().String(), Requests: 2}.Run(context.Background())
	want(t, report, 2, map[Outcome]int64{OK: 2})
	if report.ClassCounts["4xx"] != 2 {
		t.Errorf("classes %v", report.ClassCounts)
	}
}

func TestErrorKeepsConnection(t *testing.T) {
	addr := serve(t, func(p *peer) {
		for i := 1; p.request() != nil; i++ {
			status := 200
			if i%3 == 0 {
				status = 503
			}
			p.say(answer(status, "x"))
		}
	})
	report := Clients{Addr: addr, KeepAlive: true, Requests: 9}.Run(context.Background())
	want(t, report, 1, map[Outcome]int64{OK: 6, Error5xx: 3})
}

// The server announces the end of the connection with every third answer and leaves it to the client to close.
func TestConnectionCloseHonoured(t *testing.T) {
	var closedByClient atomic.Int32
	addr := serve(t, func(p *peer) {
		p.request()
		p.say(answer(200, "a"))
		p.request()
		p.say(answer(200, "b"))
		p.request()
		p.say(answer(200, "c", "Connection: close"))
		if p.request() == nil {
			closedByClient.Add(1)
		}
	})
	var requests []int
	report := Clients{Addr: addr, KeepAlive: true, Requests: 9, OnAnswer: func(a Answer) {
		requests = append(requests, a.Conn*10+a.Request)
	}}.Run(context.Background())
	want(t, report, 3, map[Outcome]int64{OK: 9})
	for i, got := range requests {
		if want := (i/3+1)*10 + i%3 + 1; got != want {
			t.Errorf("request %d was number %d of connection %d", i, got%10, got/10)
		}
	}
}

// Several clients lose exactly what the server lets fall: every fourth request, by turns in two ways.
func TestExactCounts(t *testing.T) {
	const requests = 400
	var seen atomic.Int64
	addr := serve(t, func(p *peer) {
		for p.request() != nil {
			n := seen.Add(1)
			switch {
			case n%8 == 0:
				p.reset()
				return
			case n%4 == 0:
				p.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
				return
			}
			p.say(answer(200, "x"))
		}
	})
	report := Clients{Addr: addr, Connections: 8, KeepAlive: true, Requests: requests}.Run(context.Background())
	want(t, report, report.Opened, map[Outcome]int64{OK: 300, Reset: 50, Truncated: 50})
	if report.Opened < 100 || report.Opened > 108 {
		t.Errorf("%d connections", report.Opened)
	}
	if len(report.LossList) != maxListed {
		t.Errorf("%d losses listed", len(report.LossList))
	}
	for _, loss := range report.LossList {
		if loss.Conn == 0 || loss.Port == 0 || loss.Request == 0 || loss.Err == nil || loss.Ended.IsZero() {
			t.Errorf("%+v", loss)
		}
	}
	if got := report.ClassCounts["2xx"]; got != 350 {
		t.Errorf("%d answers begun, want 350", got)
	}
}

// What is in flight when the context is cancelled is finished and counted, and nothing is begun after that.
func TestCancel(t *testing.T) {
	for _, keepAlive := range []bool{true, false} {
		const connections = 4
		asked, cancelled := make(chan struct{}, connections), make(chan struct{})
		addr := serve(t, func(p *peer) {
			for p.request() != nil {
				asked <- struct{}{}
				<-cancelled
				p.say(answer(200, "x"))
				if !keepAlive {
					return
				}
			}
		})
		ctx, cancel := context.WithCancel(context.Background())
		var cancelling sync.WaitGroup
		cancelling.Go(func() {
			for range connections {
				<-asked
			}
			cancel()
			close(cancelled)
		})
		report := Clients{Addr: addr, Connections: connections, KeepAlive: keepAlive}.Run(ctx)
		cancelling.Wait()
		want(t, report, connections, map[Outcome]int64{OK: connections})
	}
}

func TestNothingAfterCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	want(t, Clients{Addr: "127.0.0.1:1", Connections: 3}.Run(ctx), 0, nil)
}

func TestPause(t *testing.T) {
	tests := []struct {
		think   time.Duration
		outcome Outcome
		want    time.Duration
	}{
		{0, OK, 0},
		{-time.Second, OK, 0},
		{5 * time.Millisecond, OK, 5 * time.Millisecond},
		{time.Minute, OK, time.Second},
		{0, Refused, pauseAfterRefusal},
		{time.Second, Refused, time.Second},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			r := run{Clients: Clients{Think: func(i int) time.Duration {
				if i != 7 {
					t.Errorf("asked for client %d", i)
				}
				return test.think
			}}}
			began := time.Now()
			r.pause(t.Context(), 7, test.outcome)
			if got := time.Since(began); got != test.want {
				t.Errorf("think %s after %s: paused %s, want %s", test.think, test.outcome, got, test.want)
			}
			cancelled, cancel := context.WithCancel(t.Context())
			cancel()
			began = time.Now()
			r.pause(cancelled, 7, test.outcome)
			if got := time.Since(began); got != 0 {
				t.Errorf("paused %s although cancelled", got)
			}
		})
	}
}

// The request is one write of what HTTP wants.
func TestRequestText(t *testing.T) {
	for _, keepAlive := range []bool{true, false} {
		got := make(chan *http.Request, 1)
		addr := serve(t, func(p *peer) {
			got <- p.request()
			p.say(answer(200, "x", "Connection: close"))
		})
		Clients{Addr: addr, Path: "/io?ms=5", KeepAlive: keepAlive, Requests: 1}.Run(context.Background())
		request := <-got
		if request.Method != "GET" || request.URL.String() != "/io?ms=5" || request.Host != addr || request.Close == keepAlive {
			t.Errorf("keep-alive %v: %+v", keepAlive, request)
		}
	}
}

func TestReadPID(t *testing.T) {
	tests := []struct {
		body string
		want int
	}{
		{`{"pid":12,"slot":1,"generation":4}` + "\n", 12},
		{`{"pid":"x"}`, 0},
		{`{"broken`, 0},
		{"Hello, World!", 0},
		{"", 0},
	}
	for _, test := range tests {
		a := Answer{Outcome: OK, Body: []byte(test.body)}
		if readPID(&a); a.PID != test.want {
			t.Errorf("%q: pid %d, want %d", test.body, a.PID, test.want)
		}
	}
}
