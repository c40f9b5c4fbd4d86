package worker

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/internal/traffic"
	"github.com/prefork/cluster/ipc"
)

// logPipe makes a pipe with a name that nobody reads yet.
func logPipe(t *testing.T) (r *os.File, name string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, name
}

// A reader that has stopped costs lines, which are counted, and nothing else. When it comes back lines flow again, and each
// that arrives is whole, of however many workers.
func TestAccessLogReaderComesBack(t *testing.T) {
	t.Parallel()
	const workers, each = 4, 1500
	r, name := logPipe(t)
	var all []*testWorker
	for range workers {
		all = append(all, startWorker(t, loggedHandler(t, nil), func(s *setup) { s.accessLog, s.logFormat = name, "json" }))
	}
	load := func(requests int64, path string) {
		t.Helper()
		var clients sync.WaitGroup
		for _, w := range all {
			clients.Go(func() {
				report := traffic.Clients{Addr: w.addr, Path: path, Connections: 4, KeepAlive: true, Requests: requests}.Run(t.Context())
				if report.Losses() != 0 || report.ClassCounts["2xx"] != requests {
					t.Error(report)
				}
			})
		}
		clients.Wait()
	}
	dropped := func() (n int64) {
		for _, w := range all {
			n += w.Row.LogDropped.Load()
		}
		return n
	}
	long := "/" + strings.Repeat("x", 1900)
	load(each, long) // more than the pipe and the buffers hold
	for _, w := range all {
		if w.Row.LogDropped.Load() == 0 {
			t.Error("nobody reads, and nothing is counted as dropped")
		}
	}
	text := make(chan string, 1)
	go func() {
		all, err := io.ReadAll(r)
		if err != nil {
			t.Error(err)
		}
		text <- string(all)
	}()
	for _, w := range all {
		if err := w.Requests.Out.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	before := dropped()
	load(100, "/again")
	for _, w := range all {
		w.drain(t, order{})
		w.wantResult(t)
	}
	want(t, "dropped lines, once the reader is back", dropped(), before)
	paths := map[string]int64{}
	for _, l := range parseLog(t, await(t, "the reader", text)) {
		paths[l.Path]++
	}
	want(t, "lines, once the reader is back", paths["/again"], workers*100)
	want(t, "lines from before and dropped ones", paths[long]+before, workers*each)
}

// Nor does a drain wait for the reader for longer than a moment, and what is lost is counted.
func TestAccessLogWithoutReader(t *testing.T) {
	t.Parallel()
	_, name := logPipe(t)
	w := startWorker(t, loggedHandler(t, nil), func(s *setup) { s.accessLog, s.logFormat = name, "json" })
	report := traffic.Clients{Addr: w.addr, Path: "/" + strings.Repeat("x", 1900), Connections: 4, KeepAlive: true, Requests: 500}.Run(t.Context())
	want(t, "lost requests", report.Losses(), 0)
	want(t, "dropped lines, while there is room", w.Row.LogDropped.Load(), 0)
	before := time.Now()
	w.drain(t, order{})
	w.wantResult(t)
	if took := time.Since(before); took > flushTime+patience/3 {
		t.Errorf("the drain has taken %v", took)
	}
	if n := w.Row.LogDropped.Load(); n < 400 || n > 500 { // the pipe holds 64 KiB
		t.Errorf("%d of 500 lines are counted as dropped", n)
	}
}

// A disk that is full, or one that goes wrong, is in the worker's log.
func TestAccessLogFails(t *testing.T) {
	t.Parallel()
	w := startWorker(t, loggedHandler(t, nil), func(s *setup) { s.accessLog, s.logFormat = "/dev/full", "text" })
	dial(t, w.addr).get("/")
	eventually(t, "the line to be counted as dropped", func() bool { return w.Row.LogDropped.Load() == 1 })
	eventually(t, "the log", func() bool { return strings.Contains(w.log.String(), "no space left on device") })
}

// No line is lost or doubled while the file is replaced under load.
func TestAccessLogReopens(t *testing.T) {
	t.Parallel()
	const requests, files = 3000, 20
	name := filepath.Join(t.TempDir(), "access")
	w := startWorker(t, loggedHandler(t, nil), func(s *setup) { s.accessLog, s.logFormat = name, "json" })
	loaded := make(chan traffic.Report, 1)
	go func() {
		loaded <- traffic.Clients{Addr: w.addr, Path: "/", Connections: 4, KeepAlive: true, Requests: requests}.Run(t.Context())
	}()
	for i := range files {
		seen := w.Row.Total()
		eventually(t, "more requests", func() bool { return w.Row.Total() > min(seen+requests/files/2, requests-1) })
		if err := os.Rename(name, name+string(rune('a'+i))); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(name, unix.O_CREAT|unix.O_APPEND|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		w.do(ipc.Message{Type: ipc.ReopenLogs}, ipc.Own(fd))
	}
	report := await(t, "the load", loaded)
	want(t, "lost requests", report.Losses(), 0)
	c := dial(t, w.addr)
	c.get("/after")
	c.Close()
	w.drain(t, order{})
	w.wantResult(t)
	newest := readLog(t, name)
	if n := len(newest); n == 0 || newest[n-1].Path != "/after" {
		t.Errorf("the last request is not in the new file, but %+v", newest)
	}
	total := len(newest)
	for i := range files {
		total += len(readLog(t, name+string(rune('a'+i))))
	}
	want(t, "lines", total, requests+1)
	want(t, "dropped", w.Row.LogDropped.Load(), 0)
}
