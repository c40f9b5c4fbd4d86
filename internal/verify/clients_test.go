package verify_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/prefork/cluster/internal/verify"
	"github.com/prefork/cluster/internal/verify/echo"
)

const seed = 7

// A server that is right is found to be right, whatever the clients do.
func TestRightServers(t *testing.T) {
	servers := map[string]func(*testing.T) string{
		"nethttp": func(t *testing.T) string { return serveNetHTTP(t, http.HandlerFunc(echo.NetHTTP)) },
		"fasthttp": func(t *testing.T) string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := &fasthttp.Server{Handler: echo.FastHTTP, Logger: silent{}}
			go func() { _ = s.Serve(l) }()
			t.Cleanup(func() { _ = s.Shutdown() })
			return l.Addr().String()
		},
	}
	for name, serve := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const requests = 6000
			var progress atomic.Int64
			r := verify.Clients{
				Addr: serve(t), Seed: seed, Connections: 16, Requests: requests, HTTP2: name == "nethttp", Progress: &progress,
			}.Run(t.Context())
			if r.Counts[verify.Right]+r.Counts[verify.Left] != r.Requests || r.Closes() != 0 || r.Severed != 0 || r.Moved != 0 {
				t.Error(&r)
			}
			if r.Requests < requests || progress.Load() != r.Requests {
				t.Errorf("%d requests, progress %d", r.Requests, progress.Load())
			}
			for kind, s := range r.Splits {
				if s.Places == 0 || s.Seen == 0 || s.Seen > s.Places {
					t.Errorf("%s: %+v", kind, s)
				}
			}
		})
	}
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func serveNetHTTP(t *testing.T, h http.Handler) (addr string) {
	s := httptest.NewUnstartedServer(h)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.Config.Protocols = &protocols
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// Each way to be wrong is found, and taken for nothing else.
func TestWrongServers(t *testing.T) {
	raw := func(what func(answer []byte) []byte) func(http.ResponseWriter, *http.Request, []byte) {
		return func(w http.ResponseWriter, _ *http.Request, answer []byte) {
			nc, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = nc.Write(what(answer))
			_ = nc.Close()
		}
	}
	header := func(key string, change func(string) string) func(http.ResponseWriter, *http.Request, []byte) {
		return func(w http.ResponseWriter, r *http.Request, _ []byte) {
			echo.NetHTTP(changed{w, func(h http.Header) { h.Set(key, change(h.Get(key))) }}, r)
		}
	}
	tests := []struct {
		name string
		do   func(http.ResponseWriter, *http.Request, []byte)
		want verify.Fate
		too  []verify.Fate // that come with it
	}{
		{"silence", raw(func([]byte) []byte { return nil }), verify.Unanswered, nil},
		{"half an answer", raw(func(a []byte) []byte { return a[:len(a)/2] }), verify.Truncated, []verify.Fate{verify.Unanswered}},
		{"a byte more", raw(func(a []byte) []byte { return append(a, 'x') }), verify.Wrong, []verify.Fate{verify.Unanswered}},
		{"another byte", raw(func(a []byte) []byte { a[len(a)-1]++; return a }), verify.Wrong, []verify.Fate{verify.Unanswered, verify.Truncated}}, // the end of the last chunk
		{"twice", raw(func(a []byte) []byte { return append(a, a...) }), verify.Wrong, []verify.Fate{verify.Unanswered}},
		{"closed behind the answer", raw(func(a []byte) []byte { return a }), verify.ClosedIdle, []verify.Fate{verify.Unanswered, verify.Truncated}},
		{"another's", header(verify.HeaderID, func(id string) string { return "ffff" + id[4:] }), verify.Foreign, []verify.Fate{verify.Unanswered}},
		{"another of the same client", header(verify.HeaderID, func(id string) string { return id[:len(id)-2] + "ff" }), verify.Wrong, []verify.Fate{verify.Unanswered}},
		{"another body seen", header(verify.HeaderSum, strings.ToUpper), verify.Wrong, []verify.Fate{verify.Unanswered}},
		{"not signed", header(verify.HeaderPID, func(string) string { return "" }), verify.Wrong, []verify.Fate{verify.Unanswered}},
		{"announced", header("Connection", func(string) string { return "close" }), verify.Closing, []verify.Fate{verify.Dismissed}},
		{"unavailable", func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			http.Error(w, "busy", http.StatusServiceUnavailable)
		}, verify.Unavailable, nil},
		{"not found", func(w http.ResponseWriter, _ *http.Request, _ []byte) { http.Error(w, "?", http.StatusNotFound) }, verify.Wrong, []verify.Fate{verify.Unanswered}},
		{"never", nil, verify.TimedOut, []verify.Fate{verify.Unanswered}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Expect") != "" || !strings.HasPrefix(r.URL.Path, verify.EchoPath) || n.Add(1)%40 != 0 {
					echo.NetHTTP(w, r)
					return
				}
				if test.do == nil {
					<-t.Context().Done()
					return
				}
				answer := &recorder{header: http.Header{}}
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(body))
				echo.NetHTTP(answer, r)
				r.Body = io.NopCloser(bytes.NewReader(body))
				test.do(w, r, answer.raw())
			})
			timeout := 20 * time.Second
			if test.want == verify.TimedOut {
				timeout = 300 * time.Millisecond
			}
			r := verify.Clients{Addr: serveNetHTTP(t, h), Seed: seed, Connections: 4, Requests: 600, Timeout: timeout}.Run(t.Context())
			if r.Counts[test.want] == 0 {
				t.Errorf("nothing is %s", test.want)
			}
			for fate, count := range r.Counts {
				f := verify.Fate(fate)
				expected := f == verify.Right || f == verify.Left || f == test.want
				for _, too := range test.too {
					expected = expected || f == too
				}
				if !expected && count > 0 {
					t.Errorf("%d are %s", count, f)
				}
			}
			if t.Failed() {
				t.Log(&r)
			}
		})
	}
}

// changed changes the header of an answer before it is sent.
type changed struct {
	http.ResponseWriter
	change func(http.Header)
}

func (c changed) Write(p []byte) (int, error) {
	c.change(c.Header())
	return c.ResponseWriter.Write(p)
}

func (c changed) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// recorder keeps an answer.
type recorder struct {
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(int)             {}
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// raw is the answer as it could be on the wire. What was asked for in chunks is in one.
func (r *recorder) raw() []byte {
	var b bytes.Buffer
	chunked := r.header.Get("Content-Length") == ""
	if chunked {
		r.header.Set("Transfer-Encoding", "chunked")
	}
	b.WriteString("HTTP/1.1 200 OK\r\n")
	_ = r.header.Write(&b)
	b.WriteString("\r\n")
	if !chunked {
		b.Write(r.body.Bytes())
		return b.Bytes()
	}
	if r.body.Len() > 0 {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", r.body.Len(), r.body.Bytes())
	}
	b.WriteString("0\r\n\r\n")
	return b.Bytes()
}
