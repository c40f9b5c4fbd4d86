package worker

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/prefork/cluster/worker/internal/engine"
)

// writePiece bounds what one write timeout covers, in bytes, where the kernel does not tell of progress within it.
const writePiece = 1 << 20

// Write writes, and counts an answer when its first bytes pass: the status line says the class. Nothing above has to be
// wrapped for that, so handlers see net/http's own ResponseWriter with everything it can do, and net/http's own refusals
// (400, 408, 431) are counted like any other answer.
func (c *conn) Write(p []byte) (int, error) {
	if answer := c.answer.Load(); answer != answerBegun {
		if !c.answer.CompareAndSwap(answerAwaited, answerBegun) {
			return len(p), nil
		}
		if !c.observe(p) {
			n, err := c.pass(p)
			c.answer.Store(answerAwaited) // not before: nothing of another's answer is to come in between
			return n, err
		}
	} else if e := c.entry.Load(); e != nil && !c.m.CountsItself {
		e.Bytes.Add(c.meter.Body(p))
	}
	return c.pass(p)
}

func (c *conn) pass(p []byte) (int, error) {
	switch {
	case c.phase.Load() == phaseForeign:
		return c.Conn.Write(p)
	case c.buffering.Load():
		return c.writeBuffered(p)
	}
	return c.writeThrough(p)
}

// writeThrough returns when the kernel has all of it.
func (c *conn) writeThrough(p []byte) (int, error) {
	written := 0
	for {
		piece := p[written:min(len(p), written+writePiece)]
		c.writeSince.Store(c.m.coarse.Load())
		n, err := c.Conn.Write(piece)
		c.writeSince.Store(0)
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// observe reads the status line, and says whether an answer has begun: 100 and 103 only announce one; 101 is one.
func (c *conn) observe(p []byte) (begun bool) {
	status, ok := statusOf(p)
	if ok && status < 200 && status != http.StatusSwitchingProtocols {
		return false
	}
	if ok { // else it is HTTP/2 without TLS, before it has shown itself
		c.m.Account(&c.held).Answer(status)
		if c.m.Requests != nil {
			c.note(status, p)
		}
	}
	return true
}

// Claim takes the answer over from the engine. It is false if a byte of it was written, or another has claimed it; else what the
// engine writes from here on is thrown away. It never waits.
func (c *conn) Claim() bool { return c.answer.CompareAndSwap(answerAwaited, answerReplaced) }

// Answer writes a whole answer in the place of the claimed one, below all that the engine does, and ends the sending direction.
// Reading ends, too: what is still to come of a request's body is waited for no longer.
func (c *conn) Answer(p []byte) {
	_ = c.flushed() // of interim answers; if it fails, so does the next
	c.observe(p)
	_, _ = c.writeThrough(p)
	c.logged() // the handler may hang for hours
	_ = c.SetReadDeadline(longAgo)
	_ = c.CloseWrite()
}

const (
	partTime  = time.Second
	partBytes = 1 << 20
)

// Part waits a moment for the client to close its end, which it does when it has seen the answer to its end: a close with bytes
// unread is a reset, and that would destroy the answer on its way.
func (c *conn) Part() {
	rest := &io.LimitedReader{R: c.socket, N: partBytes}
	for end := time.Now().Add(partTime); time.Now().Before(end); { // reads of the engine's go on failing, and the pulse sees to it
		c.mu.Lock()
		c.applied.Store(true)
		_ = c.Conn.SetReadDeadline(end)
		c.mu.Unlock()
		if _, err := io.Copy(io.Discard, rest); !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// note completes what is logged of the request, as far as it is known now.
func (c *conn) note(status int, p []byte) {
	e := c.entry.Load()
	if e == nil { // net/http refuses it without asking a handler
		e = c.m.Requests.Begin("", "", c.RemoteAddr().String())
		c.entry.Store(e)
	}
	e.Status.Store(int32(status))
	c.meter = engine.Meter{}
	e.Bytes.Store(c.meter.Body(p))
}

// statusOf takes the code out of "HTTP/1.x NNN…".
func statusOf(p []byte) (int, bool) {
	const prefix = "HTTP/1."
	if len(p) < len(prefix)+5 || string(p[:len(prefix)]) != prefix {
		return 0, false
	}
	code := 0
	for _, digit := range p[len(prefix)+2 : len(prefix)+5] {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		code = code*10 + int(digit-'0')
	}
	return code, true
}

// ReadFrom lets the kernel copy files (sendfile), in pieces for the sake of the write timeout.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	rf, ok := c.Conn.(io.ReaderFrom)
	if !ok || c.answer.Load() != answerBegun {
		return io.Copy(writerOnly{c}, r)
	}
	if c.phase.Load() == phaseForeign {
		return rf.ReadFrom(r)
	}
	limited, ok := r.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: r, N: 1<<63 - 1}
	}
	if c.buffering.Load() {
		if !longFile(limited, int64(c.m.Limits().BufferResponse)) {
			return io.Copy(writerOnly{c}, r)
		}
		if err := c.flushed(); err != nil {
			return 0, err
		}
	}
	var total int64
	for limited.N > 0 {
		want := min(limited.N, writePiece)
		c.writeSince.Store(c.m.coarse.Load())
		n, err := rf.ReadFrom(&io.LimitedReader{R: limited.R, N: want})
		c.writeSince.Store(0)
		limited.N -= n
		total += n
		if e := c.entry.Load(); e != nil && !c.m.CountsItself {
			e.Bytes.Add(n)
		}
		if err != nil || n < want {
			return total, err
		}
	}
	return total, nil
}

// longFile says whether more than so many bytes are to come from a file: worth the kernel's while, and too long for a buffer.
func longFile(r *io.LimitedReader, bytes int64) bool {
	f, ok := r.R.(interface { // an *os.File, or what its WriteTo makes of it
		fs.File
		io.Seeker
		syscall.Conn
	})
	if !ok || r.N <= bytes {
		return false
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	at, err := f.Seek(0, io.SeekCurrent)
	return err == nil && info.Size()-at > bytes
}

// writerOnly hides ReadFrom from io.Copy.
type writerOnly struct{ io.Writer }
