package demo

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Variables that make the test binary a process that asks its own handler for the path in it.
const (
	envExit = "DEMO_TEST_EXIT" // which ends the process
	envLog  = "DEMO_TEST_LOG"  // and lives until its standard input ends: what it logs is written later
)

func TestMain(m *testing.M) {
	if path := os.Getenv(envExit) + os.Getenv(envLog); path != "" {
		handler, err := Handler()
		if err != nil {
			panic(err)
		}
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
		if os.Getenv(envExit) != "" {
			os.Exit(99) // it should not come here
		}
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func handler(t *testing.T, data string) http.Handler {
	t.Helper()
	t.Setenv("CLUSTER_DEMO_DATA", data)
	h, err := Handler()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, target string) *http.Response {
	return ask(h, http.MethodGet, target, nil)
}

func ask(h http.Handler, method, target string, body io.Reader) *http.Response {
	r := httptest.NewRecorder()
	h.ServeHTTP(r, httptest.NewRequest(method, target, body))
	return r.Result()
}

func bodyOf(t *testing.T, r *http.Response) string {
	t.Helper()
	all, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func TestAnswers(t *testing.T) {
	h := handler(t, "")
	for _, test := range []struct {
		target string
		status int
		body   string
	}{
		{"/plaintext", 200, "Hello, World!"},
		{"/10k", 200, strings.Repeat("0123456789abcdef", 640)},
		{"/cpu", 200, "6765"},
		{"/cpu?n=0", 200, "0"},
		{"/cpu?n=1", 200, "1"},
		{"/cpu?n=10", 200, "55"},
		{"/cpu?n=ten", 200, "6765"},
		{"/cpu?n=", 200, "6765"},
		{"/cpu?n=-1", 400, "n must be 0..45\n"},
		{"/cpu?n=46", 400, "n must be 0..45\n"},
		{"/cpu?n=99999999999999999999", 200, "6765"},
		{"/io?ms=0", 200, "ok"},
		{"/io?ms=-5", 200, "ok"},
		{"/io_native?ms=0", 200, "ok"},
		{"/io_native?ms=-5", 200, "ok"},
		{"/app", 503, "/app needs its data set: start with CLUSTER_DEMO_DATA=100MiB\n"},
		{"/nowhere", 404, "404 page not found\n"},
		{"/cpu/deeper", 404, "404 page not found\n"},
	} {
		r := get(h, test.target)
		if body := bodyOf(t, r); r.StatusCode != test.status || body != test.body {
			t.Errorf("%s: %d %.80q, want %d %.80q", test.target, r.StatusCode, body, test.status, test.body)
		}
		if kind := r.Header.Get("Content-Type"); kind != "text/plain; charset=utf-8" {
			t.Errorf("%s: Content-Type %q", test.target, kind)
		}
	}
	if n := len(bodyOf(t, get(h, "/10k"))); n != 10_240 {
		t.Errorf("/10k has %d bytes", n)
	}
	if length := get(h, "/10k").Header.Get("Content-Length"); length != "10240" {
		t.Errorf("/10k says that it has %q bytes", length)
	}
}

// The front page names every path.
func TestFrontPage(t *testing.T) {
	h := handler(t, "")
	front := bodyOf(t, get(h, "/"))
	for _, path := range []string{"/plaintext", "/10k", "/cpu", "/io", "/io_native", "/upload", "/pid", "/app", "/panic", "/exit"} {
		if !strings.Contains(front, path) {
			t.Errorf("the front page does not name %s", path)
		}
	}
}

func TestWaits(t *testing.T) {
	h := handler(t, "")
	for _, path := range []string{"/io", "/io_native"} {
		for query, least := range map[string]time.Duration{"": 5 * time.Millisecond, "?ms=20": 20 * time.Millisecond, "?ms=soon": 5 * time.Millisecond, "?ms=7.25": 7250 * time.Microsecond, "?other=1": 5 * time.Millisecond} {
			started := time.Now()
			body := bodyOf(t, get(h, path+query))
			if took := time.Since(started); body != "ok" || took < least || took > least+5*time.Second {
				t.Errorf("%s%s: %q after %v, want ok after %v", path, query, body, took, least)
			}
		}
	}
}

func TestWait(t *testing.T) {
	for ms, wanted := range map[string]time.Duration{
		"": 5 * time.Millisecond, "0": 0, "12": 12 * time.Millisecond, "4.732": 4732 * time.Microsecond, "0.0005": 500 * time.Nanosecond,
		".5": 500 * time.Microsecond, "-0.1": 0, "-5": 0, "60000": time.Minute, "60000.1": time.Minute, "1e30": time.Minute,
		"4,732": 5 * time.Millisecond, "NaN": 5 * time.Millisecond, "1e999": 5 * time.Millisecond, "5ms": 5 * time.Millisecond,
	} {
		if got := Wait(ms); got != wanted {
			t.Errorf("Wait(%q) = %v, want %v", ms, got, wanted)
		}
	}
}

// What is logged goes to standard error, which is a process's.
func TestRequestLog(t *testing.T) {
	for kind, wanted := range map[string]string{
		"shared":  `^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} request method=GET path="/cpu"\n$`,
		"handler": `^time=\S+ level=INFO msg=request method=GET path=/cpu\n$`,
	} {
		process := exec.Command(os.Args[0])
		process.Env = append(os.Environ(), "CLUSTER_DEMO_LOG="+kind, envLog+"=/cpu?n=1", "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
		in, err := process.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := process.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		watchdog := time.AfterFunc(30*time.Second, func() { process.Process.Kill() })
		line, err := bufio.NewReader(out).ReadString('\n')
		if !regexp.MustCompile(wanted).MatchString(line) {
			t.Errorf("%s: the line is %q (%v), want %s", kind, line, err, wanted)
		}
		in.Close()
		if err := process.Wait(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		watchdog.Stop()
	}
	t.Setenv("CLUSTER_DEMO_LOG", "all")
	if _, err := Handler(); err == nil || err.Error() != `CLUSTER_DEMO_LOG="all" is no way to log: write shared or handler` {
		t.Errorf("an unknown way: %v", err)
	}
}

func TestUpload(t *testing.T) {
	h := handler(t, "")
	for _, size := range []int{0, 1, 100_000} {
		body := strings.Repeat("x", size)
		var got struct {
			Bytes  int
			SHA256 string
		}
		r := ask(h, http.MethodPost, "/upload", strings.NewReader(body))
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(body))
		if got.Bytes != size || got.SHA256 != hex.EncodeToString(sum[:]) || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%d bytes: %+v, %v", size, got, r.Header)
		}
	}
	r := ask(h, http.MethodPost, "/upload", io.MultiReader(strings.NewReader("half"), broken{}))
	if body := bodyOf(t, r); r.StatusCode != http.StatusBadRequest || body != "the client stumbled\n" {
		t.Errorf("half a body: %d %q", r.StatusCode, body)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the client stumbled") }

// The traffic of the tests tells processes apart by this body.
func TestPid(t *testing.T) {
	body := bodyOf(t, get(handler(t, ""), "/pid"))
	if wanted := fmt.Sprintf("{\"pid\":%d,\"slot\":0,\"generation\":0}\n", os.Getpid()); body != wanted {
		t.Errorf("%q, want %q", body, wanted)
	}
}

func TestApp(t *testing.T) {
	h := handler(t, "1MiB")
	for range 5 {
		r := get(h, "/app")
		body := bodyOf(t, r)
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/html; charset=utf-8" || strings.Count(body, "<tr>") != rowsOnPage || !strings.HasSuffix(body, "</table>\n") {
			t.Fatalf("%d %v %.200q…", r.StatusCode, r.Header, body)
		}
	}
}

// What cannot be served is said at the start, not to a client.
func TestAppRefuses(t *testing.T) {
	for _, size := range []string{"much", "0MiB", "-1MiB", "1GiB", "65537MiB", "MiB", "1.5MiB"} {
		t.Setenv("CLUSTER_DEMO_DATA", size)
		if _, err := Handler(); err == nil || !strings.Contains(err.Error(), strconv.Quote(size)) || !strings.Contains(err.Error(), "1MiB to 65536MiB") {
			t.Errorf("CLUSTER_DEMO_DATA=%s: %v", size, err)
		}
	}
	t.Setenv("CLUSTER_DEMO_DATA", "1")
	if _, err := Handler(); err != nil {
		t.Errorf("a bare number: %v", err)
	}
}

// A client that leaves within the page is nothing to log.
func TestAppClientLeaves(t *testing.T) {
	h := handler(t, "1MiB")
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("panic %v, want %v", v, http.ErrAbortHandler)
		}
	}()
	h.ServeHTTP(gone{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/app", nil))
	t.Error("it did not notice")
}

type gone struct{ http.ResponseWriter }

func (gone) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestPanic(t *testing.T) {
	h := handler(t, "")
	defer func() {
		if v := recover(); fmt.Sprint(v) != "/panic was asked for" {
			t.Errorf("panic %v", v)
		}
	}()
	get(h, "/panic")
	t.Error("no panic")
}

func TestExit(t *testing.T) {
	for path, wanted := range map[string]int{"/exit": 1, "/exit?code=0": 0, "/exit?code=42": 42, "/exit?code=many": 1} {
		process := exec.Command(os.Args[0])
		// The race detector would wait for a second at the exit.
		process.Env = append(os.Environ(), envExit+"="+path, "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
		out, err := process.CombinedOutput()
		if code := process.ProcessState.ExitCode(); code != wanted {
			t.Errorf("%s: exit code %d (%v), want %d; it said %q", path, code, err, wanted, out)
		}
	}
}

func TestFibonacci(t *testing.T) {
	a, b := 0, 1
	for n := range 20 {
		if got := Fibonacci(n); got != a {
			t.Errorf("Fibonacci(%d) = %d, want %d", n, got, a)
		}
		a, b = b, a+b
	}
}

func TestNativeSleep(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Second, 3 * time.Millisecond} {
		started := time.Now()
		NativeSleep(d)
		if took := time.Since(started); took < d || took > max(d, 0)+5*time.Second {
			t.Errorf("slept %v of %v", took, d)
		}
	}
}
