package worker

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prefork/cluster/internal/traffic"
	"github.com/prefork/cluster/ipc/scoreboard"
)

func TestStatusOf(t *testing.T) {
	for _, test := range []struct {
		text   string
		status int
		ok     bool
	}{
		{"HTTP/1.1 200 OK\r\n", 200, true},
		{"HTTP/1.0 404 Not Found\r\n", 404, true},
		{"HTTP/1.1 100 Continue\r\n\r\n", 100, true},
		{"HTTP/1.1 599", 599, true},
		{"HTTP/1.1 000 0", 0, true},
		{"HTTP/1.1 20", 0, false},
		{"HTTP/1.1 2x0 OK", 0, false},
		{"HTTP/1.1 -20 OK", 0, false},
		{"HTTP/2.0 200 OK", 0, false},
		{"http/1.1 200 OK", 0, false},
		{"PRI * HTTP/2.0\r\n", 0, false},
		{"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00", 0, false},
		{"hello, world", 0, false},
		{"", 0, false},
	} {
		if status, ok := statusOf([]byte(test.text)); status != test.status || ok != test.ok {
			t.Errorf("%q: %d, %v; want %d, %v", test.text, status, ok, test.status, test.ok)
		}
	}
}

// exchange is what goes over a connection of its own, and which classes of answers it counts.
type exchange struct {
	name    string
	text    string
	status  []int // of the answers, interim ones too
	counted [scoreboard.Classes]int64
}

var exchanges = []exchange{
	{"200", "GET /status/200 HTTP/1.1\r\nHost: t\r\n\r\n", []int{200}, [5]int64{0, 1}},
	{"nothing written", "GET /nothing HTTP/1.1\r\nHost: t\r\n\r\n", []int{200}, [5]int64{0, 1}},
	{"204", "GET /status/204 HTTP/1.1\r\nHost: t\r\n\r\n", []int{204}, [5]int64{0, 1}},
	{"302", "GET /status/302 HTTP/1.1\r\nHost: t\r\n\r\n", []int{302}, [5]int64{0, 0, 1}},
	{"304", "GET /status/304 HTTP/1.1\r\nHost: t\r\n\r\n", []int{304}, [5]int64{0, 0, 1}},
	{"404", "GET /status/404 HTTP/1.1\r\nHost: t\r\n\r\n", []int{404}, [5]int64{0, 0, 0, 1}},
	{"500", "GET /status/500 HTTP/1.1\r\nHost: t\r\n\r\n", []int{500}, [5]int64{0, 0, 0, 0, 1}},
	{"999", "GET /status/999 HTTP/1.1\r\nHost: t\r\n\r\n", []int{999}, [5]int64{0, 0, 0, 0, 1}},
	{"HEAD", "HEAD /status/200 HTTP/1.1\r\nHost: t\r\n\r\n", []int{200}, [5]int64{0, 1}},
	{"HTTP/1.0", "GET /status/200 HTTP/1.0\r\n\r\n", []int{200}, [5]int64{0, 1}},
	{"flushed", "GET /flush HTTP/1.1\r\nHost: t\r\n\r\n", []int{200}, [5]int64{0, 1}},
	{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n", []int{200}, [5]int64{0, 1}},
	{"body", "POST /read HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n12345", []int{200}, [5]int64{0, 1}},
	{"100", "POST /read HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n12345", []int{100, 200}, [5]int64{0, 1}},
	{"100 refused", "POST /status/403 HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", []int{403}, [5]int64{0, 0, 0, 1}},
	{"103", "GET /early HTTP/1.1\r\nHost: t\r\n\r\n", []int{103, 103, 200}, [5]int64{0, 1}},
	{"hijacked", "GET /hijack HTTP/1.1\r\nHost: t\r\n\r\n", []int{101}, [5]int64{1}},
	{"101, then hijacked", "GET /upgrade HTTP/1.1\r\nHost: t\r\n\r\n", []int{101}, [5]int64{1}},
	{"three pipelined", strings.Repeat("GET /status/200 HTTP/1.1\r\nHost: t\r\n\r\n", 3), []int{200, 200, 200}, [5]int64{0, 3}},
	{"pipelined after a body", "POST /status/200 HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n12345GET /status/404 HTTP/1.1\r\nHost: t\r\n\r\n", []int{200, 404}, [5]int64{0, 1, 0, 1}},

	// What net/http refuses by itself.
	{"400", "GET / HTTP/1.1\r\n\r\n", []int{400}, [5]int64{0, 0, 0, 1}},
	{"no HTTP", "hello\r\n\r\n", []int{400}, [5]int64{0, 0, 0, 1}},
	{"417", "GET / HTTP/1.1\r\nHost: t\r\nExpect: miracles\r\n\r\n", []int{417}, [5]int64{0, 0, 0, 1}},
	{"431", "GET / HTTP/1.1\r\nHost: t\r\nX: " + strings.Repeat("x", 8<<10) + "\r\n\r\n", []int{431}, [5]int64{0, 0, 0, 1}},
	{"501", "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: smoke\r\n\r\n", []int{501}, [5]int64{0, 0, 0, 0, 1}},
	{"505", "GET / HTTP/3.0\r\nHost: t\r\n\r\n", []int{505}, [5]int64{0, 0, 0, 0, 1}},
	{"400 after 200", "GET /status/200 HTTP/1.1\r\nHost: t\r\n\r\nGET / HTTP/1.1\r\n\r\n", []int{200, 400}, [5]int64{0, 1, 0, 1}},
	{"silence", "", nil, [5]int64{}},
}

// exchangeHandler does what the path says.
func exchangeHandler(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/nothing":
		case "/flush":
			hello(w, r)
			w.(http.Flusher).Flush()
			w.(http.Flusher).Flush()
			hello(w, r)
		case "/read":
			if body, err := io.ReadAll(r.Body); string(body) != "12345" || err != nil {
				t.Errorf("read %q, %v", body, err)
			}
		case "/early":
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusEarlyHints)
			hello(w, r)
		case "/upgrade", "/hijack":
			if r.URL.Path == "/upgrade" {
				w.WriteHeader(http.StatusSwitchingProtocols)
			}
			nc, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer nc.Close()
			if r.URL.Path == "/hijack" {
				io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			}
			io.WriteString(nc, "HTTP/1.1 200 OK\r\n\r\nnot an answer any more")
		default:
			var status int
			if _, err := fmt.Sscanf(r.URL.Path, "/status/%d", &status); err != nil {
				t.Errorf("path %s: %v", r.URL.Path, err)
			}
			w.WriteHeader(status)
		}
	}
}

