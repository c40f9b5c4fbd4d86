package lines

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// patience bounds what should take no time at all.
func patience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func over() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func openLog(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func start(t *testing.T, file *os.File, o Options) *Writer {
	t.Helper()
	w, err := New(file, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close(over()) })
	return w
}

func contents(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func flush(t *testing.T, w *Writer) {
	t.Helper()
	if err := w.Flush(patience(t)); err != nil {
		t.Fatal(err)
	}
}

func closeAll(t *testing.T, w *Writer) {
	t.Helper()
	if err := w.Close(patience(t)); err != nil {
		t.Fatal(err)
	}
}

func TestWriterWritesLines(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	var dropped atomic.Int64
	w := start(t, openLog(t, name), Options{Dropped: &dropped})
	for _, line := range []string{"one\n", "no newline", "", "\n", "two\nin one\n", "nul \x00 and \xff\n", strings.Repeat("long", 50_000) + "\n"} {
		if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("Write(%.10q) = %d, %v", line, n, err)
		}
	}
	flush(t, w)
	want := "one\nno newline\n\ntwo\nin one\nnul \x00 and \xff\n" + strings.Repeat("long", 50_000) + "\n"
	if got := contents(t, name); got != want {
		t.Errorf("the file has %d bytes, %.60q..., want %d", len(got), got, len(want))
	}
	if w.Written() != 6 || dropped.Load() != 0 {
		t.Errorf("%d written, %d dropped, want 6 and 0", w.Written(), dropped.Load())
	}
	closeAll(t, w)
}

func TestWriterCopies(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	w := start(t, openLog(t, name), Options{})
	line := []byte("first\n")
	_, _ = w.Write(line)
	copy(line, "XXXXX")
	closeAll(t, w)
	if got := contents(t, name); got != "first\n" {
		t.Errorf("the file has %q", got)
	}
}

// Each line alone wakes the goroutine: none is left lying.
func TestWriterWakes(t *testing.T) {
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w := start(t, out, Options{Buffer: 4096}) // less than all lines: the room must come back
	got := make([]byte, 6)
	for i := range 2000 {
		line := fmt.Appendf(nil, "%05d\n", i)
		_, _ = w.Write(line)
		_ = r.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, line) {
			t.Fatalf("line %d: %q, %v", i, got, err)
		}
	}
}

// A waiting Writer has no timer and does not look by itself: in a bubble everything is blocked for good.
func TestWriterDoesNotPoll(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	synctest.Test(t, func(t *testing.T) {
		w, err := New(openLog(t, name), Options{})
		if err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		synctest.Wait() // returns only once the flusher is durably blocked, on its channel
		_, _ = w.Write([]byte("line\n"))
		synctest.Wait()
		if w.Written() != 1 {
			t.Errorf("%d lines written once all goroutines wait, want 1", w.Written())
		}
		if waited := time.Since(before); waited != 0 {
			t.Errorf("a timer of %v ran", waited)
		}
		if err := w.Close(context.Background()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	}) // and fails if the goroutine outlives Close
}

// Lines of one goroutine keep their order, and those handed over are those written and those dropped, with a ring that is
// often full and destinations that change.
func TestWriterAccounts(t *testing.T) {
	const producers, each, files = 8, 4000, 6
	folder := t.TempDir()
	name := func(i int) string { return filepath.Join(folder, fmt.Sprint(i)) }
	var dropped atomic.Int64
	w := start(t, openLog(t, name(0)), Options{Buffer: 4096, Dropped: &dropped})
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for i := range each {
				_, _ = w.Write(stressLine(p, i))
				if i%500 == 0 {
					_ = w.Flush(context.Background())
				}
			}
		})
	}
	for i := 1; i < files; i++ {
		if err := w.Swap(patience(t), openLog(t, name(i))); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	closeAll(t, w)
	if w.Written()+dropped.Load() != producers*each {
		t.Errorf("%d written + %d dropped, want %d", w.Written(), dropped.Load(), producers*each)
	}
	if w.Written() == 0 || dropped.Load() == 0 {
		t.Errorf("%d written, %d dropped: the test wants both", w.Written(), dropped.Load())
	}
	last := make([]int, producers)
	for p := range last {
		last[p] = -1
	}
	found := int64(0)
	for i := range files {
		text := contents(t, name(i))
		if text != "" && !strings.HasSuffix(text, "\n") {
			t.Errorf("file %d ends within a line", i)
		}
		for line := range strings.Lines(text) {
			var p, n int
			if _, err := fmt.Sscanf(line, "%d %d", &p, &n); err != nil || strings.TrimSuffix(line, "\n") != string(stressLine(p, n)) {
				t.Fatalf("file %d: broken line %q", i, line)
			}
			if n <= last[p] {
				t.Fatalf("file %d: line %d of producer %d after %d", i, n, p, last[p])
			}
			last[p] = n
			found++
		}
	}
	if found != w.Written() {
		t.Errorf("%d lines in the files, %d counted as written", found, w.Written())
	}
}

