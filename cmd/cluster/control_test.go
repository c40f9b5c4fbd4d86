package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/master/api"
)

// The control API and its read-only part on the metrics address, with real workers: also when all of them are stopped.
func TestControlAPI(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	c := startCluster(t, "--workers", "3", "--metrics-token-file", token)

	// The metrics address
	public := func(path, token string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.MetricsAddr+path, nil)
		if err != nil {
			return nil, err
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return http.DefaultTransport.RoundTrip(r)
	}
	expect := func(path, token string, status int) {
		t.Helper()
		res, err := public(path, token)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != status {
			text, _ := io.ReadAll(res.Body)
			t.Errorf("%s with token %q: %s %s, want %d", path, token, res.Status, text, status)
		}
	}
	expect("/metrics", "", 401)
	expect("/metrics", "first", 200)
	expect("/readyz", "", 200)
	expect("/v1/status", "", 401)
	expect("/v1/status", "first", 200)
	expect("/v1/stacks", "first", 403)
	write("second\n")
	c.Must("reload")
	expect("/v1/status", "first", 401)
	expect("/v1/status", "second", 200)

	stream, err := public("/v1/stream", "second")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	streamed(t, stream.Body, c.PID)

	// The control socket, with a stream that lasts until the end. It has no timeout: the helper's client has.
	socket := &http.Client{Transport: c.http.Transport}
	res, err := socket.Get("http://cluster/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	followed := streamed(t, res.Body, c.PID)

	// Every worker is stopped. The status is there at once, and one that is asked for a profile is reported.
	workers := c.Workers()
	for _, pid := range workers {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	}
	silent := make(chan string, 1)
	go func() {
		_, stderr, _ := c.Command("profile", "--slot", "1", "--kind", "heap", "--output", filepath.Join(c.Dir, "heap"))
		silent <- stderr
	}()
	fastest := time.Minute
	for range 20 { // a machine that is busy with other tests may be slow at any of them
		begun := time.Now()
		if s := c.Status(); len(s.Slots) != 3 {
			t.Errorf("%d workers", len(s.Slots))
		}
		fastest = min(fastest, time.Since(begun))
	}
	if fastest > 50*time.Millisecond {
		t.Errorf("the status of stopped workers takes %v", fastest)
	}
	if said := <-silent; said != "cluster: worker 1 has not answered: it is stopped, starved of CPU, or does not use the library\n" {
		t.Errorf("profile of a stopped worker: %s", said)
	}
	for _, pid := range workers {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}

	// Streams end with the cluster, and hold its end up no more than anybody else.
	c.Must("stop")
	if _, err := io.Copy(io.Discard, followed); err != nil {
		t.Errorf("the stream ends with %v", err)
	}
}

// streamed reads server-sent events up to a status, and returns the rest.
func streamed(t *testing.T, from io.Reader, pid int) *bufio.Reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startPatience)
	defer cancel()
	lines := make(chan string)
	r := bufio.NewReader(from)
	go func() {
		defer close(lines)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok && strings.Contains(data, `"workers_status"`) {
				lines <- data
				return
			}
		}
	}()
	select {
	case data := <-lines:
		var s api.Status
		if err := json.Unmarshal([]byte(data), &s); err != nil || s.PID != pid {
			t.Errorf("status of pid %d, %v, want %d: %.100s", s.PID, err, pid, data)
		}
	case <-ctx.Done():
		t.Fatal("no status came")
	}
	return r
}
