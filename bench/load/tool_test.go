package load

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// captured is what a tool printed once: wrk 4.1.0 and ab 2.3 of Debian, run with the flags that are used here.
func captured(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestParse(t *testing.T) {
	t.Parallel()
	const us, ms = time.Microsecond, time.Millisecond
	for _, test := range []struct {
		name string
		want Result
	}{
		{"wrk-plain", Result{
			Elapsed: 2010 * ms, Answered: 55501, Outcomes: counts{"ok": 55501}, Bytes: 7214203, // 6.88 MB
			Latency: Distribution{Count: 55501, Mean: 729580, SD: 2260 * us, Max: 23820 * us, P50: 180 * us, P90: 1160 * us, P99: 14050 * us},
		}},
		{"wrk-errors", Result{
			Elapsed: 1100 * ms, Answered: 14291, Outcomes: counts{"ok": 4764, "4xx_5xx": 9527, "reset": 4764}, Bytes: 1394606, // 1.33 MB
			Latency: Distribution{Count: 14291, Mean: 605770, SD: 1560 * us, Max: 18030 * us, P50: 277 * us, P90: 713 * us, P99: 9470 * us},
			First:   "wrk: connect errors 0, read 4764, write 0, timeouts 0, statuses of 400 or more 9527",
		}},
		{"wrk-timeout", Result{
			Elapsed: 4050 * ms, Answered: 387, Outcomes: counts{"ok": 387, "timeout": 4}, Bytes: 46141, // 45.06 KB
			Latency: Distribution{Count: 387, Mean: 126970, SD: 490720, Max: 6850 * us, P50: 70 * us, P90: 160 * us, P99: 814 * us},
			First:   "wrk: connect errors 0, read 0, write 0, timeouts 4, statuses of 400 or more 0",
		}},
		{"ab-plain", Result{
			Elapsed: 167 * ms, Answered: 2000, Outcomes: counts{"ok": 2000}, Bytes: 308000,
			Latency: Distribution{Count: 2000, Mean: 667 * us, SD: 500 * us, Max: 4440 * us, P50: 509 * us, P90: 1230 * us, P99: 3166 * us},
		}},
		{"ab-errors", Result{
			Elapsed: 77 * ms, Answered: 375, Outcomes: counts{"ok": 125, "4xx_5xx": 250, "reset": 125}, Bytes: 36500,
			Latency: Distribution{Count: 500, Mean: 618 * us, SD: 900 * us, Max: 6297 * us, P50: 306 * us, P90: 901 * us, P99: 4832 * us},
			First:   "ab: failed to connect 0, to receive 125, statuses other than 2xx 250",
		}},
		{"ab-upload", Result{
			Elapsed: time.Second, Answered: 26760, Outcomes: counts{"ok": 26760}, Bytes: 4121040,
			Latency: Distribution{Count: 26760, Mean: 149 * us, SD: 300 * us, Max: 15125 * us, P50: 112 * us, P90: 222 * us, P99: 802 * us},
		}},
	} {
		var got Result
		var err error
		if output := captured(t, test.name+".txt"); strings.HasPrefix(test.name, "wrk") {
			test.want.Note = wrkNote
			got, err = wrk{}.parse(Plan{}, output, "")
		} else {
			test.want.Note = abNote
			got, err = parseAB(output, []byte(captured(t, test.name+".csv")))
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", test.name, got, test.want)
		}
	}
}

func TestGaveUp(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		tool    tool
		outcome outcome
		why     string
	}{
		"wrk-refused": {wrk{}, refused, "unable to connect to 127.0.0.1:1 Connection refused"},
		"wrk-errors":  {wrk{}, ok, ""},
		"ab-refused":  {ab{}, ok, ""},
		"ab-timeout":  {ab{}, timeout, "The timeout specified has expired (70007)"},
		"ab-errors":   {ab{}, ok, ""},
	} {
		if o, why := want.tool.gaveUp(captured(t, name+".txt")); o != want.outcome || why != want.why {
			t.Errorf("%s: %s, %q", name, o, why)
		}
	}
	const aborted = "\nTest aborted after 10 failures\n\napr_socket_connect(): Cannot assign requested address (99)\n"
	if o, why := (ab{}).gaveUp(aborted); o != refused || why != "Cannot assign requested address (99)" {
		t.Errorf("%s, %q", o, why)
	}
}

