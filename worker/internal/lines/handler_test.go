package lines

import (
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// What an application logs of a client's words cannot begin a line of its own nor move a cursor.
func TestHandlerEscapes(t *testing.T) {
	evil := "a\nlevel=ERROR msg=forged\r\x1b[2J\x00 \"=\xff"
	for _, asJSON := range []bool{false, true} {
		name := filepath.Join(t.TempDir(), "log")
		w := start(t, openLog(t, name), Options{})
		log := slog.New(NewHandler(w, asJSON, &slog.HandlerOptions{Level: slog.LevelDebug})).With("with"+evil, evil).WithGroup("group" + evil)
		log.Debug(evil, evil, evil, "err", errors.New(evil), "bytes", []byte(evil), "any", struct{ Text string }{evil})
		closeAll(t, w)
		text := contents(t, name)
		line, isOne := strings.CutSuffix(text, "\n")
		if at := strings.IndexFunc(line, func(c rune) bool { return c < ' ' }); !isOne || at >= 0 {
			t.Errorf("JSON %v: a control character at %d of %q", asJSON, at, text)
		}
		if !asJSON {
			continue
		}
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil || record["msg"] != strings.ToValidUTF8(evil, "\ufffd") {
			t.Errorf("%q is read as %v, %v", line, record, err)
		}
	}
}

// Many goroutines log through one handler while nothing is written: none waits.
func TestHandlerDoesNotWait(t *testing.T) {
	var dropped atomic.Int64
	w := start(t, openLog(t, filepath.Join(t.TempDir(), "log")), Options{Buffer: 4096, Dropped: &dropped})
	log := slog.New(NewHandler(w, false, nil))
	w.mu.Lock() // the flusher takes nothing meanwhile
	var wg sync.WaitGroup
	const goroutines, each = 8, 200
	for range goroutines {
		wg.Go(func() {
			for i := range each {
				log.Info("line", "i", i)
			}
		})
	}
	wg.Wait()
	w.mu.Unlock()
	closeAll(t, w)
	if w.Written() == 0 || w.Written()+dropped.Load() != goroutines*each {
		t.Errorf("%d written + %d dropped, want %d", w.Written(), dropped.Load(), goroutines*each)
	}
}
