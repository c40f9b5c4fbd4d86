package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/internal/testcert"
	"github.com/prefork/cluster/internal/traffic"
	"github.com/prefork/cluster/master/api"
)

// certificate writes a certificate for 127.0.0.1 and returns the query of a tls bind that uses it, and who trusts it.
func certificate(t testing.TB, dir string) (query string, trust *x509.CertPool) {
	t.Helper()
	authority, err := testcert.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := authority.Issue(time.Hour, "a.test")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("?cert=%s/cert.pem&key=%s/key.pem", dir, dir), authority.Pool()
}

// way is one way to reach a cluster and to be served by it.
type way struct {
	flags   []string
	clients traffic.Clients // Addr is that of the first bind unless set
}

func ways(t *testing.T) map[string]way {
	dir := shortDir(t)
	query, trust := certificate(t, dir)
	secure := &tls.Config{RootCAs: trust, ServerName: "a.test", ClientSessionCache: tls.NewLRUClientSessionCache(100)}
	socket := func(name string) string { return filepath.Join(dir, name+".sock") }
	return map[string]way{
		"tls":      {[]string{"--bind", "tls://127.0.0.1:0" + query}, traffic.Clients{TLS: secure}},
		"queue":    {[]string{"--bind", "127.0.0.1:0", "--pool", "queue"}, traffic.Clients{}},
		"fasthttp": {[]string{"--bind", "127.0.0.1:0", "--engine", "fasthttp"}, traffic.Clients{}},
		"handoff, fasthttp": {
			[]string{"--bind", "unix://" + socket("d"), "--engine", "fasthttp", "--dispatch", "handoff"}, traffic.Clients{Network: "unix", Addr: socket("d")},
		},
		"passed":           {[]string{"--bind", "127.0.0.1:0", "--dispatch", "passed"}, traffic.Clients{}},
		"copied":           {[]string{"--bind", "127.0.0.1:0", "--dispatch", "copied"}, traffic.Clients{}},
		"inprocess lease":  {[]string{"--bind", "127.0.0.1:0", "--mode", "inprocess"}, traffic.Clients{}},
		"inprocess queue":  {[]string{"--bind", "tls://127.0.0.1:0" + query, "--mode", "inprocess", "--pool", "queue"}, traffic.Clients{TLS: secure}},
		"fasthttp, shared": {[]string{"--bind", "unix://" + socket("b"), "--engine", "fasthttp", "--dispatch", "shared"}, traffic.Clients{Network: "unix", Addr: socket("b")}},
	}
}

// Restarts, scaling and new configurations lose nothing, whichever way requests come and are served.
func TestNothingIsLostAnyWay(t *testing.T) {
	for name, w := range ways(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			enough := int64(1500)
			if w.clients.TLS != nil {
				enough = 500 // a new connection costs both sides a handshake
			}
			c, commotion := startRestless(t, w.flags...)
			clients := w.clients
			if clients.Addr == "" {
				clients.Addr = c.Addr
			}
			l := startLoadAs(clients, 4, 8, 500*time.Millisecond, nil)
			for round := 0; round < 1 || l.fresh.Load() < enough || l.kept.Load() < enough; round++ {
				commotion()
				if t.Failed() {
					break
				}
			}
			report := l.stop()
			t.Logf("%d requests on new and %d on kept connections; %v", l.fresh.Load(), l.kept.Load(), report)
			if report.Losses() != 0 || report.ClassCounts["5xx"] != 0 {
				t.Errorf("requests were lost: %v", report)
			}
			if d := c.Status().Deaths; len(d) != 0 {
				t.Errorf("workers died: %+v", d)
			}
		})
	}
}

// startRestless starts a cluster with a file of settings, and returns what upsets it: every kind of change that must lose
// nothing, one after the other.
func startRestless(t *testing.T, flags ...string) (c *testCluster, commotion func()) {
	file := filepath.Join(shortDir(t), "cluster.yaml")
	settings := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("settle: 100ms\nsurge: 2\nworkers: 2\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings("threads: 3\n")
	c = startCluster(t, append([]string{"--config", file, "--quiet"}, flags...)...)
	ready := func(s api.Status) bool { return s.State == "ready" }
	return c, func() {
		t.Helper()
		c.Must("scale", "4")
		c.Must("restart", "--wait")
		settings("threads: 5\nidle-timeout: 30s\n") // at once
		c.Must("reload")
		c.Must("scale", "1")
		settings("threads: 3\nmax-head: 32KiB\n") // for new workers
		generation := c.Status().Generation
		c.Signal(syscall.SIGHUP)
		c.Await("the new settings have begun a restart", func(s api.Status) bool { return s.Generation > generation })
		c.Signal(syscall.SIGUSR2) // and again while that one is under way
		c.Must("restart", "--wait=drained")
		settings("threads: 3\n")
		c.Must("reload")
		c.Must("scale", "2")
		c.Await("all is quiet again", ready)
	}
}

// HTTP/2, by Go's client: a few connections with several streams each. What a GOAWAY leaves unanswered the client asks
// again by itself, as the protocol lets it (RFC 9113, 6.8).
func TestNothingIsLostOverHTTP2(t *testing.T) {
	const (
		connections, streams = 4, 3
		enough               = 4000
	)
	query, trust := certificate(t, shortDir(t))
	c, commotion := startRestless(t, "--bind", "tls://127.0.0.1:0"+query)
	var asked, lost atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range connections {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
		for range streams {
			clients.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					asked.Add(1)
					if err := askOverHTTP2(client, "https://"+c.Addr+"/10k", 10<<10); err != nil && lost.Add(1) <= 5 {
						t.Errorf("request %d: %v", asked.Load(), err)
					}
				}
			})
		}
	}
	for round := 0; round < 1 || asked.Load() < enough; round++ {
		commotion()
	}
	close(stop)
	clients.Wait()
	t.Logf("%d requests, %d lost", asked.Load(), lost.Load())
	if d := c.Status().Deaths; len(d) != 0 {
		t.Errorf("workers died: %+v", d)
	}
}

func askOverHTTP2(client *http.Client, url string, size int) error {
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return err
	case answer.ProtoMajor != 2:
		return fmt.Errorf("answered in %s", answer.Proto)
	case answer.StatusCode != http.StatusOK || len(body) != size:
		return fmt.Errorf("%s with %d bytes", answer.Status, len(body))
	}
	return nil
}
