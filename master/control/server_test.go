package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/journal"
	"github.com/prefork/cluster/master/plan"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// fakeCluster does what it is asked and keeps it. err is what it answers then.
type fakeCluster struct {
	err     error
	asked   atomic.Int64 // for the status
	name    string       // in the status; may be long
	mu      sync.Mutex
	changes []string
	endless atomic.Bool // a restart never ends, and always has something to tell
}

func (c *fakeCluster) did(format string, args ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes = append(c.changes, fmt.Sprintf(format, args...))
	return c.err
}

// done is what it was told since the last call.
func (c *fakeCluster) done() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := strings.Join(c.changes, ",")
	c.changes = nil
	return text
}

func (c *fakeCluster) Status() api.Status {
	c.asked.Add(1)
	return api.Status{Name: c.name, Version: "v1", State: "ready"}
}

func (c *fakeCluster) Stacks(context.Context) ([]api.StackDump, error) {
	return []api.StackDump{{Slot: -1, Text: "goroutine 1"}}, c.err
}

func (c *fakeCluster) Profile(_ context.Context, slot int, kind string, length time.Duration) ([]byte, error) {
	return fmt.Appendf(nil, "%d %s %v", slot, kind, length), c.err
}

func (c *fakeCluster) Restart(context.Context) (int, error) { return 2, c.did("restart") }

func (c *fakeCluster) Renew(_ context.Context, slot int) (int, error) {
	return 7, c.did("renew %d", slot)
}

func (c *fakeCluster) Renewing(_ context.Context, number int, wait string) iter.Seq[api.RenewalProgress] {
	return func(yield func(api.RenewalProgress) bool) {
		yield(api.RenewalProgress{Renewal: plan.Renewal{Number: number, Detail: wait}, Final: true})
	}
}

func (c *fakeCluster) Progress(ctx context.Context, generation int, wait string) iter.Seq[api.RestartProgress] {
	return func(yield func(api.RestartProgress) bool) {
		p := api.RestartProgress{Rollout: plan.Rollout{Generation: generation, Reason: wait}}
		for i := 0; i < 2 || c.endless.Load(); i++ {
			p.Replaced, p.Final = i, i == 1 && !c.endless.Load()
			if ctx.Err() != nil || !yield(p) {
				return
			}
		}
	}
}

func (c *fakeCluster) Scale(_ context.Context, to, by int) (int, error) {
	return 4, c.did("scale %d %d", to, by)
}

func (c *fakeCluster) SetThreads(_ context.Context, n int) error { return c.did("threads %d", n) }

func (c *fakeCluster) SetLogLevel(_ context.Context, l slog.Level) (slog.Level, error) {
	return slog.LevelInfo, c.did("level %s", l)
}

func (c *fakeCluster) Reload(context.Context) (*api.Reload, error) {
	return &api.Reload{Outcome: api.ReloadDone}, c.did("reload")
}

func (c *fakeCluster) Stop(_ context.Context, now bool) (api.Stopping, error) {
	return api.Stopping{DrainTimeout: 30}, c.did("stop %v", now)
}
func (c *fakeCluster) ReopenLogs(context.Context) error { return c.did("reopen") }

// fakeJournal has the events 1 to n, and more when they are added.
type fakeJournal struct {
	mu    sync.Mutex
	all   []journal.Event
	added chan struct{} // closed with the next one
}

func newJournal(n int) *fakeJournal {
	j := &fakeJournal{added: make(chan struct{})}
	for range n {
		j.add()
	}
	return j
}

func (j *fakeJournal) add() {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := uint64(len(j.all) + 1)
	j.all = append(j.all, journal.Event{ID: n, Name: "happened", Message: fmt.Sprintf("event <%d>\n", n)})
	close(j.added)
	j.added = make(chan struct{})
}

func (j *fakeJournal) Since(id uint64) []journal.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.all[min(id, uint64(len(j.all))):])
}

func (j *fakeJournal) Follow(ctx context.Context, since uint64) iter.Seq[journal.Event] {
	return func(yield func(journal.Event) bool) {
		for {
			j.mu.Lock()
			added := j.added
			j.mu.Unlock()
			for _, e := range j.Since(since) {
				if since = e.ID; !yield(e) {
					return
				}
			}
			select {
			case <-added:
			case <-ctx.Done():
				return
			}
		}
	}
}

// served is an API on a control socket of its own.
type served struct {
	*testing.T
	api  *API
	path string
	log  *safeBuffer
	done chan struct{}
	http *http.Client

	server *Server
}

type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *safeBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.String()
}

