package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/prefork/cluster/internal/testcert"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/worker"
)

// keyFiles are a certificate and its key in files, and who has signed them.
type keyFiles struct {
	t         *testing.T
	dir       string
	authority *testcert.Authority
	pool      *x509.CertPool
}

func newKeyFiles(t *testing.T) keyFiles {
	t.Helper()
	a, err := testcert.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	f := keyFiles{t, t.TempDir(), a, a.Pool()}
	f.put("ca.pem", a.PEM)
	f.issue("site.test")
	return f
}

func (f keyFiles) path(name string) string { return filepath.Join(f.dir, name) }

// put writes a file as a careful person does: under another name first.
func (f keyFiles) put(name string, text []byte) {
	f.t.Helper()
	if err := os.WriteFile(f.path("new"), text, 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(f.path("new"), f.path(name)); err != nil {
		f.t.Fatal(err)
	}
}

// issue replaces the certificate and the key by those for a name.
func (f keyFiles) issue(name string) {
	f.t.Helper()
	certificate, key, err := f.authority.Issue(time.Hour, name)
	if err != nil {
		f.t.Fatal(err)
	}
	f.put("site.key", key)
	f.put("site.pem", certificate)
}

// bind is an address that is served with the files.
func (f keyFiles) bind(more string) string {
	return "tls://127.0.0.1:0?cert=" + url.PathEscape(f.path("site.pem")) + "&key=" + url.PathEscape(f.path("site.key")) + more
}

// over makes an HTTP request on a connection of its own.
func over(c net.Conn, path string) (body string, err error) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(startPatience))
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	text, err := io.ReadAll(c)
	_, body, _ = strings.Cut(string(text), "\r\n\r\n")
	return body, err
}

