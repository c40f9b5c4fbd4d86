package master

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/journal"
)

// withEvents is a master that knows nothing but its events.
func withEvents(n int) (*Master, *slog.Logger) {
	m := &Master{journal: journal.New(1000), done: make(chan struct{})}
	log := slog.New(m.journal.Handler(slog.DiscardHandler))
	for i := range n {
		log.Info("the message", "event", journal.Scaled, "to", i+1, "padding", strings.Repeat("x", 1000))
	}
	return m, log
}

func TestServeEvents(t *testing.T) {
	t.Parallel()
	m, _ := withEvents(100)
	for _, test := range []struct {
		query       string
		status      int
		first, last uint64
	}{
		{"", 200, 1, 100},
		{"?since=0&follow=false", 200, 1, 100},
		{"?since=98", 200, 99, 100},
		{"?since=100", 200, 0, 0},
		{"?since=-1", 400, 0, 0},
		{"?since=10m", 400, 0, 0},
		{"?follow=perhaps", 400, 0, 0},
	} {
		w := httptest.NewRecorder()
		m.controlHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/events"+test.query, nil))
		if w.Code != test.status {
			t.Errorf("%q is answered %d %s", test.query, w.Code, w.Body)
			continue
		}
		if test.status != 200 {
			continue
		}
		var first, last journal.Event
		for decoder := json.NewDecoder(w.Body); ; {
			var e journal.Event
			if err := decoder.Decode(&e); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if last = e; first.ID == 0 {
				first = e
			}
		}
		if first.ID != test.first || last.ID != test.last {
			t.Errorf("%q gives events %d to %d", test.query, first.ID, last.ID)
		}
		if last.ID != 0 && (last.Name != journal.Scaled || last.Level != "info" || fmt.Sprint(last.Fields["to"]) != "100") {
			t.Errorf("the last is %+v", last)
		}
	}
}

// pipeListener gives one connection.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// One that follows sees what happens until the end of the cluster; one that stops reading is cut off.
func TestFollowEvents(t *testing.T) {
	t.Parallel()
	for _, reads := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			m, log := withEvents(50)
			server := newControlServer(m.controlHandler())
			l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
			go func() { _ = server.Serve(l) }()
			client, theirs := net.Pipe()
			l.conns <- theirs
			if _, err := io.WriteString(client, "GET /v1/events?follow=true&since=2 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReaderSize(client, 16), nil)
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(answer.Body)
			if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, `{"id":3,`) {
				t.Fatalf("the first line is %q %v", line, err)
			}
			if reads {
				go func() {
					time.Sleep(time.Minute) // nothing happens for long; and then
					log.Info("at last", "event", journal.Stopping)
					close(m.done)
				}()
			} else {
				time.Sleep(unread + time.Second)
			}
			rest, err := io.ReadAll(lines)
			if told := strings.Contains(string(rest), "at last"); told != reads || reads != (err == nil) {
				t.Errorf("one that reads (%v) was told of the end: %v, %v", reads, told, err)
			}
			server.Close()
		})
	}
}

// What happens in the life of a worker that stalls, recovers, stalls for good and is replaced, and of a restart, is told by name, in order.
func TestLoopEvents(t *testing.T) {
	inWorld(t, func(c *configs.Config) { c.Workers = 2 }, nil, func(w *world) {
		w.pass(100 * time.Millisecond)
		pid := w.snapshot().Workers[1].PID
		w.stopWorker(pid)
		w.pass(3 * time.Second)
		w.fake.mu.Lock()
		delete(w.fake.silent, pid)
		w.fake.mu.Unlock()
		w.pass(time.Second)
		w.stopWorker(pid)
		w.pass(time.Minute)
		w.loop.events <- signalEvent{syscall.SIGUSR2}
		w.pass(time.Minute)
		w.loop.events <- signalEvent{syscall.SIGTERM}
		w.code <- <-w.code
		var names []string
		for _, e := range w.journal.Since(0) {
			names = append(names, e.Name)
			switch e.Name {
			case journal.WorkerDied:
				if e.Level != "error" || e.Fields["reason"] != "heartbeat" || e.Fields["slot"] != int64(1) || !slices.Equal(e.Fields["output"].([]string), []string{"its last words"}) {
					t.Errorf("of the death is told %+v", e)
				}
			case journal.WorkerStalled:
				if e.Fields["pid"] != int64(pid) || e.Fields["silent"] == "" {
					t.Errorf("of the stall is told %+v", e)
				}
			}
		}
		want := "worker_started worker_started worker_ready worker_ready cluster_ready " +
			"worker_stalled worker_recovered worker_stalled worker_started worker_hangs worker_ready worker_killed worker_died " +
			"restart_begun worker_started worker_ready worker_drains worker_started worker_ready worker_left worker_drains restart_done worker_left " +
			"stopping worker_drains worker_drains worker_left worker_left"
		if got := strings.Join(names, " "); got != want {
			t.Errorf("events\n%s, want\n%s", got, want)
		}
		if strings.Contains(w.log.String(), "worker_started") || strings.Contains(w.log.String(), "last words") {
			t.Errorf("the log has more than its level allows, or the last lines again:\n%s", w.log)
		}
	})
}
