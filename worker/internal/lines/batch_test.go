//go:build linux

package lines

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Every datagram is one write(2): whole lines, as many as fit into PIPE_BUF, and a longer one alone.
func TestBatchesOfSocket(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, out := os.NewFile(uintptr(fds[0]), "reader"), os.NewFile(uintptr(fds[1]), "writer")
	defer r.Close()
	w := start(t, out, Options{})
	var want strings.Builder
	hand := func(line string) {
		want.WriteString(line)
		_, _ = w.Write([]byte(line))
	}
	for i := range 1000 {
		hand(strings.Repeat("x", i%250) + "\n")
		switch i {
		case 500:
			hand(strings.Repeat("y", pipeBatch-1) + "\n") // fills one exactly
		case 600:
			hand(strings.Repeat("z", pipeBatch) + "\n") // one byte too many
		}
	}
	closed := make(chan error)
	go func() { closed <- w.Close(patience(t)) }()
	packet := make([]byte, 64<<10)
	var got strings.Builder
	packets, most := 0, 0
	for {
		n, err := r.Read(packet)
		if n == 0 {
			if err != nil && err != io.EOF {
				t.Fatal(err)
			}
			break
		}
		text := packet[:n]
		if text[n-1] != '\n' || n > pipeBatch && bytes.Count(text, []byte("\n")) > 1 {
			t.Errorf("a write of %d bytes with %d lines, the last byte %q", n, bytes.Count(text, []byte("\n")), text[n-1])
		}
		got.Write(text)
		packets++
		most = max(most, n)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if got.String() != want.String() {
		t.Errorf("%d bytes arrived, want %d", got.Len(), want.Len())
	}
	if most != pipeBatch+1 {
		t.Errorf("the longest write had %d bytes, want the long line of %d", most, pipeBatch+1)
	}
	if least := want.Len() / pipeBatch; packets < least || packets > 1002 {
		t.Errorf("%d writes of %d bytes", packets, want.Len())
	}
}

// A write has as many lines as fit into PIPE_BUF with their newlines, to the byte.
func TestBatchesToTheByte(t *testing.T) {
	tests := []struct {
		name          string
		lines, writes []int // bytes, newlines included
	}{
		{"few", []int{10, 20}, []int{30}},
		{"exactly full", []int{2048, 2048, 1}, []int{4096, 1}},
		{"one too many", []int{2048, 2049}, []int{2048, 2049}},
		{"exactly full, alone", []int{1, 4096, 1}, []int{1, 4096, 1}},
		{"too long, alone", []int{1, 5000, 1}, []int{1, 5000, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			r, out := os.NewFile(uintptr(fds[0]), "reader"), os.NewFile(uintptr(fds[1]), "writer")
			defer r.Close()
			w := start(t, out, Options{})
			w.mu.Lock() // the flusher takes nothing meanwhile
			for _, size := range test.lines {
				_, _ = w.Write([]byte(strings.Repeat("x", size-1) + "\n"))
			}
			w.mu.Unlock()
			_ = r.SetReadDeadline(time.Now().Add(20 * time.Second))
			packet := make([]byte, 64<<10)
			for i, want := range test.writes {
				if n, err := r.Read(packet); n != want {
					t.Errorf("write %d has %d bytes (%v), want %d", i, n, err, want)
				}
			}
			closeAll(t, w)
			if n, _ := r.Read(packet); n != 0 {
				t.Errorf("another write of %d bytes", n)
			}
		})
	}
}

// Several writers of one pipe, as the workers that share a log, never mix their lines.
func TestBatchesOfSeveralWriters(t *testing.T) {
	const writers, each = 4, 3000
	r, first := pipe(t, 0)
	var all []*Writer
	for i := range writers {
		out := first
		if i > 0 {
			fd, err := unix.FcntlInt(first.Fd(), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			out = os.NewFile(uintptr(fd), "writer")
		}
		all = append(all, start(t, out, Options{}))
	}
	for i, w := range all {
		go func() {
			for n := range each {
				_, _ = w.Write(stressLine(i, n))
			}
			_ = w.Close(patience(t))
		}()
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	next := make([]int, writers)
	for line := range strings.Lines(string(text)) {
		var i, n int
		if _, err := fmt.Sscanf(line, "%d %d", &i, &n); err != nil || strings.TrimSuffix(line, "\n") != string(stressLine(i, n)) || n != next[i] {
			t.Fatalf("broken or out of order: %q", line)
		}
		next[i]++
	}
	for i := range next {
		if next[i] != each {
			t.Errorf("%d lines of writer %d arrived, want %d", next[i], i, each)
		}
	}
}

// writeCalls is how many write(2) this process has made.
func writeCalls(t *testing.T) (n int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip("no accounting of system calls here: ", err)
	}
	_, count, _ := strings.Cut(string(text), "syscw: ")
	if _, err := fmt.Sscan(count, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// What waits for a regular file goes in pieces of 64 KiB.
func TestBatchesOfFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	w := start(t, openLog(t, name), Options{})
	line := []byte(strings.Repeat("y", 99) + "\n")
	const total = 5000
	w.mu.Lock() // the flusher takes nothing meanwhile
	for range total {
		_, _ = w.Write(line)
	}
	before := writeCalls(t)
	w.mu.Unlock()
	flush(t, w)
	if calls, least := writeCalls(t)-before, int64(total*100/fileBatch); calls < least || calls > least+4 {
		t.Errorf("%d writes for %d bytes, want about %d", calls, total*100, least)
	}
	if got := contents(t, name); got != strings.Repeat(string(line), total) {
		t.Errorf("the file has %d bytes, want %d", len(got), total*100)
	}
}

// troubles collects what a Writer reports.
type troubles struct {
	mu   sync.Mutex
	errs []error
}

func (r *troubles) report(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

func (r *troubles) all() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]error(nil), r.errs...)
}

// A full disk costs the lines meanwhile, and is reported once.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	var dropped atomic.Int64
	var seen troubles
	w := start(t, full, Options{Dropped: &dropped, Report: seen.report})
	for range 10 {
		_, _ = w.Write([]byte("lost\n"))
		flush(t, w)
	}
	if w.Written() != 0 || dropped.Load() != 10 {
		t.Errorf("%d written, %d dropped, want 0 and 10", w.Written(), dropped.Load())
	}
	name := filepath.Join(t.TempDir(), "log")
	if err := w.Swap(patience(t), openLog(t, name)); err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte("kept\n"))
	closeAll(t, w)
	if got := contents(t, name); got != "kept\n" {
		t.Errorf("the new file has %q", got)
	}
	errs := seen.all()
	if len(errs) != 1 || !errors.Is(errs[0], syscall.ENOSPC) || !strings.Contains(errs[0].Error(), "/dev/full") {
		t.Errorf("reported: %v", errs)
	}
}

