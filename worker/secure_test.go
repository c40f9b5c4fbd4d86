package worker

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/worker/internal/nethttp"
)

// startSecure serves a plain bind and one of whose TLS the worker takes care, with the keys that the test has put there.
func startSecure(t *testing.T, h http.Handler, keys *atomic.Pointer[tls.Config], change ...func(*setup)) (w *testWorker, plain, secure string) {
	t.Helper()
	s := &setup{config: testConfig(), server: &http.Server{Handler: h}, listeners: []net.Listener{listenLocal(t), listenLocal(t)}}
	s.config.Binds = []ipc.Bind{{Name: "plain"}, {Name: "secure", TLS: true}}
	for _, f := range change {
		f(s)
	}
	w = &testWorker{member: newTestMember(s.config, s.listeners...), log: &logBook{}}
	w.member.Log = w.log.logger()
	w.KeysFor = func(bind int, _ bool) *tls.Config {
		want(t, "bind", bind, 1)
		return keys.Load()
	}
	w.engine = nethttp.New(&w.Worker, s.server)
	w.begin(t)
	return w, "http://" + s.listeners[0].Addr().String(), "https://" + s.listeners[1].Addr().String()
}

// keysOf makes the keys of a bind, and a client that trusts them.
func keysOf(t *testing.T, http2 bool) (*tls.Config, *http.Client) {
	t.Helper()
	config, trusted := certificate()
	config.NextProtos = []string{"h2", "http/1.1"}
	return config, clientThatTrusts(t, trusted, http2)
}

func clientThatTrusts(t *testing.T, trusted *x509.CertPool, http2 bool) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: http2}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// One worker speaks plain HTTP on one bind and TLS on the other, in both versions, and counts all alike.
func TestSecureBind(t *testing.T) {
	t.Parallel()
	for major, http2 := range map[int]bool{1: false, 2: true} {
		var keys atomic.Pointer[tls.Config]
		config, c := keysOf(t, http2)
		keys.Store(config)
		w, plain, secure := startSecure(t, http.HandlerFunc(describeBody), &keys, buffered)
		for _, base := range []string{plain, secure} {
			status, got, _, err := fetch(c, base)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "status", status, http.StatusOK)
			if base == secure {
				want(t, "HTTP version", got, major)
			}
		}
		want(t, "answers by class", w.answers(), [5]int64{0, 2})
		w.drain(t, order{})
		for _, base := range []string{plain, secure} {
			if status, _, _, err := fetch(c, base); status != http.StatusOK {
				t.Errorf("the last answer: %d, %v", status, err)
			}
		}
		w.wantResult(t)
	}
}

// Certificates that are replaced count from the next connection on, and one that speaks plain HTTP to a TLS bind is told.
func TestSecureBindTakesNewKeys(t *testing.T) {
	t.Parallel()
	var keys atomic.Pointer[tls.Config]
	config, c := keysOf(t, false)
	_, _, secure := startSecure(t, http.HandlerFunc(hello), &keys)
	if _, _, _, err := fetch(c, secure); err == nil {
		t.Error("a bind without keys was served")
	}
	keys.Store(config)
	if status, _, _, err := fetch(c, secure); status != http.StatusOK {
		t.Errorf("with keys: %d, %v", status, err)
	}
	status, _, _, err := fetch(c, "http"+secure[len("https"):])
	if status != http.StatusBadRequest {
		t.Errorf("plain HTTP: %d, %v", status, err)
	}
}

// Silence during the handshake and after it ends in time on a TLS bind, too.
func TestSecureBindTimeouts(t *testing.T) {
	t.Parallel()
	const timeout = 300 * time.Millisecond
	var keys atomic.Pointer[tls.Config]
	config, trusted := certificate()
	keys.Store(config)
	w, _, secure := startSecure(t, http.HandlerFunc(hello), &keys, func(s *setup) { s.config.HeadTimeout, s.config.IdleTimeout = timeout, timeout })
	started := time.Now()
	silent := dial(t, secure[len("https://"):])
	spoke, err := tls.Dial("tcp", secure[len("https://"):], &tls.Config{RootCAs: trusted})
	if err != nil {
		t.Fatal(err)
	}
	defer spoke.Close()
	spoke.Write([]byte("GET / HTTP/1.1\r\nHost: te"))
	silent.wantEOF()
	eventually(t, "both to be closed", func() bool { return w.Row.Accepted.Load() == 2 && w.Row.Open.Load() == 0 })
	if took := time.Since(started); took < timeout {
		t.Errorf("closed after %v", took)
	}
}
