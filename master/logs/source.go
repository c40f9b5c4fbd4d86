package logs

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	readSize  = 8 << 10          // bytes
	tailLines = 20               // of a process's standard error
	tailLine  = 4 << 10          // bytes of one of them
	afterlife = 10 * time.Second // how long what a process has started may go on printing through its pipes
)

// The names of the streams.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

// Origin says who prints.
type Origin struct {
	Title      string // before each line of text: "worker 3 gen 2"
	Event      string // the name of its lines in the format json
	Slot       any    // an int, a text for all slots, or nil for none
	Generation int    // 0: none
}

// Source is a process whose standard output and standard error go to the log.
type Source struct {
	out    *Output
	origin Origin
	room   int
	queued int // bytes in the queue; out.mu guards it
	lost   int // lines since the last that was queued; out.mu guards it

	files   []*os.File    // the read ends
	unread  atomic.Int32  // how many of them may hold something that the process has left
	settled chan struct{} // closed when none does

	tailMu sync.Mutex
	tail   []string
}

// Follow copies what a process prints to the log, line by line, until Ended. It owns the read ends of the pipes, which do not block.
func (o *Output) Follow(origin Origin, stdout, stderr *os.File) *Source {
	s := &Source{out: o, origin: origin, room: room, files: []*os.File{stdout, stderr}, settled: make(chan struct{})}
	o.reading.Add(1)
	s.unread.Store(int32(len(s.files)))
	go s.read(Stdout, stdout)
	go s.read(Stderr, stderr)
	return s
}

// Ended says that the process has ended: what lies in its pipes is still read, and what it has started may print through them
// for some seconds more.
func (s *Source) Ended() {
	for _, f := range s.files {
		_ = f.SetReadDeadline(time.Unix(1, 0)) // it fails if the pipe was closed
	}
}

// LastLines are the last lines that the process has written to its standard error, at most 20. After Ended it waits up to patience
// until what the process had left is read.
func (s *Source) LastLines(patience time.Duration) []string {
	select {
	case <-s.settled:
	case <-time.After(patience):
	}
	s.tailMu.Lock()
	defer s.tailMu.Unlock()
	return append([]string(nil), s.tail...)
}

// read forwards one stream.
func (s *Source) read(stream string, f *os.File) {
	defer f.Close()
	settle := sync.OnceFunc(s.settle)
	defer settle()
	lines := splitter{put: func(text []byte, partial bool) { s.put(stream, text, partial) }}
	defer lines.end()
	buf := make([]byte, readSize)
	for ended := false; ; {
		n, err := f.Read(buf)
		lines.add(buf[:n])
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && !ended:
			ended = true
			if drained(f, buf, lines.add) {
				return
			}
			lines.end()
			settle()
			_ = f.SetReadDeadline(time.Now().Add(afterlife))
		default:
			return
		}
	}
}

// settle counts a stream of which all was read that the process has left.
func (s *Source) settle() {
	if s.unread.Add(-1) == 0 {
		close(s.settled)
		s.out.reading.Done()
	}
}

// drained reads what there is without waiting. It is true if nobody can write any more.
func drained(f *os.File, buf []byte, add func([]byte)) bool {
	raw, err := f.SyscallConn()
	if err != nil || f.SetReadDeadline(time.Time{}) != nil {
		return true
	}
	for {
		n := 0
		failed := raw.Read(func(fd uintptr) bool {
			for n, err = syscall.Read(int(fd), buf); errors.Is(err, syscall.EINTR); {
				n, err = syscall.Read(int(fd), buf)
			}
			return true // do not wait
		})
		if errors.Is(err, syscall.EAGAIN) {
			return false
		}
		if failed != nil || err != nil || n == 0 {
			return true
		}
		add(buf[:n])
	}
}

// put queues some lines, which are the caller's to reuse.
func (s *Source) put(stream string, text []byte, partial bool) {
	if stream == Stderr {
		s.remember(text)
	}
	lines := bytes.Count(text, []byte("\n"))
	if text[len(text)-1] != '\n' {
		lines++
	}
	s.out.put(chunk{source: s, stream: stream, at: time.Now(), text: bytes.Clone(text), partial: partial}, lines)
}

// remember keeps the last lines.
func (s *Source) remember(text []byte) {
	var last []string // the newest first
	for text = bytes.TrimSuffix(text, []byte("\n")); len(last) < tailLines; {
		start := bytes.LastIndexByte(text, '\n') + 1
		last = append(last, string(text[start:min(len(text), start+tailLine)]))
		if start == 0 {
			break
		}
		text = text[:start-1]
	}
	s.tailMu.Lock()
	defer s.tailMu.Unlock()
	for i := len(last) - 1; i >= 0; i-- {
		s.tail = append(s.tail, last[i])
	}
	s.tail = s.tail[max(0, len(s.tail)-tailLines):]
}