// The reader of a pipe has left; SIGPIPE comes only for standard output and error.
func TestPipeWithoutReader(t *testing.T) {
	r, out := pipe(t, unix.O_NONBLOCK)
	r.Close()
	var dropped atomic.Int64
	var seen troubles
	w := start(t, out, Options{Dropped: &dropped, Report: seen.report})
	_, _ = w.Write([]byte("lost\n"))
	flush(t, w)
	if errs := seen.all(); dropped.Load() != 1 || len(errs) != 1 || !errors.Is(errs[0], syscall.EPIPE) {
		t.Errorf("%d dropped, reported: %v", dropped.Load(), errs)
	}
}

// A write that fails within a line: those before it count as written, it and those after it as dropped, and the next line
// does not continue the torn one. Then the trouble is over, and another one is reported again.
func TestTornLine(t *testing.T) {
	r, out := pipe(t, unix.O_NONBLOCK)
	var dropped atomic.Int64
	var seen troubles
	w := start(t, out, Options{Dropped: &dropped, Report: seen.report})
	var want strings.Builder
	for range 2 {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 200_000))
		torn := make([]byte, 100_000) // more than the pipe holds: the line is on its way
		if _, err := io.ReadFull(r, torn); err != nil {
			t.Fatal(err)
		}
		if err := out.SetWriteDeadline(time.Now()); err != nil {
			t.Fatal(err)
		}
		flush(t, w)
		_, _ = w.Write([]byte("also lost\n"))
		flush(t, w)
		if err := out.SetWriteDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		rest := func(until string) string {
			var text []byte
			for one := make([]byte, 4096); !strings.HasSuffix(string(text), until); {
				n, err := r.Read(one)
				if err != nil {
					t.Fatal(err)
				}
				text = append(text, one[:n]...)
			}
			return strings.TrimLeft(string(text), "x")
		}
		// The pipe is full of the torn line: make room before the next.
		drained := make(chan string)
		go func() { drained <- rest("whole again\n") }()
		_, _ = w.Write([]byte("whole\n"))
		_, _ = w.Write([]byte("whole again\n"))
		flush(t, w)
		want.WriteString("\nwhole\nwhole again\n")
		if got := <-drained; got != "\nwhole\nwhole again\n" {
			t.Errorf("after the torn line came %q", got)
		}
	}
	closeAll(t, w)
	if w.Written() != 4 || dropped.Load() != 4 {
		t.Errorf("%d written, %d dropped, want 4 and 4", w.Written(), dropped.Load())
	}
	if errs := seen.all(); len(errs) != 2 || !errors.Is(errs[0], os.ErrDeadlineExceeded) {
		t.Errorf("reported: %v", errs)
	}
}

// A disk that becomes full in the middle of a batch has taken the lines before.
func TestPartOfBatch(t *testing.T) {
	for n, want := range map[int]int64{0: 0, 3: 0, 4: 1, 7: 1, 8: 2, 11: 2, 12: 3} {
		var dropped atomic.Int64
		w := start(t, openLog(t, os.DevNull), Options{Dropped: &dropped})
		f, err := newFlusher(w, openLog(t, os.DevNull))
		if err != nil {
			t.Fatal(err)
		}
		f.buf, f.ends = []byte("one\ntwo\nsix\n"), []int{4, 8, 12}
		f.settle(n, syscall.ENOSPC)
		if w.Written() != want || dropped.Load() != 3-want || f.torn != (n%4 != 0) {
			t.Errorf("%d bytes of 12: %d written, %d dropped, torn %v", n, w.Written(), dropped.Load(), f.torn)
		}
		f.file.Close()
	}
}

// A new destination that cannot be used leaves the old one in place.
func TestSwapRefusesClosedFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	w := start(t, openLog(t, name), Options{})
	closed := openLog(t, name)
	closed.Close()
	if err := w.Swap(patience(t), closed); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Swap to a closed file: %v", err)
	}
	_, _ = w.Write([]byte("still here\n"))
	closeAll(t, w)
	if got := contents(t, name); got != "still here\n" {
		t.Errorf("the file has %q", got)
	}
}
