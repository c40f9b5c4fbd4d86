package keys

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/internal/testcert"
)

func issue(t *testing.T, names ...string) (*testcert.Authority, Pair) {
	t.Helper()
	a, err := testcert.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := a.Issue(time.Hour, names...)
	if err != nil {
		t.Fatal(err)
	}
	return a, Pair{certificate, key}
}

func ticket(b byte) []byte { return []byte(strings.Repeat(string(b), 32)) }

func TestSealAndOpen(t *testing.T) {
	_, pair := issue(t, "a.test")
	k := &Keys{Binds: map[int]Bind{2: {Certificates: []Pair{pair}, MinVersion: "1.3"}}, Tickets: [][]byte{ticket(1)}}
	fd, err := k.Seal()
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(fd)
	if err != nil {
		t.Fatal(err)
	}
	if string(opened.Binds[2].Certificates[0].Key) != string(pair.Key) || string(opened.Tickets[0]) != string(ticket(1)) {
		t.Errorf("opened %+v", opened)
	}
}

// handshake connects a client to what a worker would use, and says what came of it.
func handshake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		c := tls.Server(nc, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return server, nil }})
		if c.Handshake() == nil {
			_, _ = io.Copy(c, c)
		}
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	// A refusal of the client's certificate, and the session ticket, come with the first bytes.
	if _, err := c.Write([]byte("x")); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		return tls.ConnectionState{}, err
	}
	return c.ConnectionState(), nil
}

// A session that began with one worker goes on with another, and with one that knows a newer key besides.
func TestSessionResumesElsewhere(t *testing.T) {
	a, pair := issue(t, "a.test")
	binds := map[int]Bind{0: {Certificates: []Pair{pair}}}
	client := &tls.Config{RootCAs: a.Pool(), ServerName: "a.test", ClientSessionCache: tls.NewLRUClientSessionCache(10)}
	for i, test := range []struct {
		tickets [][]byte
		resumes bool
	}{
		{[][]byte{ticket(1)}, false},           // the first worker
		{[][]byte{ticket(1)}, true},            // another
		{[][]byte{ticket(2), ticket(1)}, true}, // after a rotation
		{[][]byte{ticket(3)}, false},           // of another cluster
	} {
		var s Store
		if err := s.Replace(&Keys{Binds: binds, Tickets: test.tickets}); err != nil {
			t.Fatal(err)
		}
		state, err := handshake(t, s.For(0, true), client)
		if err != nil || state.DidResume != test.resumes {
			t.Errorf("worker %d: resumed %v, %v; want %v", i, state.DidResume, err, test.resumes)
		}
	}
}

func TestServerNames(t *testing.T) {
	a, first := issue(t, "a.test")
	certificate, key, err := a.Issue(time.Hour, "b.test")
	if err != nil {
		t.Fatal(err)
	}
	var s Store
	if err := s.Replace(&Keys{Binds: map[int]Bind{0: {Certificates: []Pair{first, {certificate, key}}}}}); err != nil {
		t.Fatal(err)
	}
	for asked, name := range map[string]string{"a.test": "a.test", "b.test": "b.test", "127.0.0.1": "a.test"} {
		state, err := handshake(t, s.For(0, true), &tls.Config{RootCAs: a.Pool(), ServerName: asked})
		if err != nil || state.PeerCertificates[0].DNSNames[0] != name {
			t.Errorf("asked for %s: %v, want the certificate of %s", asked, err, name)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	a, pair := issue(t, "a.test")
	stranger, _ := issue(t, "x.test")
	clientOf := func(a *testcert.Authority) tls.Certificate {
		certificate, key, err := a.Issue(time.Hour, "client.test")
		if err != nil {
			t.Fatal(err)
		}
		c, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, test := range []struct {
		auth, who string
		served    bool
	}{
		{"", "known", true},
		{"", "stranger", false},
		{"", "nobody", false},
		{"require", "known", true},
		{"require", "nobody", false},
		{"request", "known", true},
		{"request", "nobody", true},
		{"request", "stranger", false},
	} {
		c, err := (Bind{Certificates: []Pair{pair}, ClientCA: a.PEM, ClientAuth: test.auth}).Config()
		if err != nil {
			t.Fatal(err)
		}
		client := &tls.Config{RootCAs: a.Pool(), ServerName: "a.test"}
		own := map[string]*testcert.Authority{"known": a, "stranger": stranger}[test.who]
		if own != nil {
			certificate := clientOf(own)
			client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
		}
		if _, err := handshake(t, c, client); (err == nil) != test.served {
			t.Errorf("%q, client %s: %v, want served %v", test.auth, test.who, err, test.served)
		}
	}
}

func TestVersionsAndProtocols(t *testing.T) {
	a, pair := issue(t, "a.test")
	var s Store
	if err := s.Replace(&Keys{Binds: map[int]Bind{0: {Certificates: []Pair{pair}}, 1: {Certificates: []Pair{pair}, MinVersion: "1.3"}}}); err != nil {
		t.Fatal(err)
	}
	old := &tls.Config{RootCAs: a.Pool(), ServerName: "a.test", MaxVersion: tls.VersionTLS12}
	if _, err := handshake(t, s.For(0, true), old); err != nil {
		t.Errorf("TLS 1.2: %v", err)
	}
	if _, err := handshake(t, s.For(1, true), old); err == nil {
		t.Error("TLS 1.2 was accepted where 1.3 is the least")
	}
	both := &tls.Config{RootCAs: a.Pool(), ServerName: "a.test", NextProtos: []string{"h2", "http/1.1"}}
	for http2, protocol := range map[bool]string{true: "h2", false: "http/1.1"} {
		state, err := handshake(t, s.For(0, http2), both)
		if err != nil || state.NegotiatedProtocol != protocol {
			t.Errorf("http2 %v: %q, %v", http2, state.NegotiatedProtocol, err)
		}
	}
	if s.For(7, true) != nil || (&Store{}).For(0, true) != nil {
		t.Error("a bind without keys has a configuration")
	}
}

// What is wrong is named, and the keys before it stay.
func TestReplaceRefuses(t *testing.T) {
	_, pair := issue(t, "a.test")
	_, other := issue(t, "b.test")
	good := Bind{Certificates: []Pair{pair}}
	var s Store
	if err := s.Replace(&Keys{Binds: map[int]Bind{0: good}}); err != nil {
		t.Fatal(err)
	}
	before := s.For(0, true)
	for want, k := range map[string]*Keys{
		"no certificate":                       {Binds: map[int]Bind{0: {}}},
		"does not match":                       {Binds: map[int]Bind{0: {Certificates: []Pair{{pair.Certificate, other.Key}}}}},
		`TLS version "1.1" is not 1.2 or 1.3`:  {Binds: map[int]Bind{0: {Certificates: []Pair{pair}, MinVersion: "1.1"}}},
		"holds no certificate":                 {Binds: map[int]Bind{0: {Certificates: []Pair{pair}, ClientCA: []byte("x")}}},
		`client authentication "maybe" is not`: {Binds: map[int]Bind{0: {Certificates: []Pair{pair}, ClientAuth: "maybe"}}},
		"ticket key 0 has 3 bytes":             {Binds: map[int]Bind{0: good}, Tickets: [][]byte{[]byte("abc")}},
	} {
		if err := s.Replace(k); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if s.For(0, true) != before {
		t.Error("refused keys are in use")
	}
}
