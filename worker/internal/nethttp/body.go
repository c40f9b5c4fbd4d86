package nethttp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prefork/cluster/ipc"
)

// receive does with a request's body what can be done before a thread is taken: it refuses one that is too large and reads
// the beginning, so that no thread waits for a client that is slow to send it. done is true if the request has been answered.
func (e *Engine) receive(w http.ResponseWriter, r *http.Request, plain bool) (read, done bool) {
	if r.Body == nil || r.Body == http.NoBody {
		return false, false
	}
	limits := e.worker.Limits()
	if limits.MaxBody > 0 {
		if r.ContentLength > limits.MaxBody {
			refuseBody(w, http.StatusRequestEntityTooLarge, "413 request body too large")
			return false, true
		}
		r.Body = http.MaxBytesReader(w, r.Body, limits.MaxBody)
	}
	if !plain && e.server.ReadTimeout == 0 { // a plain connection watches that itself
		r.Body = &timed{ReadCloser: r.Body, control: http.NewResponseController(w), timeout: limits.BodyTimeout}
	}
	if limits.BufferBody == 0 || strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		return false, false
	}
	return true, e.buffer(w, r, limits)
}

// buffer reads up to the limit and puts it back in front of the rest.
func (e *Engine) buffer(w http.ResponseWriter, r *http.Request, limits *ipc.Limits) (done bool) {
	most := int64(limits.BufferBody)
	var begun bytes.Buffer
	if r.ContentLength > 0 {
		most = min(most, r.ContentLength)
		begun.Grow(int(most) + bytes.MinRead)
	}
	_, err := begun.ReadFrom(io.LimitReader(r.Body, most))
	var tooLarge *http.MaxBytesError
	var slow net.Error
	switch {
	case err == nil:
	case errors.As(err, &tooLarge):
		refuseBody(w, http.StatusRequestEntityTooLarge, "413 request body too large")
		return true
	case errors.As(err, &slow) && slow.Timeout():
		refuseBody(w, http.StatusRequestTimeout, "408 request body was not received in time")
		return true
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &slow):
		panic(http.ErrAbortHandler) // the client left
	default:
		refuseBody(w, http.StatusBadRequest, "400 bad request body")
		return true
	}
	r.Body = &replayed{Reader: io.MultiReader(&begun, r.Body), Closer: r.Body}
	return false
}

// refuseBody answers instead of the handler, and ends the connection: the rest of the body would be taken for a request.
func refuseBody(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Connection", "close")
	http.Error(w, text, status)
}

// replayed is a body of which the beginning has been read.
type replayed struct {
	io.Reader
	io.Closer
}

// timed limits how long each read of a body may take.
type timed struct {
	io.ReadCloser
	control *http.ResponseController
	timeout time.Duration
}

func (b *timed) Read(p []byte) (int, error) {
	if b.timeout > 0 {
		_ = b.control.SetReadDeadline(time.Now().Add(b.timeout))
	}
	n, err := b.ReadCloser.Read(p)
	if b.timeout > 0 && (err == nil || errors.Is(err, io.EOF)) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