// serve starts one; change may alter it before.
func serve(t *testing.T, c Cluster, j Journal, change func(*API)) *served {
	t.Helper()
	s := &served{T: t, path: filepath.Join(socketDir(t), "c.sock"), log: &safeBuffer{}, done: make(chan struct{})}
	l, lock, err := Listen(s.path)
	if err != nil {
		t.Fatal(err)
	}
	s.api = New(c, j, slog.New(slog.NewTextHandler(s.log, nil)), s.done)
	if change != nil {
		change(s.api)
	}
	ended := make(chan struct{})
	s.server = s.api.Server()
	go func() { defer close(ended); s.server.Serve(l) }()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", s.path) }}
	s.http = &http.Client{Transport: transport, Timeout: patience}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		close(s.done)
		s.server.Close()
		lock.Release()
		<-ended
	})
	return s
}

// ask is one request on a connection of its own.
func (s *served) ask(method, path, body string) (*http.Response, string) {
	s.Helper()
	r, err := http.NewRequest(method, "http://cluster"+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	res, err := s.http.Do(r)
	if err != nil {
		s.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatalf("%s %s: %v", method, path, err)
	}
	return res, string(text)
}

func (s *served) dial() net.Conn {
	s.Helper()
	c, err := net.Dial("unix", s.path)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	cluster := &fakeCluster{}
	s := serve(t, cluster, newJournal(2), nil)
	for _, test := range []struct {
		method, path, body string
		status             int
		want               string // of the answer
		done               string // of the cluster
	}{
		{"GET", "/v1/version", "", 200, `{"version":"v1"}`, ""},
		{"GET", "/v1/status", "", 200, `"state":"ready"`, ""},
		{"GET", "/v1/stacks", "", 200, `"text":"goroutine 1"`, ""},
		{"GET", "/v1/profile?slot=3&seconds=60", "", 200, "3 cpu 1m0s", ""},
		{"GET", "/v1/profile?slot=0", "", 200, "0 cpu 10s", ""},
		{"GET", "/v1/profile?slot=master&kind=heap", "", 200, "-1 heap 0s", ""},
		{"GET", "/v1/profile", "", 400, "give slot, the number of a worker, or master", ""},
		{"GET", "/v1/profile?slot=x", "", 400, `slot \"x\": give the number of a worker, or master`, ""},
		{"GET", "/v1/profile?slot=-1", "", 400, `slot \"-1\"`, ""},
		{"GET", "/v1/profile?slot=1&kind=block", "", 400, `kind \"block\": give cpu, heap or goroutine`, ""},
		{"GET", "/v1/profile?slot=1&seconds=61", "", 400, `seconds \"61\": give 1 to 60`, ""},
		{"GET", "/v1/profile?slot=1&seconds=0", "", 400, `seconds \"0\"`, ""},
		{"GET", "/v1/profile?slot=1&kind=heap&seconds=5", "", 400, "a heap profile is of a moment", ""},
		{"GET", "/v1/profile?slots=1&sec=3", "", 400, "unknown in the query: sec, slots; give slot, kind, seconds", ""},
		{"GET", "/v1/profile?slot=1&slot=2", "", 400, "slot is given 2 times", ""},
		{"GET", "/v1/status?x=%zz", "", 400, "the query", ""},
		{"GET", "/v1/status?wait=1", "", 400, "unknown in the query: wait; nothing can be given", ""},
		{"GET", "/v1/status", "{}", 400, "GET /v1/status takes no body", ""},
		{"GET", "/v1/events", "", 200, `{"id":1,`, ""},
		{"GET", "/v1/events?since=1", "", 200, `{"id":2,`, ""},
		{"GET", "/v1/events?since=x", "", 400, `since \"x\": give the id of an event`, ""},
		{"GET", "/v1/events?follow=1", "", 400, `follow \"1\": give true or false`, ""},
		{"POST", "/v1/restart", "", 200, `"generation":2`, "restart"},
		{"POST", "/v1/restart", `{"wait":"drained"}`, 200, `"final":true`, "restart"},
		{"POST", "/v1/restart", `{"wait":"never"}`, 400, `{"error":"wait \"never\": give ready or drained"}`, ""},
		{"POST", "/v1/restart", "{", 400, "request body: unexpected end of JSON input; give wait, slot as a JSON object", ""},
		{"POST", "/v1/restart", `[]`, 400, "request body: ", ""},
		{"POST", "/v1/restart", `{"Wait":"ready","wiat":1}`, 400, `unknown in the request body: \"Wait\", \"wiat\"; give wait`, ""},
		{"POST", "/v1/restart", `{"wait":"ready"} {}`, 400, "request body: ", ""},
		{"POST", "/v1/scale", `{"to":4}`, 200, `{"workers":4}`, "scale 4 0"},
		{"POST", "/v1/scale", `{"by":-1}`, 200, `{"workers":4}`, "scale 0 -1"},
		{"POST", "/v1/scale", `{"to":"two"}`, 400, "to cannot be a string: give a whole number", ""},
		{"POST", "/v1/scale", `{"to":1.5}`, 400, "to cannot be 1.5: give a whole number", ""},
		{"POST", "/v1/scale", `{"to":1,"by":1}`, 400, "give to, the number of workers, or by", ""},
		{"POST", "/v1/scale", "", 400, "give to, the number of workers, or by", ""},
		{"POST", "/v1/scale", `{"too":1}`, 400, `unknown in the request body: \"too\"; give to, by`, ""},
		{"POST", "/v1/threads", `{"to":8}`, 200, `{"threads":8}`, "threads 8"},
		{"POST", "/v1/threads", `{"to":0}`, 400, "give to, the number of threads of each worker, at least 1", ""},
		{"POST", "/v1/threads", `{"to":true}`, 400, "to cannot be a bool", ""},
		{"POST", "/v1/log-level", `{"level":"debug"}`, 200, `{"level":"debug","before":"info"}`, "level DEBUG"},
		{"POST", "/v1/log-level", `{"level":"DEBUG+1"}`, 400, `level \"DEBUG+1\": give debug, info, warn or error`, ""},
		{"POST", "/v1/log-level", "", 400, "give debug, info, warn or error", ""},
		{"POST", "/v1/reload", "", 200, `"outcome":"done"`, "reload"},
		{"POST", "/v1/reload", `{"now":true}`, 400, `unknown in the request body: \"now\"; nothing can be given`, ""},
		{"POST", "/v1/reopen-logs", "{}", 200, "{}", "reopen"},
		{"POST", "/v1/stop", `{"now":true}`, 202, `{"drain_delay_seconds":0,"drain_timeout_seconds":30}`, "stop true"},
		{"POST", "/v1/stop", "nonsense", 400, "request body: invalid character", ""},
		{"POST", "/v1/stop", `{"now":1}`, 400, "now cannot be a number: give true or false", ""},
		{"GET", "/v1/restart", "", 405, "GET is not for /v1/restart: give POST", ""},
		{"DELETE", "/v1/status", "", 405, "DELETE is not for /v1/status: give GET", ""},
		{"GET", "/", "", 404, "nothing is at /: the routes are in docs/control-api.md", ""},
		{"POST", "/v1/statuss", "", 404, "nothing is at /v1/statuss", ""},
	} {
		res, text := s.ask(test.method, test.path, test.body)
		if res.StatusCode != test.status || !strings.Contains(text, test.want) {
			t.Errorf("%s %s %s: %s %s, want %d with %s", test.method, test.path, test.body, res.Status, text, test.status, test.want)
		}
		if got := cluster.done(); got != test.done {
			t.Errorf("%s %s %s did %q, want %q", test.method, test.path, test.body, got, test.done)
		}
		var f api.Failure
		if test.status >= 400 && (json.Unmarshal([]byte(text), &f) != nil || f.Error == "" || res.Header.Get("Content-Type") != "application/json") {
			t.Errorf("%s %s: no failure in JSON: %q %s", test.method, test.path, res.Header, text)
		}
		if allow := res.Header.Get("Allow"); (test.status == 405) != (allow != "") || allow != "" && !strings.HasSuffix(f.Error, allow) {
			t.Errorf("%s %s: Allow: %s with %s", test.method, test.path, allow, f.Error)
		}
	}
}

// What the cluster refuses, and what it answers when it has ended.
func TestRefusals(t *testing.T) {
	t.Parallel()
	cluster := &fakeCluster{}
	s := serve(t, cluster, nil, nil)
	for _, test := range []struct {
		err    error
		status int
	}{
		{errors.New("it is too late"), http.StatusConflict},
		{fmt.Errorf("so: %w", ErrEnded), http.StatusServiceUnavailable},
	} {
		cluster.err = test.err
		for _, r := range routes {
			path, body := r.path, ""
			switch r.path {
			case "/v1/status", "/v1/version", "/v1/events", "/v1/stream":
				continue
			case "/v1/profile":
				path += "?slot=1"
			case "/v1/scale", "/v1/threads":
				body = `{"to":1}`
			case "/v1/log-level":
				body = `{"level":"warn"}`
			}
			res, text := s.ask(r.method, path, body)
			if want := fmt.Sprintf("{\"error\":%q}\n", test.err); res.StatusCode != test.status || text != want {
				t.Errorf("%s %s: %s %s, want %d %s", r.method, path, res.Status, text, test.status, want)
			}
		}
	}
}

// Clients that are broken or mean harm, each on a real socket. The API is well afterwards.
func TestBadClients(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeCluster{}, nil, func(a *API) { a.readPatience = 200 * time.Millisecond })
	answerTo := func(t *testing.T, sent string) string {
		t.Helper()
		c := s.dial()
		if _, err := io.WriteString(c, sent); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(c)
		if err != nil {
			t.Errorf("after %q: %v", text, err)
		}
		return string(text)
	}
	for _, test := range []struct{ name, sent, want string }{
		{"says nothing", "", ""},
		{"stops within the head", "POST /v1/stop HTTP/1.1\r\nHost: x\r\n", ""},
		{"garbage", "\x16\x03\x01\x00\xff\x00\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{"endless head", "GET /v1/status HTTP/1.1\r\nX: " + strings.Repeat("x", 200<<10), "HTTP/1.1 431"},
		{"stops within the body", "POST /v1/scale HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", "HTTP/1.1 408"},
		{"a body where none is read", "GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", "HTTP/1.1 400"},
		{"does not wait for permission", "POST /v1/scale HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 104857600\r\n\r\n", "HTTP/1.1 413"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			if text := answerTo(t, test.sent); !strings.HasPrefix(text, test.want) || test.want == "" && text != "" {
				t.Errorf("%q, want %q", text, test.want)
			}
			if took := time.Since(begun); took > patience/2 {
				t.Errorf("it took %v", took)
			}
		})
	}
	t.Run("a body of 100 MB", func(t *testing.T) {
		t.Parallel()
		for _, body := range []io.Reader{strings.NewReader(strings.Repeat(" ", 100<<20)), io.LimitReader(spaces{}, 100<<20)} { // the second one is chunked
			res, err := s.http.Post("http://cluster/v1/scale", "application/json", body)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(text), "65536") {
				t.Errorf("%s %s", res.Status, text)
			}
		}
	})
	t.Cleanup(func() { // when they have all gone
		if res, text := s.ask("GET", "/v1/version", ""); res.StatusCode != http.StatusOK {
			t.Errorf("afterwards: %s %s", res.Status, text)
		}
	})
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// A thousand clients that say nothing keep nobody out: an operator is served within 5 s, whatever the patience.
// Nothing runs beside it, since it measures.
func TestAThousandSilentClients(t *testing.T) {
	s := serve(t, &fakeCluster{}, nil, func(a *API) { a.readPatience = time.Minute })
	for range 1000 {
		s.dial()
	}
	begun := time.Now()
	res, text := s.ask("GET", "/v1/version", "")
	if took := time.Since(begun); res.StatusCode != http.StatusOK || took > 5*time.Second {
		t.Errorf("%s %s after %v", res.Status, text, took)
	}
}

