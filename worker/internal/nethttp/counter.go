package nethttp

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/prefork/cluster/worker/internal/engine"
)

// counter is the ResponseWriter where the connection cannot see the status line: under TLS and for HTTP/2 streams. For a
// stream it also keeps the beginning of the answer, because what the client's window does not take would hold the thread.
type counter struct {
	http.ResponseWriter
	worker  *engine.Worker
	held    atomic.Int32 // as engine.Conn.Held
	counted bool
	entry   *engine.Entry // nil if requests are not logged
	room    int           // bytes that may still be kept
	kept    []byte
}

func (w *counter) WriteHeader(status int) {
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
	w.worker.Row.Answer(status)
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
	if len(p) <= w.room {
		w.kept = append(w.kept, p...)
		w.room -= len(p)
		w.sent(int64(len(p)))
		return len(p), nil
	}
	if err := w.release(); err != nil {
		return 0, err
	}
	n, err := w.ResponseWriter.Write(p)
	w.sent(int64(n))
	return n, err
}

// release passes on what was kept, and keeps nothing more.
func (w *counter) release() error {
	w.room = 0
	if len(w.kept) == 0 {
		return nil
	}
	_, err := w.ResponseWriter.Write(w.kept)
	w.kept = nil
	return err
}

func (w *counter) ReadFrom(r io.Reader) (int64, error) {
	w.begin()
	if w.room > 0 {
		return io.Copy(writerOnly{w}, r)
	}
	n, err := io.Copy(w.ResponseWriter, r)
	w.sent(n)
	return n, err
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
	if w.release() == nil {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
	}
}

// FlushError is what http.ResponseController looks for first.
func (w *counter) FlushError() error {
	w.begin()
	if err := w.release(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack gives the thread back at once, as on a plain connection.
func (w *counter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.count(http.StatusSwitchingProtocols)
		w.worker.GiveBack(&w.held)
	}
	return c, rw, err
}

func (w *counter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
