package worker

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// certificate is a server's and what its clients trust.
func certificate() (*tls.Config, *x509.CertPool) {
	ts := httptest.NewTLSServer(nil)
	defer ts.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(ts.Certificate())
	return &tls.Config{Certificates: ts.TLS.Certificates}, trusted
}

// startVeiled serves a protocol in which the wrapper cannot read the answers, and makes a client for it.
func startVeiled(t *testing.T, protocol string, h http.Handler, change ...func(*setup)) (w *testWorker, base string, c *http.Client) {
	t.Helper()
	transport := &http.Transport{DisableCompression: true, ExpectContinueTimeout: patience}
	w = startWorker(t, h, append(change, func(s *setup) {
		var protocols http.Protocols
		if protocol == "h2c" {
			protocols.SetHTTP1(true)
			protocols.SetUnencryptedHTTP2(true)
			s.server.Protocols = &protocols
			var client http.Protocols
			client.SetUnencryptedHTTP2(true)
			transport.Protocols = &client
			return
		}
		config, trusted := certificate()
		s.server.TLSConfig = config
		transport.TLSClientConfig = &tls.Config{RootCAs: trusted}
		transport.ForceAttemptHTTP2 = protocol == "https h2"
	})...)
	t.Cleanup(transport.CloseIdleConnections)
	base = "https://" + w.addr
	if protocol == "h2c" {
		base = "http://" + w.addr
	}
	return w, base, &http.Client{Transport: transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

var veiledProtocols = map[string]int{"https h1": 1, "https h2": 2, "h2c": 2}

// perVeiledProtocol runs a test for each of them.
func perVeiledProtocol(t *testing.T, test func(t *testing.T, protocol string)) {
	t.Parallel()
	for protocol := range veiledProtocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			test(t, protocol)
		})
	}
}

// fetch makes a request and reads the whole answer.
func fetch(c *http.Client, url string) (status, major int, body string, err error) {
	r, err := c.Get(url)
	if err != nil {
		return 0, 0, "", err
	}
	defer r.Body.Close()
	all, err := io.ReadAll(r.Body)
	return r.StatusCode, r.ProtoMajor, string(all), err
}

func TestVeiledAnswersCountOnce(t *testing.T) {
	perVeiledProtocol(t, func(t *testing.T, protocol string) {
		w, base, c := startVeiled(t, protocol, exchangeHandler(t))
		for _, x := range []struct {
			path    string
			status  int
			counted [5]int64
		}{
			{"/nothing", 200, [5]int64{0, 1}},
			{"/flush", 200, [5]int64{0, 1}},
			{"/early", 200, [5]int64{0, 1}},
			{"/status/204", 204, [5]int64{0, 1}},
			{"/status/302", 302, [5]int64{0, 0, 1}},
			{"/status/304", 304, [5]int64{0, 0, 1}},
			{"/status/404", 404, [5]int64{0, 0, 0, 1}},
			{"/status/500", 500, [5]int64{0, 0, 0, 0, 1}},
			{"/status/999", 999, [5]int64{0, 0, 0, 0, 1}},
		} {
			before := w.answers()
			status, major, _, err := fetch(c, base+x.path)
			if err != nil {
				t.Fatalf("%s: %v", x.path, err)
			}
			want(t, "status of "+x.path, status, x.status)
			want(t, "HTTP version", major, veiledProtocols[protocol])
			counted := w.answers()
			for i := range counted {
				counted[i] -= before[i]
			}
			want(t, "counted for "+x.path, counted, x.counted)
		}
		r, err := c.Post(base+"/read", "text/plain", strings.NewReader("12345"))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		eventually(t, "all durations", func() bool { return count(&w.Row.Duration) == 10 })
		want(t, "accepted", w.Row.Accepted.Load(), 1)
		eventually(t, "the threads to be free", func() bool { return w.board.Busy(0) == 0 })
	})
}

func TestVeiledRefusalsAndPanics(t *testing.T) {
	perVeiledProtocol(t, func(t *testing.T, protocol string) {
		g := newGate()
		w, base, c := startVeiled(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/panic":
				w.Header().Set("Content-Length", "1")
				panic("no reason")
			case "/panic later":
				hello(w, r)
				w.(http.Flusher).Flush()
				panic("no reason")
			case "/abort":
				panic(http.ErrAbortHandler)
			case "/impossible":
				w.WriteHeader(99)
			default:
				g.ServeHTTP(w, r)
			}
		}), func(s *setup) { s.config.Threads, s.config.QueueDepth = 1, 0 })
		for _, path := range []string{"/panic", "/impossible"} {
			status, _, body, err := fetch(c, base+path)
			if status != http.StatusInternalServerError || body != answered500 || err != nil {
				t.Errorf("%s: %d %q %v", path, status, body, err)
			}
		}
		if _, _, body, err := fetch(c, base+"/panic%20later"); body != "hello" || err == nil {
			t.Errorf("panic within an answer: %q, %v", body, err)
		}
		if _, _, _, err := fetch(c, base+"/abort"); err == nil {
			t.Error("an aborted handler was answered")
		}
		want(t, "panics", w.Row.Panics.Load(), 3)
		want(t, "answers by class", w.answers(), [5]int64{0, 1, 0, 0, 2})

		running := make(chan string, 1)
		go func() {
			_, _, body, _ := fetch(c, base+"/running")
			running <- body
		}()
		await(t, "the handler", g.entered)
		status, _, _, err := fetch(c, base+"/refused")
		if status != http.StatusServiceUnavailable || err != nil {
			t.Errorf("with all threads taken: %d, %v", status, err)
		}
		want(t, "refused", w.Row.Refused.Load(), 1)
		close(g.leave)
		want(t, "body", await(t, "the answer", running), "/running")
		want(t, "answers by class", w.answers(), [5]int64{0, 2, 0, 0, 3})
	})
}

