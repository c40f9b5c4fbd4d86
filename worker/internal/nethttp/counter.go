package nethttp

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prefork/cluster/worker/internal/engine"
)

// counter is the ResponseWriter where the connection cannot see the status line: under TLS and for HTTP/2 streams. For a
// stream it also keeps the beginning of a longer answer, because what the client's window does not take would hold the thread.
type counter struct {
	http.ResponseWriter
	worker  *engine.Worker
	own     engine.Held  // of a stream, which may have no connection of the worker's
	held    *engine.Held // of the request
	body    *timed       // of the request; nil for a stream's
	counted bool
	entry   *engine.Entry // nil if requests are not logged
	inside  int           // bytes that net/http's buffer of the stream may have; streamBuffer: perhaps more
	room    int           // bytes that may still be kept
	kept    []byte
	limit   time.Duration // for the client to take a piece of a stream's answer; 0: none
}

// streamBuffer is how much net/http keeps of a stream's answer before it writes: so much is never waited for, and needs neither
// a copy nor a deadline, which each cost a message to the goroutine that serves the connection.
const streamBuffer = 4 << 10

// streamPiece bounds what one write timeout of a stream covers, in bytes: of a stream the connection knows no progress.
const streamPiece = 16 << 10

func (w *counter) WriteHeader(status int) {
	if w.body != nil && !w.counted {
		w.body.answering()
	}
	w.ResponseWriter.WriteHeader(status) // first: it panics if there is no such status
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.count(status)
	}
}

func (w *counter) count(status int) {
	if w.counted {
		return
	}
	w.counted = true
	w.worker.Account(w.held).Answer(status)
	if w.entry != nil {
		w.entry.Status.Store(int32(status))
	}
}

func (w *counter) sent(n int64) {
	if w.entry != nil {
		w.entry.Bytes.Add(n)
	}
}

func (w *counter) Write(p []byte) (int, error) {
	w.begin()
	if w.room > 0 && len(w.kept) == 0 && w.inside+len(p) <= streamBuffer {
		w.inside += len(p)
		w.sent(int64(len(p)))
		return w.ResponseWriter.Write(p)
	}
	if len(p) <= w.room {
		w.kept = append(w.kept, p...)
		w.room -= len(p)
		w.sent(int64(len(p)))
		return len(p), nil
	}
	if err := w.release(); err != nil {
		return 0, err
	}
	n, err := w.send(p)
	w.sent(int64(n))
	return n, err
}

// send ends the stream if its client takes nothing: what its window does not let through would hold the thread.
func (w *counter) send(p []byte) (int, error) {
	if w.limit == 0 {
		return w.ResponseWriter.Write(p)
	}
	control := http.NewResponseController(w.ResponseWriter)
	defer func() { _ = control.SetWriteDeadline(time.Time{}) }()
	written := 0
	for {
		_ = control.SetWriteDeadline(time.Now().Add(w.limit))
		n, err := w.ResponseWriter.Write(p[written:min(len(p), written+streamPiece)])
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// SetWriteDeadline leaves it to a handler that has a limit of its own.
func (w *counter) SetWriteDeadline(t time.Time) error {
	w.limit = 0
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(t)
}

// release passes on what was kept, and keeps nothing more.
func (w *counter) release() error {
	w.room = 0
	if len(w.kept) == 0 {
		return nil
	}
	_, err := w.send(w.kept)
	w.kept = nil
	return err
}

// ReadFrom reads before it begins the answer: r may be the body of a client that sends it only if asked to, and net/http asks
// only before.
func (w *counter) ReadFrom(r io.Reader) (int64, error) {
	if w.room > 0 || w.limit > 0 {
		return io.Copy(writerOnly{w}, r)
	}
	var first int64
	if !w.counted {
		var err error
		if first, err = io.CopyN(writerOnly{w}, r, 512); errors.Is(err, io.EOF) {
			return first, nil
		} else if err != nil {
			return first, err
		}
	}
	n, err := io.Copy(w.ResponseWriter, r)
	w.sent(n)
	return first + n, err
}

// writerOnly hides ReadFrom from io.Copy.
type writerOnly struct{ io.Writer }

func (w *counter) begin() {
	if !w.counted {
		w.WriteHeader(http.StatusOK)
	}
}

// Flush is for handlers that ask for an http.Flusher; Unwrap is for http.ResponseController.
func (w *counter) Flush() {
	w.begin()
	_ = w.flush()
}

// FlushError is what http.ResponseController looks for first.
func (w *counter) FlushError() error {
	w.begin()
	return w.flush()
}

func (w *counter) flush() error {
	if err := w.release(); err != nil {
		return err
	}
	control := http.NewResponseController(w.ResponseWriter)
	if w.limit > 0 {
		_ = control.SetWriteDeadline(time.Now().Add(w.limit))
		defer func() { _ = control.SetWriteDeadline(time.Time{}) }()
	}
	return control.Flush()
}

// Hijack counts. The thread is given back by the connection's Release.
func (w *counter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.count(http.StatusSwitchingProtocols)
	}
	return c, rw, err
}

func (w *counter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
