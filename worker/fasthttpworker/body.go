package fasthttpworker

import (
	"errors"
	"io"
	"reflect"
	"sync"

	"github.com/valyala/fasthttp"
)

// prefetched is how many bytes of a body fasthttp has read, at most, when it hands a stream to the handler. They lie in a
// buffer of the request, which is given up when the request gets another stream.
const prefetched = 8 << 10

var errOver = errors.New("the body was read after the request was over")

// body is the stream of a request body: what was read of it before a thread was taken, and the rest. It knows whether all
// has been read, because fasthttp would take the rest for the next request.
type body struct {
	mu     sync.Mutex // a handler that has timed out may still be reading
	kept   []byte     // read, not yet by the handler
	stream io.Reader
	size   int64 // chunked: not known
	read   int64 // from the stream
	most   int64
	err    error // final; io.EOF is the end
}

// receive does what can be done before a thread is taken: it refuses a body that is too large and reads the beginning, so
// that no thread waits for a client that is slow to send it. It is nil if the request has been answered.
func (e *fast) receive(ctx *fasthttp.RequestCtx, c *conn) *body {
	b := &body{stream: ctx.RequestBodyStream(), size: int64(ctx.Request.Header.ContentLength()), most: e.mostBody(0)}
	err := fasthttp.ErrBodyTooLarge
	if b.size <= b.most {
		err = b.keep(e.worker.Limits().BufferBody)
	}
	if err == nil || errors.Is(err, io.EOF) {
		b.stream = detached(b.stream)
		ctx.Request.SetBodyStream(b, int(b.size))
		return b
	}
	status, text := fault(err)
	ctx.Error(text, status)
	c.unread = true
	return nil
}

// detached is a copy of fasthttp's stream that outlives it: when a request gets another one, fasthttp clears the first for
// other connections to use.
func detached(stream io.Reader) io.Reader {
	original := reflect.ValueOf(stream).Elem()
	own := reflect.New(original.Type())
	own.Elem().Set(original)
	return own.Interface().(io.Reader)
}

// keep reads up to so many bytes, and what fasthttp has prefetched.
func (b *body) keep(most int) error {
	if b.size >= 0 {
		most = int(min(int64(max(most, prefetched)), b.size))
		b.kept = make([]byte, 0, most)
	}
	piece := make([]byte, min(most, 4<<10))
	for b.err == nil && len(b.kept) < most {
		n, _ := b.next(piece[:min(len(piece), most-len(b.kept))])
		b.kept = append(b.kept, piece[:n]...)
	}
	return b.err
}

// next reads from the stream.
func (b *body) next(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.stream.Read(p)
	b.read += int64(n)
	switch {
	case b.read > b.most:
		n -= int(b.read - b.most)
		err = fasthttp.ErrBodyTooLarge
	case b.read == b.size:
		err = io.EOF
	}
	b.err = err
	return n, err
}

// Read is for the handler.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.kept) > 0 {
		n := copy(p, b.kept)
		b.kept = b.kept[n:]
		return n, nil
	}
	return b.next(p)
}

// finish ends the stream and says whether the next request can follow: all has been read.
func (b *body) finish() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.err == io.EOF || b.err == nil && b.read == b.size
	b.err, b.kept = errOver, nil
	return all
}
