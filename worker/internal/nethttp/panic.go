package nethttp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"time"

	"github.com/prefork/cluster/worker/internal/engine"
)

// panicked logs a handler's panic and answers 500 if no byte of an answer has left yet. The status that the handler may
// have set sits in net/http's buffers and cannot be taken back, so the answer goes around them, and the connection is
// closed as net/http does after a panic.
func (e *Engine) panicked(q *request, v any) {
	if v == nil { // runtime.Goexit: there is nobody left to answer
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler) // the handler's way to hang up; net/http would log a wrapped one
	}
	e.worker.Account(q.held).Panics.Add(1)
	stack := make([]byte, 16<<10)
	stack = stack[:runtime.Stack(stack, false)]
	e.worker.Log.Error("handler panicked", "err", fmt.Sprint(v), "method", q.r.Method, "path", q.r.URL.Path, "stack", string(stack))
	if counted, ok := q.w.(*counter); ok {
		if !counted.counted {
			http.Error(q.w, "500 internal server error", http.StatusInternalServerError)
			return
		}
		panic(http.ErrAbortHandler)
	}
	if q.c != nil && q.c.Answering() {
		answer500(q.c, q.r)
	}
	panic(http.ErrAbortHandler)
}

// answer500 writes a whole answer below the engine and mutes the engine. Before the connection is closed it reads what
// the client still sends, for a moment: a reset would destroy the answer on its way.
func answer500(c engine.Conn, r *http.Request) {
	c.Buffer(false) // first what the client has not taken of the answer before; the thread was given back
	const text = "500 internal server error\n"
	body := text
	if r.Method == http.MethodHead {
		body = ""
	}
	_, _ = fmt.Fprintf(c, "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), body)
	c.Mute()
	if r.ContentLength != 0 {
		_ = c.CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20))
	}
}
