package fastdemo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/prefork/cluster/worker/demo"
)

// envExit makes the test binary a process that asks its own handler for the path in it.
const envExit = "FASTDEMO_TEST_EXIT"

func TestMain(m *testing.M) {
	if path := os.Getenv(envExit); path != "" {
		server, err := Server()
		if err != nil {
			panic(err)
		}
		var ctx fasthttp.RequestCtx
		ctx.Request.SetRequestURI(path)
		server.Handler(&ctx)
		os.Exit(99) // it should not come here
	}
	os.Exit(m.Run())
}

// serve serves both applications and returns a client for each.
func serve(t *testing.T, data string) (fast, plain *http.Client) {
	t.Helper()
	t.Setenv("CLUSTER_DEMO_DATA", data)
	server, err := Server()
	if err != nil {
		t.Fatal(err)
	}
	handler, err := demo.Handler()
	if err != nil {
		t.Fatal(err)
	}
	l := fasthttputil.NewInmemoryListener()
	go server.Serve(l)
	t.Cleanup(func() { l.Close() })
	fast = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return l.Dial() }}}
	t.Cleanup(fast.CloseIdleConnections)
	return fast, &http.Client{Transport: direct{handler}}
}

// direct asks a handler without a network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

func ask(t *testing.T, c *http.Client, method, target string, body []byte) string {
	t.Helper()
	r, err := http.NewRequest(method, "http://demo"+target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %v %v %v\n%s", res.StatusCode, res.Header["Content-Type"], res.Header["X-Content-Type-Options"], res.Header["Server"], all)
}

// Both engines answer alike, byte for byte.
func TestSameAnswers(t *testing.T) {
	fast, plain := serve(t, "")
	for _, target := range []string{
		"/", "/plaintext", "/10k", "/cpu", "/cpu?n=0", "/cpu?n=10", "/cpu?n=ten", "/cpu?n=", "/cpu?n=-1", "/cpu?n=46", "/cpu?n=46&n=1",
		"/io?ms=0", "/io?ms=0.25", "/io", "/io_native?ms=0", "/io_native?ms=0.25", "/io_native", "/upload", "/pid", "/app", "/nowhere", "/cpu/deeper", "/CPU",
	} {
		for _, method := range []string{"GET", "POST"} {
			if got, wanted := ask(t, fast, method, target, nil), ask(t, plain, method, target, nil); got != wanted {
				t.Errorf("%s %s: %.300q, but net/http answers %.300q", method, target, got, wanted)
			}
		}
	}
	for _, size := range []int{1, 8 << 10, 100_000, 5 << 20} {
		body := bytes.Repeat([]byte("x"), size)
		if got, wanted := ask(t, fast, "POST", "/upload", body), ask(t, plain, "POST", "/upload", body); got != wanted {
			t.Errorf("/upload of %d bytes: %q, but net/http answers %q", size, got, wanted)
		}
	}
}

// A page is drawn by lot, so that only its form is the same.
func TestApp(t *testing.T) {
	fast, plain := serve(t, "1MiB")
	head, rows := func(page string) string { return page[:strings.Index(page, "<tr>")] }, func(page string) int { return strings.Count(page, "<tr>") }
	got, wanted := ask(t, fast, "GET", "/app", nil), ask(t, plain, "GET", "/app", nil)
	if head(got) != head(wanted) || rows(got) != rows(wanted) || !strings.HasSuffix(got, "</table>\n") {
		t.Errorf("%.300q…, but net/http answers %.300q…", got, wanted)
	}
}

func TestBadData(t *testing.T) {
	t.Setenv("CLUSTER_DEMO_DATA", "much")
	if _, err := Server(); err == nil {
		t.Error("no error")
	}
}

func TestBadLog(t *testing.T) {
	t.Setenv("CLUSTER_DEMO_LOG", "all")
	if _, err := Server(); err == nil || !strings.Contains(err.Error(), "shared or handler") {
		t.Errorf("error %v", err)
	}
}

// The line is the same as with net/http, and the answer comes after it.
func TestLog(t *testing.T) {
	t.Setenv("CLUSTER_DEMO_LOG", "shared")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	stderr := os.Stderr
	os.Stderr = w
	fast, plain := serve(t, "")
	os.Stderr = stderr
	for _, c := range []*http.Client{fast, plain} {
		if answer := ask(t, c, "POST", "/cpu?n=10", nil); !strings.HasSuffix(answer, "\n55") {
			t.Errorf("the answer is %q", answer)
		}
	}
	w.Close()
	lines, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(regexp.MustCompile(`(?m)^\S+ \S+ request method=POST path="/cpu"$`).FindAll(lines, -1)); n != 2 || bytes.Count(lines, []byte("\n")) != 2 {
		t.Errorf("both engines logged %q", lines)
	}
}

func TestPanic(t *testing.T) {
	server, err := Server()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if v := recover(); fmt.Sprint(v) != "/panic was asked for" {
			t.Errorf("panic %v", v)
		}
	}()
	var ctx fasthttp.RequestCtx
	ctx.Request.SetRequestURI("/panic")
	server.Handler(&ctx)
	t.Error("no panic")
}

func TestExit(t *testing.T) {
	for path, wanted := range map[string]int{"/exit": 1, "/exit?code=42": 42} {
		process := exec.Command(os.Args[0])
		process.Env = append(os.Environ(), envExit+"="+path, "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
		out, err := process.CombinedOutput()
		if code := process.ProcessState.ExitCode(); code != wanted {
			t.Errorf("%s: exit code %d (%v), want %d; it said %q", path, code, err, wanted, out)
		}
	}
}