// Every answer counts once, in the class that the client sees.
func TestEveryAnswerCountsOnce(t *testing.T) {
	t.Parallel()
	for _, x := range exchanges {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			w := startWorker(t, exchangeHandler(t), func(s *setup) { s.server.MaxHeaderBytes = 1 })
			c := dial(t, w.addr)
			c.send(x.text)
			method, _, _ := strings.Cut(x.text, " ")
			for _, status := range x.status {
				want(t, "status", c.answer(method).status, status)
			}
			c.CloseWrite()
			eventually(t, "the connection to be closed", func() bool { return w.Row.Accepted.Load() == 1 && w.Row.Open.Load() == 0 })
			want(t, "answers by class", w.answers(), x.counted)
		})
	}
}

// The cluster's counts are the clients' counts.
func TestCountsEqualTheClients(t *testing.T) {
	t.Parallel()
	statuses := []int{200, 200, 200, 201, 204, 301, 304, 400, 404, 500, 503}
	var n atomic.Int64
	w := startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(statuses[int(n.Add(1))%len(statuses)])
	}))
	var total traffic.Report
	for _, keepAlive := range []bool{true, false} {
		total.Merge(traffic.Clients{Addr: w.addr, Connections: 8, KeepAlive: keepAlive, Requests: 1000}.Run(t.Context()))
	}
	if total.Losses() != int(total.ClassCounts["5xx"]) {
		t.Error(total)
	}
	for i, counted := range w.answers() {
		class := fmt.Sprintf("%dxx", i+1)
		want(t, class, counted, total.ClassCounts[class])
	}
	want(t, "accepted", w.Row.Accepted.Load(), total.Opened)
	eventually(t, "all connections to be closed", func() bool { return w.Row.Open.Load() == 0 })
}
