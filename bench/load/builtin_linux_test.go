package load

import (
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mustRun runs a plan that the server at addr is asked with.
func mustRun(t *testing.T, addr string, p Plan) Result {
	t.Helper()
	if p.Path == "" {
		p.Path = "/"
	}
	r, err := Run(t.Context(), addr, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every outcome comes out exactly as often as the server brings it about.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	const requests, connections = 400, 8
	every := func(n int64, act, otherwise func(e *exchange) bool) func(e *exchange) bool {
		return func(e *exchange) bool {
			if e.n%n == 0 {
				return act(e)
			}
			return otherwise(e)
		}
	}
	says := func(goOn bool, texts ...string) func(e *exchange) bool {
		return func(e *exchange) bool {
			for _, text := range texts {
				e.say(text)
			}
			return goOn
		}
	}
	tests := []struct {
		name   string
		handle func(e *exchange) bool
		want   counts
		opened int64 // at least; the others are at most one a connection more
		first  string
	}{
		{"fine", fine, counts{"ok": 400}, 0, ""},
		{"announced close", every(4, says(false, answer(200, "x", "Connection: close")), fine), counts{"ok": 400}, 100, ""},
		{"announced close, left to the client", every(4, says(true, answer(200, "x", "connection: foo, Close")), fine), counts{"ok": 400}, 100, ""},
		{"5xx", every(4, says(true, answer(503, "")), fine), counts{"ok": 300, "5xx": 100}, 0, "status 503"},
		{"4xx", every(8, says(true, answer(404, "no")), fine), counts{"ok": 350, "4xx": 50}, 0, "status 404"},
		{"redirects", says(true, answer(302, "")), counts{"ok": 400}, 0, ""},
		{"reset", every(8, func(e *exchange) bool { e.reset(); return false }, fine), counts{"ok": 350, "reset": 50}, 50, "reset by peer"},
		{"empty", every(8, says(false), fine), counts{"ok": 350, "empty": 50}, 50, "closed the connection"},
		{"truncated head", every(8, says(false, "HTTP/1.1 200 O"), fine), counts{"ok": 350, "truncated": 50}, 50, "after 14 bytes"},
		{"truncated body", every(8, says(false, answer(200, "four")[:40]), fine), counts{"ok": 350, "truncated": 50}, 50, "closed the connection"},
		{"truncated chunks", every(8, says(false, chunkedHead+"4\r\nfour\r\n"), fine), counts{"ok": 350, "truncated": 50}, 50, "closed"},
		{"garbled", every(8, says(true, "220 mail.example ESMTP\r\n"), fine), counts{"ok": 350, "garbled": 50}, 50, "220 mail"},
		{"surplus", every(8, says(true, answer(200, "x")+"y"), fine), counts{"ok": 350, "garbled": 50}, 50, `"y" after the end`},
		{"chunked", says(true, chunkedHead+"4\r\nfour\r\n", "0\r\n\r\n"), counts{"ok": 400}, 0, ""},
		{"until the end", says(false, "HTTP/1.1 200 OK\r\n\r\nto the end"), counts{"ok": 400}, 400, ""},
		{"HTTP/1.0", says(false, "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1"), counts{"ok": 400}, 400, ""},
		{"HTTP/1.0 keep-alive", says(true, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n1"), counts{"ok": 400}, 0, ""},
		{"interim", says(true, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", answer(200, "x")), counts{"ok": 400}, 0, ""},
		{"no content", says(true, "HTTP/1.1 204 No Content\r\n\r\n"), counts{"ok": 400}, 0, ""},
		{"large", says(true, answer(200, strings.Repeat("x", 300_000))), counts{"ok": 400}, 0, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "tcp", true, test.handle)
			r := mustRun(t, s.addr, Plan{Connections: connections, Requests: requests})
			if !maps.Equal(r.Outcomes, test.want) {
				t.Errorf("outcomes %v, want %v; first: %s", r.Outcomes, test.want, r.First)
			}
			if got := s.requests.Load(); got != requests {
				t.Errorf("the server read %d requests", got)
			}
			if want := test.want["ok"] + test.want["4xx"] + test.want["5xx"]; r.Answered != want || r.Latency.Count != want {
				t.Errorf("%d answered, %d latencies, want %d", r.Answered, r.Latency.Count, want)
			}
			if r.Opened < test.opened || r.Opened > test.opened+connections {
				t.Errorf("%d connections opened, want %d to %d", r.Opened, test.opened, test.opened+connections)
			}
			if (r.First == "") != (test.first == "") || !strings.Contains(r.First, test.first) {
				t.Errorf("first failure %q, want %q in it", r.First, test.first)
			}
			if r.Late != nil || r.Wait != nil || r.Elapsed <= 0 || r.CPU <= 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

const chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

// What the generator counts as answered is what the server counts, on whichever transport and in either loop.
func TestServerCountsTheSame(t *testing.T) {
	t.Parallel()
	body := answer(200, "Hello, World!")
	for name, p := range map[string]Plan{
		"closed":   {Connections: 16, Duration: 300 * time.Millisecond},
		"requests": {Connections: 16, Requests: 5000},
		"few":      {Connections: 16, Requests: 3},
		"fresh":    {Connections: 4, Requests: 2000, Fresh: true},
		"poisson":  {Connections: 16, Duration: 300 * time.Millisecond, Rate: 2000, Seed: 7},
		"constant": {Connections: 16, Duration: 300 * time.Millisecond, Rate: 1000, Arrivals: Constant},
		"open":     {Connections: 4, Requests: 300, Rate: 2000, Fresh: true},
	} {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(name+" "+network, func(t *testing.T) {
				t.Parallel()
				s := serve(t, network, true, fine)
				r := mustRun(t, s.addr, p)
				if r.Answered != s.requests.Load() || !maps.Equal(r.Outcomes, counts{"ok": r.Answered}) {
					t.Errorf("outcomes %v, %d answered, the server read %d; first: %s", r.Outcomes, r.Answered, s.requests.Load(), r.First)
				}
				if r.Bytes != r.Answered*int64(len(body)) {
					t.Errorf("%d bytes of %d answers of %d", r.Bytes, r.Answered, len(body))
				}
				if r.Opened != s.conns.Load() || p.Fresh && r.Opened != r.Answered || !p.Fresh && r.Opened > int64(p.Connections) {
					t.Errorf("%d connections opened, the server accepted %d", r.Opened, s.conns.Load())
				}
				if p.Requests > 0 && r.Answered != int64(p.Requests) || p.Arrivals == Constant && r.Answered != 300 {
					t.Errorf("%d answered", r.Answered)
				}
				if late := r.Late; (late != nil) != (p.Rate > 0) || late != nil && late.Sent != r.Answered {
					t.Errorf("late: %+v", late)
				}
			})
		}
	}
}

// A server that stalls for 300 ms is seen by every request that was to be sent meanwhile: by those of an open loop. A
// closed loop asks nothing meanwhile, and so leaves out what its users would have seen (coordinated omission).
func TestStallIsSeenByAll(t *testing.T) {
	t.Parallel()
	const stall, rate = 300 * time.Millisecond, 500
	run := func(p Plan) (slow int64, r Result) {
		s := serve(t, "tcp", true, stalling(200, stall))
		r = mustRun(t, s.addr, p)
		h, err := Decode(r.Latency.HDR)
		if err != nil {
			t.Fatal(err)
		}
		for _, bar := range h.Distribution() {
			if bar.To >= (100 * time.Millisecond).Microseconds() {
				slow += bar.Count
			}
		}
		return slow, r
	}
	// Those that were to be sent in the first 200 of the 300 ms wait for 100 ms or more.
	const want = rate / 5
	for name, connections := range map[string]int{"many connections": 200, "few connections": 2} {
		slow, r := run(Plan{Connections: connections, Requests: 500, Rate: rate, Arrivals: Constant})
		if slow < want*9/10 {
			t.Errorf("%s: %d requests waited for 100 ms, want about %d: %+v", name, slow, want, r)
		}
		if r.Outcomes["ok"] != 500 || r.Latency.Max < stall*9/10 {
			t.Errorf("%s: %+v", name, r)
		}
		// Those that no connection was free for are late, but not by the generator's fault.
		if late := r.Late; connections == 2 && (late.Late-late.Slow < want*9/10 || late.Max < stall/2) {
			t.Errorf("%s: late %+v", name, *late)
		}
	}
	if slow, r := run(Plan{Connections: 2, Requests: 500}); slow > want/4 {
		t.Errorf("closed loop: %d requests waited for 100 ms: %+v", slow, r)
	}
}

// stalling holds all answers back for a while from request n on.
func stalling(n int64, d time.Duration) func(e *exchange) bool {
	open := make(chan struct{})
	return func(e *exchange) bool {
		if e.n == n {
			time.AfterFunc(d, func() { close(open) })
		}
		if e.n >= n {
			<-open
		}
		return fine(e)
	}
}

// Requests that the server never answers are outcomes, whether they were sent or still waited for a connection.
func TestNothingIsLeftOut(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := serve(t, "tcp", true, func(*exchange) bool { <-release; return false })
	t.Cleanup(func() { close(release) })
	for name, p := range map[string]Plan{
		"open":          {Connections: 2, Requests: 50, Rate: 1000, Timeout: 100 * time.Millisecond},
		"open, by time": {Connections: 2, Duration: 50 * time.Millisecond, Rate: 1000, Arrivals: Constant, Timeout: 100 * time.Millisecond},
		"closed":        {Connections: 25, Requests: 50, Timeout: 100 * time.Millisecond},
	} {
		r := mustRun(t, s.addr, p)
		if !maps.Equal(r.Outcomes, counts{"timeout": 50}) || r.Answered != 0 || r.Latency != (Distribution{}) {
			t.Errorf("%s: %+v", name, r)
		}
		if p.Rate > 0 && (r.Late.Sent != 50 || r.Late.Late < 40) {
			t.Errorf("%s: late %+v", name, *r.Late)
		}
		if !strings.HasPrefix(r.First, "timeout, ") {
			t.Errorf("%s: first failure %q", name, r.First)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close()
	for _, addr := range []string{addr, t.TempDir() + "/none"} {
		for _, p := range []Plan{{Connections: 3, Requests: 9}, {Connections: 1, Requests: 9, Rate: 1e5}} {
			r := mustRun(t, addr, p)
			if !maps.Equal(r.Outcomes, counts{"refused": 9}) || r.Opened != 0 || !strings.HasPrefix(r.First, "refused, ") {
				t.Errorf("%s: %+v", addr, r)
			}
		}
	}
}

// A kept connection that the server closes without notice is no loss if that was known before the next request.
func TestClosedIdle(t *testing.T) {
	t.Parallel()
	// The end comes in one segment with the answer.
	together := serve(t, "tcp", true, func(e *exchange) bool {
		raw, err := e.Conn.(*net.TCPConn).SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1) })
		}
		if err != nil {
			t.Error(err)
		}
		fine(e)
		return false
	})
	for _, p := range []Plan{{Connections: 2, Requests: 8}, {Connections: 2, Requests: 8, Rate: 100}} {
		r := mustRun(t, together.addr, p)
		if !maps.Equal(r.Outcomes, counts{"ok": 8, "closed_idle": 8}) || r.Opened != 8 {
			t.Errorf("%d connections, %v: %s", r.Opened, r.Outcomes, r.First)
		}
	}
	// The end comes long before the next request.
	later := serve(t, "tcp", true, func(e *exchange) bool { fine(e); return false })
	r := mustRun(t, later.addr, Plan{Connections: 1, Requests: 2, Rate: 1, Arrivals: Constant})
	if r.Outcomes["ok"] != 2 || r.Outcomes["closed_idle"] < 1 || r.Opened != 2 {
		t.Errorf("%d connections, %v: %s", r.Opened, r.Outcomes, r.First)
	}
}

// Bytes on an idle connection belong to no request.
func TestSpeaksUnasked(t *testing.T) {
	t.Parallel()
	s := serve(t, "tcp", true, func(e *exchange) bool {
		fine(e)
		if e.n == 1 {
			time.AfterFunc(time.Second, func() { e.say(answer(408, "")) })
		}
		return true
	})
	r := mustRun(t, s.addr, Plan{Connections: 1, Requests: 2, Rate: 0.5, Arrivals: Constant})
	if !maps.Equal(r.Outcomes, counts{"ok": 2, "garbled": 1}) || r.Opened != 2 {
		t.Errorf("%d connections, %v: %s", r.Opened, r.Outcomes, r.First)
	}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	for _, service := range []Service{{}, {Kind: Fixed, Mean: time.Millisecond}} {
		var bytes atomic.Int64
		s := serve(t, "tcp", false, func(e *exchange) bool {
			n, err := io.Copy(io.Discard, e.Body)
			if err != nil || e.Method != "POST" || e.ContentLength != size {
				e.say(answer(400, ""))
				return false
			}
			bytes.Add(n)
			return fine(e)
		})
		r := mustRun(t, s.addr, Plan{Connections: 2, Requests: 6, Body: size, Rate: 100, Service: service})
		if !maps.Equal(r.Outcomes, counts{"ok": 6}) || bytes.Load() != 6*size {
			t.Errorf("%v, %d bytes: %s", r.Outcomes, bytes.Load(), r.First)
		}
	}
}

// An answer may come before the request was written: it counts, and the connection is at its end.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, "tcp", false, func(e *exchange) bool {
		e.say(answer(413, ""))
		_, _ = io.Copy(io.Discard, e.Conn) // until the client closes it
		return false
	})
	r := mustRun(t, s.addr, Plan{Connections: 2, Requests: 8, Body: 32 << 20})
	if !maps.Equal(r.Outcomes, counts{"4xx": 8}) || r.Opened != 8 {
		t.Errorf("%d connections, %v: %s", r.Opened, r.Outcomes, r.First)
	}
}

// What breaks while a request is being written is lost, unless an answer came first.
func TestBrokenUpload(t *testing.T) {
	t.Parallel()
	for want, handle := range map[string]func(e *exchange) bool{
		"reset": func(e *exchange) bool { e.reset(); return false },
		"4xx":   func(e *exchange) bool { e.say(answer(413, "")); return false }, // closing with bytes unread is a reset
	} {
		s := serve(t, "tcp", false, handle)
		r := mustRun(t, s.addr, Plan{Connections: 2, Requests: 8, Body: 32 << 20})
		if !maps.Equal(r.Outcomes, counts{want: 8}) || r.Opened != 8 {
			t.Errorf("%s: %d connections, %v: %s", want, r.Opened, r.Outcomes, r.First)
		}
	}
}

// The server is asked for the service times of the schedule, and waiting is what it took longer.
func TestService(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64 // µs
	s := serve(t, "tcp", true, func(e *exchange) bool {
		if e.URL.Path != "/io" || e.URL.Query().Get("a") != "b" {
			return false
		}
		ms, err := strconv.ParseFloat(e.URL.Query().Get("ms"), 64)
		if err != nil {
			return false
		}
		asked.Add(int64(math.Round(ms * 1000)))
		time.Sleep(time.Duration(ms * float64(time.Millisecond)))
		return fine(e)
	})
	p := Plan{
		Path: "/io?a=b", Connections: 64, Requests: 200, Rate: 1000, Seed: 3,
		Service: Service{Kind: TwoPoint, Mean: 5 * time.Millisecond, Share: 0.1, Long: 20 * time.Millisecond},
	}
	r := mustRun(t, s.addr, p)
	if !maps.Equal(r.Outcomes, counts{"ok": 200}) {
		t.Fatalf("%v: %s", r.Outcomes, r.First)
	}
	var want time.Duration
	for schedule, i := newSchedule(p), 0; i < 200; i++ {
		_, service := schedule.next()
		want += service
	}
	if got := time.Duration(asked.Load()) * time.Microsecond; got != want {
		t.Errorf("asked for %s in all, want %s", got, want)
	}
	if r.Wait == nil || r.Wait.Count != 200 || (r.Latency.Mean-r.Wait.Mean-want/200).Abs() > time.Microsecond {
		t.Errorf("mean latency %s, mean service %s, wait %+v", r.Latency.Mean, want/200, r.Wait)
	}
}

// What was sent before the warm-up is over is not counted, and the observer learns when counting begins and ends.
func TestWarmup(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]Plan{
		"closed":   {Connections: 4, Warmup: 150 * time.Millisecond, Duration: 200 * time.Millisecond},
		"open":     {Connections: 4, Warmup: 150 * time.Millisecond, Duration: 200 * time.Millisecond, Rate: 1000, Arrivals: Constant},
		"requests": {Connections: 4, Warmup: 150 * time.Millisecond, Requests: 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "tcp", true, func(e *exchange) bool {
				time.Sleep(time.Millisecond)
				return fine(e)
			})
			var calls []string
			var served []int64
			mark := func(name string) func() {
				return func() {
					calls, served = append(calls, name), append(served, s.requests.Load())
				}
			}
			p.Path = "/"
			r, err := RunObserved(t.Context(), s.addr, p, Observer{Begin: mark("begin"), End: mark("end")})
			if err != nil || strings.Join(calls, " ") != "begin end" {
				t.Fatalf("%v, calls %v", err, calls)
			}
			// What the server read after the observer was told either counts or was under way when counting began.
			total, underWay := s.requests.Load(), int64(p.Connections)
			if r.Answered == 0 || r.Answered >= total ||
				p.Rate == 0 && (total-served[0] > r.Answered+underWay || total-served[1] > underWay) {
				t.Errorf("%d answered; the server had read %v when the observer was told, and %d in the end", r.Answered, served, total)
			}
			if r.Elapsed < p.Duration || r.Elapsed > p.Duration+5*time.Second {
				t.Errorf("elapsed %s of %s", r.Elapsed, p.Duration)
			}
			if want := map[string]int64{"open": 200, "requests": 100}[name]; want > 0 && r.Answered != want {
				t.Errorf("%d answered, want %d", r.Answered, want)
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]Plan{
		"closed":  {Connections: 4, Duration: time.Hour},
		"open":    {Connections: 4, Duration: time.Hour, Rate: 1000},
		"waiting": {Connections: 1, Duration: time.Hour, Rate: 0.001, Arrivals: Constant},
		"warming": {Connections: 4, Warmup: time.Hour, Duration: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			enough := int64(100)
			if name == "waiting" {
				enough = 1
			}
			s := serve(t, "tcp", true, func(e *exchange) bool {
				if e.n == enough {
					defer cancel()
				}
				return fine(e)
			})
			p.Path = "/"
			var begun, ended int
			r, err := RunObserved(ctx, s.addr, p, Observer{Begin: func() { begun++ }, End: func() { ended++ }})
			if !errors.Is(err, context.Canceled) || begun != ended {
				t.Errorf("%v, begun %d, ended %d", err, begun, ended)
			}
			if name != "warming" && (r.Answered < enough-4 || r.Elapsed <= 0) || name == "warming" && (r.Answered != 0 || begun != 0) {
				t.Errorf("%+v", r)
			}
			if _, err := Run(ctx, s.addr, p); !errors.Is(err, context.Canceled) {
				t.Errorf("begun although cancelled: %v", err)
			}
		})
	}
}

// Not parallel: it counts what the whole process has.
func TestLeavesNothingBehind(t *testing.T) {
	s := serve(t, "tcp", true, fine)
	mustRun(t, s.addr, Plan{Connections: 1, Requests: 1}) // opens what the runtime keeps
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	settled := func(want, goroutines int) bool {
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if descriptors() <= want && runtime.NumGoroutine() <= goroutines {
				return true
			}
		}
		return false
	}
	if !settled(descriptors(), runtime.NumGoroutine()) {
		t.Fatal("the process is not at rest")
	}
	files, goroutines := descriptors(), runtime.NumGoroutine()
	for _, p := range []Plan{
		{Connections: 32, Duration: 50 * time.Millisecond}, {Connections: 32, Requests: 50, Rate: 1000}, {Connections: 8, Requests: 100, Fresh: true},
	} {
		mustRun(t, s.addr, p)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := RunObserved(ctx, s.addr, Plan{Path: "/", Connections: 32, Duration: time.Hour}, Observer{Begin: cancel})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if !settled(files, goroutines) {
		t.Errorf("%d descriptors, %d goroutines; before: %d, %d", descriptors(), runtime.NumGoroutine(), files, goroutines)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	s := serve(t, "tcp", true, fine)
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	if r := mustRun(t, "localhost:"+port, Plan{Connections: 1, Requests: 5}); r.Answered != 5 {
		t.Errorf("%+v", r)
	}
	listener, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	addr := listener.Addr().String()
	_ = listener.Close()
	if r := mustRun(t, addr, Plan{Connections: 1, Requests: 1}); r.Outcomes["refused"] != 1 {
		t.Errorf("%+v", r)
	}
	if _, err := Run(t.Context(), "127.0.0.1:nothing", Plan{Path: "/", Connections: 1, Requests: 1}); err == nil {
		t.Error("a port that does not exist is no error")
	}
}