func TestTLSProtocols(t *testing.T) {
	t.Parallel()
	files := newKeyFiles(t)
	c := startCluster(t, "--workers", "2", "--drain-idle", "0s", "--bind", files.bind(""))
	for major, protocols := range map[int]func(*http.Protocols){
		1: func(p *http.Protocols) { p.SetHTTP1(true) },
		2: func(p *http.Protocols) { p.SetHTTP2(true) },
	} {
		var p http.Protocols
		protocols(&p)
		transport := &http.Transport{Protocols: &p, TLSClientConfig: &tls.Config{RootCAs: files.pool}}
		defer transport.CloseIdleConnections()
		res, err := (&http.Client{Transport: transport}).Get("https://" + c.Addr + "/plaintext")
		if err != nil {
			t.Fatalf("HTTP/%d: %v", major, err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(body) != "Hello, World!" || res.ProtoMajor != major {
			t.Errorf("HTTP/%d: %q over %s, %v", major, body, res.Proto, err)
		}
	}
	if out := c.Must("status"); !strings.Contains(out, " on tls://"+c.Addr+", ") {
		t.Errorf("status says %s", out)
	}
}

// A session that one worker has begun is resumed by every other, and by those of the next generation.
func TestTLSResumption(t *testing.T) {
	t.Parallel()
	files := newKeyFiles(t)
	c := startCluster(t, "--workers", "3", "--settle", "50ms", "--bind", files.bind(""))
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		config := &tls.Config{RootCAs: files.pool, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		begun := false
		for range 2 {
			met := map[int]bool{}
			for deadline := time.Now().Add(startPatience); len(met) < 3 && time.Now().Before(deadline); {
				conn, err := tls.Dial("tcp", c.Addr, config)
				if err != nil {
					t.Fatal(err)
				}
				resumed := conn.ConnectionState().DidResume
				body, err := over(conn, "/pid")
				var who struct{ PID int }
				if err != nil || json.Unmarshal([]byte(body), &who) != nil {
					t.Fatalf("%s: %q, %v", name, body, err)
				}
				if resumed != begun {
					t.Fatalf("%s: worker %d after %d others resumed: %v", name, who.PID, len(met), resumed)
				}
				begun = true
				met[who.PID] = true
			}
			if len(met) < 3 {
				t.Fatalf("%s: only %d workers were met", name, len(met))
			}
			c.Must("restart", "--wait=drained")
		}
	}
}

// A certificate that is replaced is served soon, without a signal and by the same workers; a broken one never.
func TestTLSReplaced(t *testing.T) {
	t.Parallel()
	files := newKeyFiles(t)
	c := startCluster(t, "--workers", "2", "--bind", files.bind(""))
	workers := c.settled(1)
	served := func() string {
		conn, err := tls.Dial("tcp", c.Addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	// Ten connections in a row have met both workers, as good as certainly.
	await := func(name string) {
		t.Helper()
		deadline := time.Now().Add(startPatience)
		for row := 0; row < 10; row++ {
			if got := served(); got != name {
				row = -1
				if time.Now().After(deadline) {
					t.Fatalf("%s is served, want %s", got, name)
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
	await("site.test")
	files.issue("next.test")
	await("next.test")

	files.put("site.pem", []byte("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"))
	broken := func(s api.Status) bool { return strings.Contains(s.KeysError, "malformed certificate") }
	c.Await("the status says that the certificate is broken", broken)
	if out := c.Must("status"); !strings.Contains(out, "certificates cannot be read, the old ones stay in use: cannot serve tls://"+c.Addr) {
		t.Errorf("status says %s", out)
	}
	c.Must("reload")
	await("next.test")
	files.issue("last.test")
	await("last.test")
	if s := c.Status(); s.KeysError != "" {
		t.Errorf("the status still says %q", s.KeysError)
	}
	if now := c.settled(1); len(now) != 2 || now[0] != workers[0] || now[1] != workers[1] {
		t.Errorf("workers %v became %v", workers, now)
	}
}

func TestTLSClientCertificates(t *testing.T) {
	t.Parallel()
	files := newKeyFiles(t)
	stranger := newKeyFiles(t)
	c := startCluster(t, "--workers", "1", "--bind", files.bind("&client-ca="+url.PathEscape(files.path("ca.pem"))))
	for name, test := range map[string]struct {
		from     *keyFiles
		admitted bool
	}{"none": {}, "a stranger's": {&stranger, false}, "one that is trusted": {&files, true}} {
		config := &tls.Config{RootCAs: files.pool}
		if test.from != nil {
			pair, err := tls.LoadX509KeyPair(test.from.path("site.pem"), test.from.path("site.key"))
			if err != nil {
				t.Fatal(err)
			}
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		body := ""
		conn, err := tls.Dial("tcp", c.Addr, config) // in TLS 1.3 the server's verdict comes later
		if err == nil {
			body, err = over(conn, "/plaintext")
		}
		if admitted := err == nil && body == "Hello, World!"; admitted != test.admitted {
			t.Errorf("certificate %s: %q, %v, want it admitted: %v", name, body, err, test.admitted)
		}
	}
}

func init() { programs["mirror"] = mirror }

// mirror is a worker that tells clients who they are.
func mirror() {
	if err := worker.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })); err != nil {
		panic(err)
	}
}

// The application sees the client that the balancer speaks for, with and without TLS; who comes without a header is
// turned away.
func TestProxyHeader(t *testing.T) {
	t.Parallel()
	files := newKeyFiles(t)
	source, destination := &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 4711}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 8), Port: 80}
	for scheme, bind := range map[string]string{"tcp": "tcp://127.0.0.1:0?proxy=on", "tls": files.bind("&proxy=on")} {
		c := startCluster(t, "--workers", "1", "--bind", bind, "--", testBinary(t), "mirror")
		for _, version := range []byte{0, 1, 2} {
			conn, err := net.Dial("tcp", c.Addr)
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			if version > 0 {
				want = source.String()
				header, err := proxyproto.HeaderProxyFromAddrs(version, source, destination).Format()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(conn, bytes.NewReader(header)); err != nil {
					t.Fatal(err)
				}
			}
			if scheme == "tls" {
				conn = tls.Client(conn, &tls.Config{RootCAs: files.pool, ServerName: "127.0.0.1"})
			}
			if body, err := over(conn, "/"); body != want || version > 0 && err != nil {
				t.Errorf("%s, header of version %d: %q, %v, want %q", scheme, version, body, err, want)
			}
		}
	}
}
