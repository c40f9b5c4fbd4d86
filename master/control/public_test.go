package control

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prefork/cluster/master/api"
)

// published is the metrics address on a real port.
type published struct {
	*testing.T
	cluster *fakeCluster
	journal *fakeJournal
	api     *API
	public  *Public
	done    chan struct{}
	server  *httptest.Server
}

func publish(t *testing.T, access Access, change func(*API)) *published {
	t.Helper()
	p := &published{T: t, cluster: &fakeCluster{}, journal: newJournal(2), done: make(chan struct{})}
	p.api = New(p.cluster, p.journal, slog.New(slog.DiscardHandler), p.done)
	if change != nil {
		change(p.api)
	}
	named := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, name, " ", r.URL.Path) })
	}
	p.public = NewPublic(p.api, named("rest"), named("page"), "metrics.example:9394", access)
	p.server = httptest.NewServer(p.public)
	t.Cleanup(p.server.Close)
	t.Cleanup(func() { close(p.done) })
	return p
}

// ask is one request with headers, each "Name: value"; redirects are not followed.
func (p *published) ask(method, path string, headers ...string) (*http.Response, string) {
	p.Helper()
	res := p.open(method, path, headers...)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.Fatal(err)
	}
	return res, string(text)
}

func (p *published) open(method, path string, headers ...string) *http.Response {
	p.Helper()
	r, err := http.NewRequestWithContext(p.Context(), method, p.server.URL+path, nil)
	if err != nil {
		p.Fatal(err)
	}
	for _, h := range headers {
		name, value, found := strings.Cut(h, ": ")
		if !found {
			continue
		}
		if r.Header.Set(name, value); name == "Host" {
			r.Host = value
		}
	}
	res, err := p.server.Client().Transport.RoundTrip(r)
	if err != nil {
		p.Fatal(err)
	}
	return res
}

