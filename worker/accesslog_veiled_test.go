package worker

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Under TLS and for streams the lines say the same.
func TestAccessLogVeiled(t *testing.T) {
	perVeiledProtocol(t, func(t *testing.T, protocol string) {
		for _, buffer := range []int{0, 64 << 10} {
			var name string
			w, base, c := startVeiled(t, protocol, loggedHandler(t, nil), logging(t, &name), func(s *setup) {
				s.config.BufferResponse, s.config.BufferBody, s.config.MaxBody = buffer, buffer, 1000
			})
			var wanted []told
			ask := func(line told, body string) {
				t.Helper()
				request, err := http.NewRequest(line.method, base+line.path+"?secret=1", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if line.method == "PUT" {
					request.Header.Set("Expect", "100-continue")
				}
				r, err := c.Do(request)
				if err != nil {
					if line.status != 0 {
						t.Fatalf("%s: %v", line.path, err)
					}
				} else {
					io.Copy(io.Discard, r.Body)
					r.Body.Close()
					want(t, "status", r.StatusCode, line.status)
				}
				wanted = append(wanted, line)
				awaitLog(t, w, name, len(wanted))
			}
			for _, line := range []told{
				{"GET", "/", 200, 5},
				{"GET", "/nothing", 200, 0},
				{"HEAD", "/", 200, 0},
				{"HEAD", "/chunks", 200, 0},
				{"GET", "/none", 204, 0},
				{"GET", "/bodyless", 304, 0},
				{"GET", "/chunks", 200, chunksSize},
				{"GET", "/head", 200, 10},
				{"GET", "/file", 200, 500_000},
				{"GET", "/early", 200, 5},
				{"POST", "/abort", 0, 0},
			} {
				ask(line, "")
			}
			ask(told{"PUT", "/read", 200, 7}, "abc")
			ask(told{"POST", "/read", 413, 27}, strings.Repeat("x", 2000))
			wantLines(t, readLog(t, name), wanted...)
			want(t, "counted answers", w.Row.Total(), int64(len(wanted)-1)) // one hung up
		}
	})
}

// Streams of one connection have a line each, though they run at once.
func TestAccessLogOfStreams(t *testing.T) {
	t.Parallel()
	var name string
	g := newGate()
	mux := http.NewServeMux()
	mux.Handle("/", g)
	mux.HandleFunc("/first", hello)
	w, base, c := startVeiled(t, "h2c", mux, logging(t, &name), func(s *setup) { s.config.Threads = 8 })
	if _, _, _, err := fetch(c, base+"/first"); err != nil { // so that there is a connection to share
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	var wanted []string
	for i := range 8 {
		path := "/" + strings.Repeat("x", i+1)
		wanted = append(wanted, path)
		clients.Go(func() {
			if _, _, body, err := fetch(c, base+path); body != path || err != nil {
				t.Errorf("%q, %v", body, err)
			}
		})
	}
	for range 8 {
		await(t, "all streams", g.entered)
	}
	<-time.After(pause)
	close(g.leave)
	clients.Wait()
	var got []string
	for _, l := range awaitLog(t, w, name, 9)[1:] {
		got = append(got, l.Path)
		if l.Bytes != int64(len(l.Path)) || l.Duration < pause.Seconds() || l.Status != 200 {
			t.Errorf("%+v", l)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, wanted) {
		t.Errorf("lines of %q", got)
	}
	want(t, "connections", w.Row.Accepted.Load(), 1)
}

// A connection under TLS that the handler has taken over has its line when the handler ends.
func TestAccessLogOfHijackUnderTLS(t *testing.T) {
	t.Parallel()
	var name string
	g := newGate()
	w, base, c := startVeiled(t, "https h1", loggedHandler(t, g), logging(t, &name))
	request, err := http.NewRequest("GET", base+"/hijack", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "something")
	r, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	close(g.leave)
	r.Body.Close()
	want(t, "status", r.StatusCode, http.StatusSwitchingProtocols)
	wantLines(t, awaitLog(t, w, name, 1), told{"GET", "/hijack", 101, 0})
}
