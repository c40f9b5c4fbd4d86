package worker

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc"
)

// What an application logs arrives whole and in order, from before it served to its end.
func TestLogHandler(t *testing.T) {
	t.Parallel()
	const clients, each = 4, 200
	m := spawnWorker(t, "logs")
	m.wantReady()
	var all sync.WaitGroup
	for i := range clients {
		c := dial(t, m.addr)
		all.Go(func() {
			c.get("/" + string(rune('a'+i)) + "?" + "200")
			c.Close()
		})
	}
	all.Wait()
	m.send(ipc.Message{Type: ipc.Drain}, nil)
	m.wantLeave("")
	next := map[string]int{}
	lines := strings.SplitAfter(m.log.String(), "\n")
	for i, line := range lines[:len(lines)-1] {
		var record struct {
			Msg, Path, Text string
			N               int
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if i == 0 && record.Msg != "before" || i == len(lines)-2 && record.Msg != "after" {
			t.Errorf("line %d is %q", i, record.Msg)
		}
		if record.N != next[record.Path] && record.Path != "" {
			t.Fatalf("record %d of %s, want %d", record.N, record.Path, next[record.Path])
		}
		next[record.Path]++
	}
	want(t, "last line", lines[len(lines)-1], "")
	want(t, "records of the application itself", next[""], 2)
	for i := range clients {
		want(t, "records of a client", next["/"+string(rune('a'+i))], each)
	}
	want(t, "dropped", m.row.LogDropped.Load(), 0)
}

// If nobody reads them they are dropped and counted, and neither requests nor the drain wait.
func TestLogHandlerWithoutReader(t *testing.T) {
	t.Parallel()
	m := spawnWorker(t, "logs unread")
	m.wantReady()
	c := dial(t, m.addr)
	want(t, "status", c.get("/?5000").status, 200)
	eventually(t, "dropped lines to be counted", func() bool { return m.row.LogDropped.Load() > 0 })
	c.Close()
	before := time.Now()
	m.send(ipc.Message{Type: ipc.Drain}, nil)
	m.wantLeave("")
	if took := time.Since(before); took > flushTime+patience/3 {
		t.Errorf("the drain has taken %v", took)
	}
}

// It may be made by several goroutines, and as text.
func TestLogHandlersAreOneLog(t *testing.T) {
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			h := LogHandler(i%2 == 0, &slog.HandlerOptions{Level: slog.LevelError})
			want(t, "enabled", h.Enabled(context.Background(), slog.LevelWarn), false)
		})
	}
	all.Wait()
}