func TestPublic(t *testing.T) {
	t.Parallel()
	open, closed := Access{Page: true}, Access{}
	asks, closedAsks := Access{Page: true, Token: "s3cret"}, Access{Token: "s3cret"}
	p := publish(t, open, nil)
	for _, test := range []struct {
		access       Access
		method, path string
		header       string
		status       int
		want         string
	}{
		{open, "GET", "/metrics", "", 200, "rest /metrics"},
		{open, "GET", "/livez", "", 200, "rest /livez"},
		{open, "GET", "/", "", 302, ""},
		{open, "GET", "/page", "", 200, "page /page"},
		{open, "GET", "/page/x.js", "", 200, "page /page/x.js"},
		{open, "GET", "/pages", "", 200, "rest /pages"},
		{open, "GET", "/v1/status", "", 200, `"state":"ready"`},
		{open, "GET", "/v1/events?since=1", "", 200, `{"id":2,`},
		{open, "GET", "/v1/stacks", "", 403, "/v1/stacks is on the control socket only"},
		{open, "GET", "/v1/profile?slot=1", "", 403, "control socket only"},
		{open, "GET", "/v1/nothing", "", 404, "docs/control-api.md"},
		{open, "POST", "/v1/status", "", 405, "give GET"},

		{open, "GET", "/v1/status", "Host: localhost:9394", 200, "ready"},
		{open, "GET", "/v1/status", "Host: LOCALHOST.", 200, "ready"},
		{open, "GET", "/v1/status", "Host: [::1]:9394", 200, "ready"},
		{open, "GET", "/v1/status", "Host: 10.0.0.7", 200, "ready"},
		{open, "GET", "/v1/status", "Host: Metrics.Example", 200, "ready"},
		{open, "GET", "/v1/status", "Host: evil.example", 403, `host \"evil.example\" is refused`},
		{open, "GET", "/page", "Host: evil.example:9394", 403, "is refused"},
		{open, "GET", "/v1/status", "Host: localhost.evil.example", 403, "is refused"},
		{open, "GET", "/v1/status", "Host: 1.evil.example", 403, "is refused"},
		{open, "GET", "/metrics", "Host: evil.example", 200, "rest"},
		{open, "GET", "/readyz", "Host: evil.example", 200, "rest"},

		{closed, "GET", "/v1/status", "", 200, "rest /v1/status"}, // which has no such page
		{closed, "GET", "/page", "", 200, "rest /page"},
		{closed, "GET", "/", "", 200, "rest /"},
		{closed, "GET", "/metrics", "", 200, "rest /metrics"},

		{asks, "GET", "/metrics", "", 401, "a token is needed"},
		{asks, "GET", "/v1/status", "", 401, "a token is needed"},
		{asks, "GET", "/v1/status", "Authorization: Bearer s3cret", 200, "ready"},
		{asks, "GET", "/metrics", "Authorization: bearer s3cret", 200, "rest"},
		{asks, "GET", "/metrics", "Authorization: Bearer s3cre", 401, "a token is needed"},
		{asks, "GET", "/metrics", "Authorization: Bearer ", 401, "a token is needed"},
		{asks, "GET", "/metrics", "Authorization: Basic s3cret", 401, "a token is needed"},
		{asks, "GET", "/livez", "", 200, "rest"},
		{asks, "GET", "/readyz", "", 200, "rest"},
		{asks, "GET", "/page", "", 200, "page"}, // it asks for the token
		{asks, "GET", "/pages", "", 401, "a token is needed"},
		{closedAsks, "GET", "/page", "", 401, "a token is needed"},
		{closedAsks, "GET", "/metrics", "Authorization: Bearer s3cret", 200, "rest"},
	} {
		p.public.Allow(test.access)
		res, text := p.ask(test.method, test.path, test.header)
		if res.StatusCode != test.status || !strings.Contains(text, test.want) {
			t.Errorf("%+v: %s %s %s: %s %s, want %d with %s", test.access, test.method, test.path, test.header, res.Status, text, test.status, test.want)
		}
		if asked := res.Header.Get("WWW-Authenticate"); (test.status == 401) != (asked == `Bearer realm="cluster"`) {
			t.Errorf("%s %s: WWW-Authenticate: %s", test.method, test.path, asked)
		}
		if to := res.Header.Get("Location"); (test.status == 302) != (to == "/page") {
			t.Errorf("%s: Location: %s", test.path, to)
		}
		if res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: other sites may read it", test.path)
		}
		if strings.HasPrefix(text, "page") && (!strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src 'self'") || res.Header.Get("X-Content-Type-Options") != "nosniff") {
			t.Errorf("%s: %q", test.path, res.Header)
		}
	}
	// Nothing there changes anything.
	p.public.Allow(open)
	for _, r := range routes {
		if r.method == "GET" {
			continue
		}
		if res, text := p.ask(r.method, r.path); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s: %s %s", r.method, r.path, res.Status, text)
		}
	}
	if got := p.cluster.done(); got != "" {
		t.Errorf("the cluster was told to %s", got)
	}
}

// nextEvent reads one server-sent event.
func nextEvent(t *testing.T, r *bufio.Reader) (id, name, data string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch key {
		case "id":
			id = value
		case "event":
			name = value
		case "data":
			data = value
		case "":
			return id, name, data
		}
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	p := publish(t, Access{Page: true}, nil)
	res := p.open("GET", "/v1/stream", "Last-Event-ID: 1")
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type: %s", got)
	}
	r := bufio.NewReader(res.Body)
	seen := map[string]int{}
	for wanted, added := []string{"2", "3"}, false; len(wanted) > 0 || seen["status"] < 2; {
		id, name, data := nextEvent(t, r)
		seen[name]++
		switch name {
		case "status":
			if id != "" || !strings.Contains(data, `"state":"ready"`) {
				t.Errorf("status %q: %s", id, data)
			}
		case "event":
			if len(wanted) == 0 || id != wanted[0] || !strings.Contains(data, `"id":`+id) || strings.ContainsAny(data, "<\n") {
				t.Fatalf("event %q: %s, want %v", id, data, wanted)
			}
			if wanted = wanted[1:]; !added {
				added = true
				p.journal.add()
			}
		default:
			t.Errorf("%s %s", name, data)
		}
	}
	// An ID that this master has not reached is of another one: all is new.
	after := p.open("GET", "/v1/stream?since=1000")
	defer after.Body.Close()
	for r := bufio.NewReader(after.Body); ; {
		if id, name, _ := nextEvent(t, r); name == "event" {
			if id != "1" {
				t.Errorf("the first event is %s", id)
			}
			break
		}
	}
	if res, text := p.ask("GET", "/v1/stream", "Last-Event-ID: x"); res.StatusCode != http.StatusBadRequest {
		t.Errorf("%s %s", res.Status, text)
	}
}

