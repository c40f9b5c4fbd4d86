package nethttp

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
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
	e.complain(q, v)
	if q.counted != nil {
		if !q.counted.counted {
			http.Error(q.w, "500 internal server error", http.StatusInternalServerError)
			return
		}
		panic(http.ErrAbortHandler)
	}
	if q.c.Claim() {
		q.c.Answer(instead(http.StatusInternalServerError, "500 internal server error\n", q.r.Method))
		q.c.Part()
	}
	panic(http.ErrAbortHandler)
}

// complain counts and logs a panic. It is called while the stack is still there.
func (e *Engine) complain(q *request, v any) {
	e.worker.Account(q.held).Panics.Add(1)
	stack := make([]byte, 16<<10)
	stack = stack[:runtime.Stack(stack, false)]
	e.worker.Log.Error("handler panicked", "err", fmt.Sprint(v), "method", q.r.Method, "path", q.r.URL.Path, "stack", string(stack))
}

// instead is a whole answer in the place of a handler's, after which the connection is closed.
func instead(status int, text, method string) []byte {
	body := text
	if method == http.MethodHead {
		body = ""
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), len(text), body)
}
