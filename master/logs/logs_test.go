package logs

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still waiting: %s", what)
		}
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	o, err := Open(path, "text")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(o, "one\n")
	eventually(t, "the first line", func() bool { return read(t, path) == "one\n" })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := o.Reopen(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(o, "two\n")
	eventually(t, "the second line", func() bool { return read(t, path) == "two\n" })
	if got := read(t, path+".1"); got != "one\n" {
		t.Errorf("the old file holds %q", got)
	}

	// Where it cannot be opened, the old file goes on.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := o.Reopen(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a directory in its place: %v", err)
	}
	o.Close()
}

func TestOpenFails(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "missing", "log"), "text"); err == nil || !strings.Contains(err.Error(), "log file") {
		t.Errorf("%v", err)
	}
}

// A reader that stops reading stops nobody: lines are dropped, counted for good, and it is told of them later.
func TestNobodyReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0) // both ends, so that opening waits for nobody
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	o, err := Open(path, "text")
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 1023) + "\n"
	for o.Dropped() < 10 {
		_, _ = io.WriteString(o, line)
	}
	dropped := o.Dropped()
	found := make(chan bool, 1)
	go func() {
		var text strings.Builder
		buf := make([]byte, 64<<10)
		for !strings.Contains(text.String(), "log lines were dropped: nobody read the log\n") {
			n, err := reader.Read(buf)
			if err != nil {
				found <- false
				return
			}
			text.Write(buf[:n])
		}
		found <- true
	}()
	if !<-found {
		t.Error("nobody was told")
	}
	if now := o.Dropped(); now < dropped {
		t.Errorf("the count went back from %d to %d", dropped, now)
	}
	o.Close()
}

// A file that cannot be opened at once, such as a pipe without a reader, does not hold who asks for it: that is the master's loop.
func TestReopenDoesNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	o, err := Open(path, "text")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	go func() { answer <- o.Reopen() }()
	select {
	case err = <-answer:
	case <-time.After(10 * time.Second):
		t.Error("it waits for a reader")
	}
	reader, openErr := os.OpenFile(path, os.O_RDWR, 0) // lets it go on
	if openErr != nil {
		t.Fatal(openErr)
	}
	defer reader.Close()
	if err == nil || !strings.Contains(err.Error(), "still being opened") {
		t.Errorf("%v", err)
	}
	o.Close()
}

// Workers that come and go while nobody reads the log, as in a crash loop, do not make the master grow.
func TestManyPrintAndNobodyReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	o, err := Open(path, "text")
	if err != nil {
		t.Fatal(err)
	}
	text := []byte(strings.Repeat("x", 64<<10-1) + "\n")
	for range 3 * mostLossy {
		s := &Source{out: o, origin: third, room: room}
		for range 2 {
			s.put(Stdout, text, false)
		}
	}
	o.mu.Lock()
	bytes := 0
	for _, c := range o.queue {
		bytes += len(c.text)
	}
	if bytes > allRoom || len(o.lossy) > mostLossy {
		t.Errorf("%d bytes are queued, and %d sources are kept to say what is missing", bytes, len(o.lossy))
	}
	o.mu.Unlock()
	if lost := o.Lost(3); lost < 3*mostLossy {
		t.Errorf("%d lines are counted as dropped", lost)
	}
	o.Close()
}
