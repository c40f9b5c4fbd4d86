package engine

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/worker/internal/lines"
)

// An entry is written once, whoever comes first, and its handler may still run then.
func TestEntryIsWrittenOnce(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	var dropped atomic.Int64
	out, err := lines.New(file, lines.Options{Dropped: &dropped})
	if err != nil {
		t.Fatal(err)
	}
	l := &RequestLog{Out: out, GC: lines.NewGCClock(), Clock: scoreboard.NewClock(), Slot: 1, Generation: 2}
	defer l.GC.Stop()
	var all []*Entry
	for _, path := range []string{"/held", "/done", "/alone"} {
		e := l.Begin("GET", path, "there")
		e.Started(l.Clock.Now()-int64(time.Minute), time.Second)
		e.Status.Store(200)
		all = append(all, e)
	}
	l.Hold(all[0])
	l.Hold(all[1])
	all[1].Handled(time.Hour)
	l.WriteOne(all[1])
	all[2].Write()
	l.WriteHeld()
	if err := out.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, e := range all { // whose handlers end now
		e.Handled(time.Hour)
		l.WriteOne(e)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n != len(all) || dropped.Load() != 0 {
		t.Errorf("%d lines and %d dropped of %d requests:\n%s", n, dropped.Load(), len(all), text)
	}
	for _, part := range []string{
		" path=/done status=200 bytes=0 duration=1h0m0s wait=1s ", " path=/alone status=200 bytes=0 duration=1m0.", " path=/held status=200 bytes=0 duration=1m0.",
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}
