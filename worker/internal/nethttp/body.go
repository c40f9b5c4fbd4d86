package nethttp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/prefork/cluster/ipc"
)

// receive does with a request's body what can be done before a thread is taken: it refuses one that is too large and reads
// the beginning, so that no thread waits for a client that is slow to send it. done is true if the request has been answered.
func (e *Engine) receive(q *request) (read, done bool) {
	w, r := q.w, q.r
	if !hasBody(r) {
		return false, false
	}
	limits := e.worker.Limits()
	if !q.plain && e.server.ReadTimeout == 0 && limits.BodyTimeout > 0 { // a plain connection watches that itself
		limitTime(q, limits.BodyTimeout)
	}
	switch {
	case limits.MaxBody == 0:
	case r.ContentLength > limits.MaxBody:
		refuseBody(w, r, http.StatusRequestEntityTooLarge, "413 request body too large")
		return false, true
	case r.ContentLength < 0:
		r.Body = http.MaxBytesReader(w, r.Body, limits.MaxBody)
	}
	if limits.BufferBody == 0 || strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		return false, false
	}
	return true, e.buffer(w, r, limits)
}

// hasBody is false if there is nothing to read, not even the end of a body: a stream without a body has no http.NoBody, and
// one that declares a length of 0 may keep a reader waiting for its end.
func hasBody(r *http.Request) bool {
	return r.Body != nil && r.Body != http.NoBody && (r.ContentLength != 0 || r.Header["Content-Length"] != nil)
}

// buffer reads up to the limit and puts it back in front of the rest.
func (e *Engine) buffer(w http.ResponseWriter, r *http.Request, limits *ipc.Limits) (done bool) {
	most := int64(limits.BufferBody)
	body := &replayed{rest: r.Body}
	if r.ContentLength > 0 {
		most = min(most, r.ContentLength)
		body.begun.Grow(int(most) + bytes.MinRead)
	}
	_, err := body.begun.ReadFrom(io.LimitReader(r.Body, most))
	var tooLarge *http.MaxBytesError
	var slow net.Error
	switch {
	case err == nil:
	case errors.As(err, &tooLarge):
		refuseBody(w, r, http.StatusRequestEntityTooLarge, "413 request body too large")
		return true
	case errors.As(err, &slow) && slow.Timeout():
		refuseBody(w, r, http.StatusRequestTimeout, "408 request body was not received in time")
		return true
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &slow) || r.ProtoMajor == 2: // a stream has no other errors
		panic(http.ErrAbortHandler) // the client left
	default:
		refuseBody(w, r, http.StatusBadRequest, "400 bad request body")
		return true
	}
	r.Body = body
	return false
}

// refuseBody answers instead of the handler, and ends the connection: the rest of the body would be taken for a request. A
// stream ends alone.
func refuseBody(w http.ResponseWriter, r *http.Request, status int, text string) {
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
	http.Error(w, text, status)
}

// replayed is a body of which the beginning has been read.
type replayed struct {
	begun  bytes.Buffer
	rest   io.ReadCloser
	closed atomic.Bool
}

func (b *replayed) Read(p []byte) (int, error) {
	switch {
	case b.closed.Load():
		return 0, http.ErrBodyReadAfterClose
	case b.begun.Len() > 0:
		return b.begun.Read(p)
	}
	return b.rest.Read(p)
}

// Close may be called while a Read runs.
func (b *replayed) Close() error {
	b.closed.Store(true)
	return b.rest.Close()
}
