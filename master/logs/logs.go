// Package logs writes what the master and the workers have to say, and keeps the last lines of each worker.
package logs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	outputQueue = 1024 // lines
	tailLines   = 20   // of a worker's standard error, shown when a start fails
)

// Output writes the log of the master and of the workers to one place, from one goroutine, so that a reader that has
// stopped reading (a full disk, a stopped terminal) never stops the supervision.
type Output struct {
	path    string
	lines   chan []byte
	reopen  chan chan error
	quit    chan struct{}
	done    chan struct{}
	dropped atomic.Int64
	told    int64 // of dropped; the goroutine's that writes
}

// Open opens the file of a path, or standard error if the path is empty.
func Open(path string) (*Output, error) {
	o := &Output{path: path, lines: make(chan []byte, outputQueue), reopen: make(chan chan error), quit: make(chan struct{}), done: make(chan struct{})}
	file := os.Stderr
	if path != "" {
		var err error
		if file, err = OpenFile(path); err != nil {
			return nil, err
		}
	}
	go o.run(file)
	return o, nil
}

// OpenFile opens a log file to append to it.
func OpenFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	var failed *fs.PathError
	if errors.As(err, &failed) {
		err = failed.Err // the path is said already
	}
	if err != nil {
		return nil, fmt.Errorf("log file %s cannot be opened: %w", path, err)
	}
	return f, nil
}

func (o *Output) run(file *os.File) {
	defer close(o.done)
	for {
		select {
		case line := <-o.lines:
			o.write(file, line)
		case reply := <-o.reopen:
			if o.path == "" {
				reply <- nil
				continue
			}
			fresh, err := OpenFile(o.path)
			if err == nil {
				file.Close()
				file = fresh
			}
			reply <- err
		case <-o.quit:
			for {
				select {
				case line := <-o.lines:
					o.write(file, line)
				default:
					return
				}
			}
		}
	}
}

func (o *Output) write(file *os.File, line []byte) {
	if n := o.dropped.Load(); n > o.told {
		fmt.Fprintf(file, "%d log lines were dropped: nobody read the log\n", n-o.told)
		o.told = n
	}
	_, _ = file.Write(line)
}

// ToFile says that the log goes to a file, and not to standard error.
func (o *Output) ToFile() bool { return o.path != "" }

// Dropped is how many lines were dropped since the start.
func (o *Output) Dropped() int64 { return o.dropped.Load() }

// Write is for the master's own log: it drops, and counts, rather than waits.
func (o *Output) Write(p []byte) (int, error) {
	select {
	case o.lines <- append([]byte(nil), p...):
	default:
		o.dropped.Add(1)
	}
	return len(p), nil
}

// Reopen opens the file again under its name; on an error the old one stays. It does not wait for a writer that is stuck.
func (o *Output) Reopen() error {
	reply := make(chan error, 1)
	select {
	case o.reopen <- reply:
		return <-reply
	case <-time.After(100 * time.Millisecond):
		return errors.New("the log cannot be written at the moment: nobody reads it, or its disk hangs")
	}
}

// Close writes what is queued, unless that takes longer than a second.
func (o *Output) Close() {
	close(o.quit)
	select {
	case <-o.done:
	case <-time.After(time.Second):
	}
}

// Tail is the end of what a worker wrote to its standard error.
type Tail struct {
	mu    sync.Mutex
	lines []string
	ended chan struct{}
}

// NewTail is one that nothing has been written to.
func NewTail() *Tail { return &Tail{ended: make(chan struct{})} }

// Ended is closed when the worker can write no more.
func (t *Tail) Ended() <-chan struct{} { return t.ended }

func (t *Tail) add(line []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, string(line))
	t.lines = t.lines[max(0, len(t.lines)-tailLines):]
}

// Lines are the last lines.
func (t *Tail) Lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.lines...)
}

// Forward copies a worker's standard error to the log, line by line. Unlike the master's own lines these wait for room:
// the worker that writes too much waits, nobody else.
func (o *Output) Forward(r io.ReadCloser, t *Tail) {
	defer close(t.ended)
	defer r.Close()
	buf := bufio.NewReaderSize(r, 4096)
	for {
		line, err := buf.ReadSlice('\n')
		if len(line) > 0 {
			own := append([]byte(nil), line...)
			t.add(own)
			o.lines <- own
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}