// The status is made once a second, however many look, and not at all when nobody does.
func TestStreamsShareTheStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		made := 0
		l := live{status: func() api.Status { made++; return api.Status{} }}
		for range 10 {
			l.join()
		}
		time.Sleep(4500 * time.Millisecond)
		synctest.Wait()
		if made != 5 {
			t.Errorf("made %d times in 4.5 s, want at 0, 1, 2, 3, 4 s", made)
		}
		for range 10 {
			l.leave()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if made != 5 || l.runs {
			t.Errorf("made %d times when nobody looks, and it goes on: %v", made, l.runs)
		}
		l.join()
		synctest.Wait()
		if _, next := l.now(); made != 6 || next == nil {
			t.Errorf("made %d times when one looks again", made)
		}
		l.leave()
		time.Sleep(time.Minute)
	})
}

// At most so many streams are open, and one whose client does not read is closed.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	p := publish(t, Access{Page: true}, func(a *API) { a.writePatience = 2 * time.Second })
	p.cluster.name = strings.Repeat("x", 4<<20) // more than the buffers of a connection hold
	for range maxLasting {
		c, err := net.Dial("tcp", p.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c, "GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		begins(t, c)
	}
	// Those before may have been closed already on a slow machine, so one more may be served; it must end in any case.
	for deadline := time.Now().Add(patience); len(p.public.door.places) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d streams are open that nobody reads", len(p.public.door.places))
		}
	}
	for range maxLasting {
		p.public.door.places <- struct{}{}
	}
	if res, text := p.ask("GET", "/v1/stream"); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "100 clients follow") {
		t.Errorf("one more than may be: %s %s", res.Status, text)
	}
	if res, text := p.ask("GET", "/v1/status"); res.StatusCode != http.StatusOK {
		t.Errorf("who follows nothing: %s %.100s", res.Status, text)
	}
}

func TestReadToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		path, token string
		open        bool
		want        string // of the error
	}{
		{"", "", false, ""},
		{file("good", "s3cret\n", 0o600), "s3cret", false, ""},
		{file("group", " s3cret ", 0o640), "s3cret", false, ""},
		{file("open", "s3cret", 0o644), "s3cret", true, ""},
		{file("empty", "", 0o600), "", false, "is empty: write a token into it"},
		{file("blank", " \n\n", 0o600), "", false, "is empty"},
		{file("words", "two words", 0o600), "", false, "has 2 words"},
		{file("long", strings.Repeat("x", 5000), 0o600), "", false, "has more than 4096 bytes"},
		{filepath.Join(dir, "missing"), "", false, "--metrics-token-file cannot be read: open " + dir + "/missing: no such file or directory"},
		{dir, "", false, "--metrics-token-file cannot be read"},
	} {
		token, open, err := ReadToken(test.path)
		if token != test.token || open != test.open || (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %q, %v, %v; want %q, %v, %s", test.path, token, open, err, test.token, test.open, test.want)
		}
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:9394": true, "127.1.2.3:0": true, "[::1]:9394": true, "localhost:9394": true,
		":9394": false, "0.0.0.0:9394": false, "[::]:9394": false, "10.0.0.7:9394": false, "example.com:9394": false, "127.0.0.1": false,
	} {
		if got := Loopback(address); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}