func TestWriterSwapDividesExactly(t *testing.T) {
	folder := t.TempDir()
	before, after := filepath.Join(folder, "before"), filepath.Join(folder, "after")
	old := openLog(t, before)
	w := start(t, old, Options{})
	var want strings.Builder
	for i := range 3000 {
		_, _ = fmt.Fprintf(w, "line %d\n", i)
		fmt.Fprintf(&want, "line %d\n", i)
	}
	if err := w.Swap(patience(t), openLog(t, after)); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, before); got != want.String() {
		t.Errorf("the old file has %d bytes when Swap returns, want %d", len(got), want.Len())
	}
	if _, err := old.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the old file is not closed: %v", err)
	}
	_, _ = w.Write([]byte("later\n"))
	closeAll(t, w)
	if got := contents(t, after); got != "later\n" {
		t.Errorf("the new file has %q", got)
	}
}

func TestWriterAfterClose(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	var dropped atomic.Int64
	file := openLog(t, name)
	w := start(t, file, Options{Dropped: &dropped})
	_, _ = w.Write([]byte("in time\n"))
	closeAll(t, w)
	closeAll(t, w)
	if _, err := file.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file is not closed: %v", err)
	}
	if n, err := w.Write([]byte("late\n")); n != 5 || err != nil {
		t.Errorf("Write after Close = %d, %v", n, err)
	}
	flush(t, w)
	if w.Written() != 1 || dropped.Load() != 1 {
		t.Errorf("%d written, %d dropped, want 1 and 1", w.Written(), dropped.Load())
	}
	next := openLog(t, name)
	if err := w.Swap(patience(t), next); !errors.Is(err, errClosed) {
		t.Errorf("Swap after Close: %v", err)
	}
	if _, err := next.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Error("Swap after Close leaves the new file open")
	}
	if got := contents(t, name); got != "in time\n" {
		t.Errorf("the file has %q", got)
	}
}

// Lines that are handed over while the Writer closes are written or counted, none is lost in between.
func TestWriterCloseRace(t *testing.T) {
	const producers = 4
	for round := range 200 {
		name := filepath.Join(t.TempDir(), "log")
		var dropped, handed atomic.Int64
		w := start(t, openLog(t, name), Options{Dropped: &dropped})
		var wg sync.WaitGroup
		closing := make(chan struct{})
		for range producers {
			wg.Go(func() {
				for i := range 50 {
					if i == round%50 {
						select {
						case closing <- struct{}{}:
						default:
						}
					}
					_, _ = w.Write([]byte("line\n"))
					handed.Add(1)
				}
			})
		}
		go func() { wg.Wait(); close(closing) }()
		<-closing
		closeAll(t, w)
		wg.Wait()
		inFile := int64(strings.Count(contents(t, name), "line\n"))
		if handed.Load() != inFile+dropped.Load() || inFile != w.Written() {
			t.Fatalf("round %d: %d handed over, %d in the file, %d written, %d dropped", round, handed.Load(), inFile, w.Written(), dropped.Load())
		}
	}
}

func TestWriterDoesNotAllocate(t *testing.T) {
	w := start(t, openLog(t, filepath.Join(t.TempDir(), "log")), Options{})
	line := []byte(strings.Repeat("x", 150) + "\n")
	for range 5000 {
		_, _ = w.Write(line)
	}
	flush(t, w)
	if n := testing.AllocsPerRun(1000, func() { _, _ = w.Write(line) }); n != 0 {
		t.Errorf("%v allocations a line, want 0", n)
	}
}

func TestNewRefusesClosedFile(t *testing.T) {
	file := openLog(t, filepath.Join(t.TempDir(), "log"))
	file.Close()
	if _, err := New(file, Options{}); !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), "cannot log to") {
		t.Errorf("New on a closed file: %v", err)
	}
}
