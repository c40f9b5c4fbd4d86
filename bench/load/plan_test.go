package load

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/internal/traffic"
)

// The names are those of internal/traffic, which counts losses in tests; what is ok there is divided here.
func TestOutcomeNames(t *testing.T) {
	t.Parallel()
	for o, same := range map[outcome]traffic.Outcome{
		ok: traffic.OK, refused: traffic.Refused, reset: traffic.Reset, empty: traffic.Empty, truncated: traffic.Truncated,
		timeout: traffic.Timeout, status5xx: traffic.Error5xx, garbled: traffic.Garbled, closedIdle: traffic.ClosedIdle,
	} {
		if o.String() != same.String() {
			t.Errorf("%s is called %s in internal/traffic", o, same)
		}
	}
	names := map[string]bool{}
	for o := range outcomes {
		if names[o.String()] || o.String() == "" {
			t.Errorf("outcome %d is called %q", o, o)
		}
		names[o.String()] = true
	}
	for status, want := range map[int]outcome{200: ok, 304: ok, 399: ok, 400: status4xx, 499: status4xx, 500: status5xx, 599: status5xx} {
		if got := judge(status); got != want {
			t.Errorf("status %d is %s, want %s", status, got, want)
		}
	}
}

func TestPlanRefused(t *testing.T) {
	t.Parallel()
	sound := Plan{Path: "/", Connections: 1, Duration: time.Second}
	for want, change := range map[string]func(p *Plan){
		"":                         func(p *Plan) { p.Rate, p.Service = 5, Service{Kind: TwoPoint, Mean: 2, Share: 0.5, Long: 4} },
		`tool is called "h2load"`:  func(p *Plan) { p.Tool = "h2load" },
		"does not begin":           func(p *Plan) { p.Path = "plaintext" },
		"written as %XX":           func(p *Plan) { p.Path = "/a b" },
		"0 connections":            func(p *Plan) { p.Connections = 0 },
		"cannot be negative":       func(p *Plan) { p.Warmup = -1 },
		"neither a duration":       func(p *Plan) { p.Duration = 0 },
		"only one of them":         func(p *Plan) { p.Requests = 1 },
		"a timeout of 1ns":         func(p *Plan) { p.Timeout = 1 },
		"a rate of NaN":            func(p *Plan) { p.Rate = math.NaN() },
		"a rate of -1":             func(p *Plan) { p.Rate = -1 },
		"arrivals need":            func(p *Plan) { p.Arrivals = Poisson },
		`no arrivals "bursts"`:     func(p *Plan) { p.Rate, p.Arrivals = 1, "bursts" },
		"service times need":       func(p *Plan) { p.Service = Service{Kind: Fixed, Mean: 1} },
		"without a kind":           func(p *Plan) { p.Rate, p.Service = 1, Service{Mean: 1} },
		`no service times "gamma"`: func(p *Plan) { p.Rate, p.Service = 1, Service{Kind: "gamma", Mean: 1} },
		"need a positive mean":     func(p *Plan) { p.Rate, p.Service = 1, Service{Kind: Exponential} },
		"the share 1 is":           func(p *Plan) { p.Rate, p.Service = 1, Service{Kind: TwoPoint, Mean: 1, Share: 1} },
		"would need -":             func(p *Plan) { p.Rate, p.Service = 1, Service{Kind: TwoPoint, Mean: 1e6, Share: 0.5, Long: 3e6} },
		"wrk knows only closed":    func(p *Plan) { p.Tool, p.Rate = Wrk, 1 },
	} {
		p := sound
		change(&p)
		if _, err := p.checked(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for addr, change := range map[string]func(p *Plan){
		"neither host:port": func(*Plan) {},
		"unix socket":       func(p *Plan) { p.Tool = AB },
		"at least one":      func(p *Plan) { p.Connections = -1 },
	} {
		p := sound
		change(&p)
		to := map[string]string{"neither host:port": "nonsense", "unix socket": "/run/socket"}[addr]
		if _, err := Run(t.Context(), to, p); err == nil || !strings.Contains(err.Error(), addr) {
			t.Errorf("%v, want %q", err, addr)
		}
	}
}

// Constant arrivals are exact however long they go on; those of Poisson have the mean and the spread of an exponential
// distribution, and the same plan has the same ones.
func TestArrivals(t *testing.T) {
	t.Parallel()
	s := newSchedule(Plan{Rate: 3, Arrivals: Constant})
	for i := range 300_001 {
		if at, _ := s.next(); i%3 == 0 && at != time.Duration(i/3)*time.Second || i == 1 && at != 333_333_333 {
			t.Fatalf("arrival %d at %s", i, at)
		}
	}

	const n, rate = 100_000, 4000.0
	p := Plan{Rate: rate, Arrivals: Poisson, Seed: 42}
	s, same := newSchedule(p), newSchedule(p)
	p.Seed++
	other := newSchedule(p)
	p.Service = Service{Kind: Exponential, Mean: time.Millisecond}
	p.Seed--
	serving := newSchedule(p)
	var last, sum, squares float64
	var differs bool
	for range n {
		at, service := s.next()
		if got, _ := same.next(); got != at || service != 0 {
			t.Fatalf("the same schedule has an arrival at %s, not %s", got, at)
		}
		if got, _ := serving.next(); got != at {
			t.Fatalf("service times move an arrival from %s to %s", at, got)
		}
		otherAt, _ := other.next()
		differs = differs || otherAt != at
		gap := at.Seconds() - last
		if gap < 0 {
			t.Fatal("arrivals go back")
		}
		last, sum, squares = at.Seconds(), sum+gap, squares+gap*gap
	}
	mean := sum / n
	sd := math.Sqrt(squares/n - mean*mean)
	if math.Abs(mean*rate-1) > 0.01 || math.Abs(sd*rate-1) > 0.02 || !differs {
		t.Errorf("mean gap %g s, standard deviation %g s, want %g; another seed differs: %v", mean, sd, 1/rate, differs)
	}
}

func TestServiceTimes(t *testing.T) {
	t.Parallel()
	const n = 100_000
	for _, test := range []struct {
		service Service
		sd      float64 // of the mean
	}{
		{Service{Kind: Fixed, Mean: 4732 * time.Microsecond}, 0},
		{Service{Kind: Exponential, Mean: 5 * time.Millisecond}, 1},
		// Variance: 0.1·20² + 0.9·3.333² − 5² = 25 ms²
		{Service{Kind: TwoPoint, Mean: 5 * time.Millisecond, Share: 0.1, Long: 20 * time.Millisecond}, 1},
	} {
		s := newSchedule(Plan{Rate: 1, Seed: 1, Service: test.service})
		values := map[time.Duration]bool{}
		var sum, squares float64
		for range n {
			_, service := s.next()
			if service%time.Microsecond != 0 || service < 0 {
				t.Fatalf("%s: %s", test.service.Kind, service)
			}
			values[service] = true
			sum, squares = sum+service.Seconds(), squares+service.Seconds()*service.Seconds()
		}
		mean := sum / n / test.service.Mean.Seconds()
		sd := math.Sqrt(max(0, squares/n-sum/n*sum/n)) / test.service.Mean.Seconds()
		if math.Abs(mean-1) > 0.02 || math.Abs(sd-test.sd) > 0.02 {
			t.Errorf("%s: mean %g and standard deviation %g times the wanted mean", test.service.Kind, mean, sd)
		}
		if n := len(values); test.service.Kind == Fixed && n != 1 || test.service.Kind == TwoPoint && n != 2 {
			t.Errorf("%s: %d values", test.service.Kind, n)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	io := Service{Kind: Fixed, Mean: 1}
	for _, test := range []struct {
		plan    Plan
		service time.Duration
		want    string
	}{
		{Plan{Path: "/plaintext"}, 0, "GET /plaintext HTTP/1.1\r\nHost: h:1\r\n\r\n"},
		{Plan{Path: "/", Fresh: true}, 0, "GET / HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n\r\n"},
		{Plan{Path: "/io", Service: io}, 4732 * time.Microsecond, "GET /io?ms=4.732 HTTP/1.1\r\nHost: h:1\r\n\r\n"},
		{Plan{Path: "/io?a=b", Service: io}, 12 * time.Second, "GET /io?a=b&ms=12000.000 HTTP/1.1\r\nHost: h:1\r\n\r\n"},
		{Plan{Path: "/io", Service: io}, 50 * time.Microsecond, "GET /io?ms=0.050 HTTP/1.1\r\nHost: h:1\r\n\r\n"},
		{
			Plan{Path: "/upload", Body: 3},
			0, "POST /upload HTTP/1.1\r\nHost: h:1\r\nContent-Type: application/octet-stream\r\nContent-Length: 3\r\n\r\nxxx",
		},
		{
			Plan{Path: "/u", Body: 2, Service: io},
			0, "POST /u?ms=0.000 HTTP/1.1\r\nHost: h:1\r\nContent-Type: application/octet-stream\r\nContent-Length: 2\r\n\r\nxx",
		},
	} {
		text := newText(test.plan, "h:1")
		first, second := text.compose([]byte("what was there before"), test.service)
		if got := string(first) + string(second); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func TestTally(t *testing.T) {
	t.Parallel()
	tally := newTally(Plan{Service: Service{Kind: Fixed}})
	for _, one := range []struct {
		behind time.Duration
		free   bool
	}{{0, true}, {time.Millisecond, true}, {1500 * time.Microsecond, true}, {time.Second, false}} {
		tally.send(one.behind, one.free)
	}
	if want := (Late{Sent: 4, Late: 2, Max: time.Second, Slow: 1}); tally.late != want {
		t.Errorf("late %+v, want %+v", tally.late, want)
	}
	tally.answer(ok, 3*time.Millisecond, time.Millisecond, 10)
	tally.answer(status5xx, time.Millisecond, 2*time.Millisecond, 10)
	tally.fail(1234567, status5xx, "status 503")
	tally.fail(9, reset, "another")
	r := tally.result()
	if r.Latency.Mean != 2*time.Millisecond || r.Wait.Mean != time.Millisecond || r.Wait.Max != 2*time.Millisecond || r.Answered != 2 || r.Bytes != 20 ||
		r.Outcomes["ok"] != 1 || r.Outcomes["5xx"] != 1 || len(r.Outcomes) != 2 || r.First != "5xx, 1.235ms after counting began: status 503" {
		t.Errorf("%+v, wait %+v", r, r.Wait)
	}
}

// Percentiles are right to three digits, mean, deviation and maximum exactly, and the encoding has all of it.
func TestSpread(t *testing.T) {
	t.Parallel()
	s := newSpread()
	const n = 100_000
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(n) {
		s.record(time.Duration(i+1) * 10 * time.Microsecond)
	}
	d := s.distribution()
	for _, test := range []struct {
		name      string
		got, want time.Duration
		off       float64
	}{
		{"p50", d.P50, 500 * time.Millisecond, 1e-3},
		{"p90", d.P90, 900 * time.Millisecond, 1e-3},
		{"p99", d.P99, 990 * time.Millisecond, 1e-3},
		{"p99.9", d.P999, 999 * time.Millisecond, 1e-3},
		{"max", d.Max, time.Second, 0},
		{"mean", d.Mean, 500_005 * time.Microsecond, 0},
		{"standard deviation", d.SD, 288_675_134, 1e-8}, // 10 µs · sqrt((n²−1)/12)
	} {
		if off := math.Abs(float64(test.got)/float64(test.want) - 1); off > test.off {
			t.Errorf("%s %s, want %s", test.name, test.got, test.want)
		}
	}
	h, err := Decode(d.HDR)
	if err != nil {
		t.Fatal(err)
	}
	if h.TotalCount() != n || d.Count != n || h.ValueAtPercentile(50) != d.P50.Microseconds() {
		t.Errorf("%d decoded, p50 %d µs", h.TotalCount(), h.ValueAtPercentile(50))
	}
	s.record(10 * time.Hour) // more than there is room for, and not lost
	if d := s.distribution(); d.Count != n+1 || d.Max != 10*time.Hour {
		t.Errorf("%+v", d)
	}
	for _, text := range []string{"", "?", "AAAA", d.HDR[:20]} {
		if _, err := Decode(text); err == nil {
			t.Errorf("%q was decoded", text)
		}
	}
	if d := (&spread{}).distribution(); d != (Distribution{}) {
		t.Errorf("of nothing: %+v", d)
	}
}