// dialTLS speaks HTTP/1.1 by hand.
func dialTLS(t *testing.T, w *testWorker, base *http.Client) (*tls.Conn, *bufio.Reader) {
	t.Helper()
	nc := overTLS(t, dial(t, w.addr), base)
	return nc, bufio.NewReader(nc)
}

// overTLS speaks HTTP/1.1 over TLS on a connection, and trusts whom another client trusts.
func overTLS(t *testing.T, c *client, base *http.Client) *tls.Conn {
	t.Helper()
	config := base.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos, config.ServerName = []string{"http/1.1"}, "127.0.0.1"
	nc := tls.Client(c, config)
	t.Cleanup(func() { nc.Close() })
	if err := nc.Handshake(); err != nil {
		t.Fatal(err)
	}
	return nc
}

func TestHijackUnderTLS(t *testing.T) {
	var threads int
	over := make(chan struct{})
	var w *testWorker
	w, _, c := startVeiled(t, "https h1", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		nc, in, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		threads = w.board.Busy(0)
		echo(t, nc, in)
		<-over
	}), func(s *setup) { s.config.Threads = 1 })
	nc, in := dialTLS(t, w, c)
	io.WriteString(nc, "GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	if line, err := in.ReadString('\n'); line != "ready\n" {
		t.Fatalf("read %q, %v", line, err)
	}
	want(t, "threads that the hijacker holds", threads, 0)
	w.wantAnswers(t, [5]int64{1, 0, 0, 0, 0})
	w.drain(t, order{})
	w.age(time.Hour) // drain-idle is not for a protocol of the application's own
	io.WriteString(nc, "still here\n")
	if line, err := in.ReadString('\n'); line != "still here\n" {
		t.Errorf("read %q, %v", line, err)
	}
	nc.CloseWrite()
	close(over)
	w.wantResult(t)
}

// The server's limit for the whole of a request holds under TLS.
func TestReadTimeoutUnderTLS(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	w, _, c := startVeiled(t, "https h1", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		failed <- err
	}), func(s *setup) { s.server.ReadTimeout = 300 * time.Millisecond })
	started := time.Now()
	nc, _ := dialTLS(t, w, c)
	io.WriteString(nc, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12345")
	if err := await(t, "the body to be given up", failed); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the handler read until %v", err)
	}
	if took := time.Since(started); took < 300*time.Millisecond {
		t.Errorf("given up after %v", took)
	}
}

// The write timeout holds where the wrapper sees no request.
func TestStuckWriteUnderTLS(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	w, _, c := startVeiled(t, "https h1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for err == nil {
			_, err = w.Write(make([]byte, 1<<20))
		}
		failed <- err
	}), func(s *setup) { s.config.WriteTimeout = 300 * time.Millisecond })
	nc, _ := dialTLS(t, w, c)
	io.WriteString(nc, "GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	if err := await(t, "the write to fail", failed); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the handler saw %v", err)
	}
}

// A handler finds in its ResponseWriter what net/http's has, and each way to begin an answer counts once.
func TestVeiledResponseWriter(t *testing.T) {
	perVeiledProtocol(t, func(t *testing.T, protocol string) {
		data := pattern(100_000)
		w, base, c := startVeiled(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/copied":
				if n, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(data)}); n != int64(len(data)) || err != nil {
					t.Errorf("copied %d bytes, %v", n, err)
				}
			case "/limited":
				controller := http.NewResponseController(w)
				for _, err := range []error{
					controller.SetReadDeadline(time.Now().Add(time.Minute)), controller.SetWriteDeadline(time.Now().Add(time.Minute)),
					controller.Flush(),
				} {
					if err != nil {
						t.Error(err)
					}
				}
				w.Write(data)
			}
		}))
		for i, path := range []string{"/copied", "/limited"} {
			status, _, body, err := fetch(c, base+path)
			if status != http.StatusOK || err != nil {
				t.Fatalf("%s: %d, %v", path, status, err)
			}
			wantSame(t, []byte(body), data)
			want(t, "answers by class", w.answers(), [5]int64{0, int64(i) + 1})
		}
	})
}
