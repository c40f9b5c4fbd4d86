package worker

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// counter is the ResponseWriter where the wrapper cannot see the status line: under TLS and for HTTP/2 streams.
type counter struct {
	http.ResponseWriter
	m       *member
	held    atomic.Int32 // as conn.held
	counted bool
}

func (w *counter) WriteHeader(status int) {
	w.ResponseWriter.WriteHeader(status) // first: it panics if there is no such status
	if !w.counted && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.counted = true
		w.m.row.Answer(status)
	}
}

func (w *counter) Write(p []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(p)
}

func (w *counter) ReadFrom(r io.Reader) (int64, error) {
	w.begin()
	return io.Copy(w.ResponseWriter, r)
}

func (w *counter) begin() {
	if !w.counted {
		w.WriteHeader(http.StatusOK)
	}
}

// Flush is for handlers that ask for an http.Flusher; Unwrap is for http.ResponseController.
func (w *counter) Flush() {
	w.begin()
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack gives the thread back at once, as on a plain connection.
func (w *counter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil && !w.counted {
		w.counted = true
		w.m.row.Answer(http.StatusSwitchingProtocols)
	}
	if err == nil {
		w.m.giveBack(&w.held)
	}
	return c, rw, err
}

func (w *counter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