// A thousand that ask at once are all answered.
func TestAThousandClients(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeCluster{}, nil, nil)
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	for range 1000 {
		c := s.dial()
		if _, err := io.WriteString(c, "GET /v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			text, err := io.ReadAll(c)
			if err == nil && !strings.HasPrefix(string(text), "HTTP/1.1 200") {
				err = fmt.Errorf("answered %q", text)
			}
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		t.Error(*err)
	}
}

// Requests that last have places of their own, and a client that does not read what it follows loses its place.
func TestFollowers(t *testing.T) {
	t.Parallel()
	cluster := &fakeCluster{}
	cluster.endless.Store(true)
	s := serve(t, cluster, nil, func(a *API) { a.writePatience = 200 * time.Millisecond })
	for range maxLasting {
		c := s.dial()
		if _, err := io.WriteString(c, "POST /v1/restart HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		begins(t, c)
	}
	places := s.server.door.places
	for deadline := time.Now().Add(patience); len(places) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d clients that do not read keep their places", len(places))
		}
	}
	for range maxLasting {
		places <- struct{}{}
	}
	res, text := s.ask("POST", "/v1/restart", "")
	if res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "100 clients follow the cluster already") || res.Header.Get("Retry-After") == "" {
		t.Errorf("one more than may be: %s %s", res.Status, text)
	}
	if got := cluster.done(); strings.Count(got, "restart") != maxLasting {
		t.Errorf("the one that was refused has restarted the cluster: %s", got)
	}
	if res, text := s.ask("GET", "/v1/version", ""); res.StatusCode != http.StatusOK {
		t.Errorf("who follows nothing: %s %s", res.Status, text)
	}
}

// begins waits until a request is served. An error other than the deadline is the end of one whose time is over already.
func begins(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.ReadFull(c, make([]byte, 15)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("a request is not served")
	}
}

// What bounds the time of a request's body does not end an answer that lasts longer.
func TestAnswersLast(t *testing.T) {
	t.Parallel()
	cluster := &fakeCluster{}
	cluster.endless.Store(true)
	s := serve(t, cluster, nil, func(a *API) { a.readPatience = 50 * time.Millisecond })
	res, err := s.http.Post("http://cluster/v1/restart", "application/json", strings.NewReader(`{"wait":"ready"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for begun := time.Now(); time.Since(begun) < 500*time.Millisecond; {
		if _, err := io.ReadFull(res.Body, make([]byte, 100)); err != nil {
			t.Fatalf("it ends after %v: %v", time.Since(begun), err)
		}
	}
}
