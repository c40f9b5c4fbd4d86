package nethttp

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// timed limits how long each read of a body may take where the connection cannot see bodies: under TLS and for HTTP/2
// streams. When the answer begins it limits what net/http reads of a body that the handler did not, too.
type timed struct {
	io.ReadCloser
	request *http.Request
	whole   io.ReadCloser
	control *http.ResponseController
	timeout time.Duration
	begun   atomic.Bool
	mu      sync.Mutex // guards the next two together with the deadline
	ended   bool
	left    bool // with its handler: the connection is no longer its business
}

// limitTime puts a limit on the request's body, which is as net/http has made it.
func limitTime(q *request, timeout time.Duration) {
	r := q.r
	b := &timed{ReadCloser: r.Body, request: r, whole: r.Body, control: http.NewResponseController(q.counted.ResponseWriter), timeout: timeout}
	r.Body, q.timed = b, b
	if r.ProtoMajor == 1 {
		q.counted.body = b
	}
}

func (b *timed) Read(p []byte) (int, error) {
	b.begun.Store(true)
	b.limit()
	n, err := b.ReadCloser.Read(p)
	if atEnd := errors.Is(err, io.EOF); atEnd || err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.ended = b.ended || atEnd
		if !b.left {
			_ = b.control.SetReadDeadline(time.Time{})
		}
	}
	return n, err
}

func (b *timed) limit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended && !b.left {
		_ = b.control.SetReadDeadline(time.Now().Add(b.timeout))
	}
}

// leave is called when the request goes on without its handler, which may still be reading.
func (b *timed) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = true
}

// answering is called before the answer begins, when net/http may read what the handler did not. Of a body that was not
// touched it is to see its own kind: one that the client sends only if asked to is not asked for then.
func (b *timed) answering() {
	b.limit()
	if !b.begun.Load() {
		b.request.Body = b.whole
	}
}