func TestParseNonsense(t *testing.T) {
	t.Parallel()
	plain := captured(t, "wrk-plain.txt")
	for _, output := range []string{
		"", "wrk: command line\n", strings.Replace(plain, "729.58us", "729.58lightyears", 1), strings.Replace(plain, "90%", "91%", 1),
	} {
		if r, err := (wrk{}).parse(Plan{}, output, ""); err == nil {
			t.Errorf("%q is %+v", output, r)
		}
	}
	report, times := captured(t, "ab-plain.txt"), captured(t, "ab-plain.csv")
	for _, texts := range [][2]string{
		{"", times},
		{report, ""},
		{report, "Percentage served,Time in ms\n0,x\n"},
		{report, "Percentage served,Time in ms\n0,1\n"},
		{report, "a,b\n1,2,3\n"},
		{strings.Replace(report, "Total:", "Sum:", 1), times},
	} {
		if r, err := parseAB(texts[0], []byte(texts[1])); err == nil {
			t.Errorf("%q, %q is %+v", texts[0], texts[1], r)
		}
	}
}

// need skips the test, or fails it, where a program is missing.
func need(t *testing.T, tool tool) {
	t.Helper()
	name, debian := tool.program()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("CLUSTER_TEST_NO_SKIP") != "" {
		t.Fatalf("%s is missing: install the Debian package %s", name, debian)
	}
	t.Skipf("%s is missing: install the Debian package %s", name, debian)
}

// The real tools against a real server, which sees what was asked of them.
func TestTools(t *testing.T) {
	t.Parallel()
	for name, test := range map[Tool]struct {
		tool  tool
		plans []Plan
	}{
		Wrk: {wrk{}, []Plan{{Duration: time.Second}, {Duration: time.Second, Body: 1000, Fresh: true, Warmup: time.Second}}},
		AB:  {ab{}, []Plan{{Requests: 300}, {Duration: time.Second, Body: 1000, Fresh: true, Warmup: time.Second}}},
	} {
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			need(t, test.tool)
			for _, p := range test.plans {
				var served, posted, closing, early atomic.Int64
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					served.Add(1)
					if r.Method == http.MethodPost && r.ContentLength == 1000 {
						posted.Add(1)
					}
					if r.Close {
						closing.Add(1)
					}
					_, _ = w.Write([]byte("Hello, World!"))
				}))
				p.Tool, p.Path, p.Connections = name, "/", 4
				began := false
				obs := Observer{Begin: func() { early.Store(served.Load()); began = true }, End: func() { began = began && served.Load() > 0 }}
				r, err := RunObserved(t.Context(), s.Listener.Addr().String(), p, obs)
				s.Close()
				if err != nil {
					t.Fatal(err)
				}
				total := served.Load()
				if r.Answered == 0 || r.Answered > total || !maps.Equal(r.Outcomes, counts{"ok": r.Answered}) || r.First != "" || !began {
					t.Errorf("%+v; the server read %d", r, total)
				}
				if p.Requests > 0 && r.Answered != int64(p.Requests) {
					t.Errorf("%d answered", r.Answered)
				}
				if (p.Warmup > 0) != (early.Load() > 0) {
					t.Errorf("%d requests before counting began", early.Load())
				}
				if p.Body > 0 && posted.Load() != total || p.Fresh && closing.Load() != total || !p.Fresh && closing.Load() != 0 {
					t.Errorf("of %d requests %d were uploads, %d closed", total, posted.Load(), closing.Load())
				}
				if d := r.Latency; r.CPU <= 0 || r.Elapsed <= 0 || d.Mean <= 0 || d.P50 <= 0 || d.P99 < d.P50 || d.Max < d.P99 || d.HDR != "" {
					t.Errorf("%+v", r)
				}
			}
			// Failures are outcomes of theirs, too.
			r, err := Run(t.Context(), "127.0.0.1:1", Plan{Tool: name, Path: "/", Connections: 1, Duration: time.Second})
			if err != nil || r.Outcomes["refused"] != 1 && r.Outcomes["reset"] == 0 || r.Answered != 0 || r.First == "" {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestToolRefuses(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for want, p := range map[string]Plan{
		"install the Debian package wrk":           {Tool: Wrk, Duration: time.Second},
		"install the Debian package apache2-utils": {Tool: AB, Duration: time.Second},
		"after a number of requests":               {Tool: Wrk, Requests: 1},
		"wrk knows only whole seconds":             {Tool: Wrk, Duration: 1500 * time.Millisecond},
		"ab knows only whole seconds":              {Tool: AB, Duration: time.Second, Warmup: time.Millisecond},
		"cannot send 3 requests":                   {Tool: AB, Requests: 3},
	} {
		p.Path, p.Connections = "/", 4
		if _, err := Run(t.Context(), "127.0.0.1:1", p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
