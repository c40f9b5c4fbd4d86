package keyring

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/internal/testcert"
)

// files puts a new certificate and its key into dir.
func files(t *testing.T, dir string, valid time.Duration) configs.Certificate {
	t.Helper()
	a, err := testcert.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := a.Issue(valid, "a.test")
	if err != nil {
		t.Fatal(err)
	}
	c := configs.Certificate{File: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	write(t, c.File, certificate)
	write(t, c.Key, key)
	return c
}

// write replaces a file by another one, as tools that renew certificates do.
func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func bindTo(c ...configs.Certificate) []configs.Bind {
	return []configs.Bind{{Scheme: "tcp", Address: ":80"}, {Scheme: "tls", Address: ":443", Certificates: c}}
}

func TestNoRingWithoutTLS(t *testing.T) {
	if New([]configs.Bind{{Scheme: "tcp", Address: ":80"}}, time.Now()) != nil {
		t.Error("a ring for binds without TLS")
	}
}

func TestLoadAndChange(t *testing.T) {
	dir := t.TempDir()
	pair := files(t, dir, 10*24*time.Hour)
	now := time.Now()
	r := New(bindTo(pair), now)
	k, err := r.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(k.Binds) != 1 || len(k.Binds[1].Certificates) != 1 || len(k.Tickets) != 1 || len(k.Tickets[0]) != 32 {
		t.Errorf("loaded %+v", k)
	}
	if left := Expiry(k).Sub(now); left < 9*24*time.Hour || left > 11*24*time.Hour {
		t.Errorf("it expires in %v", left)
	}
	if r.Changed() {
		t.Error("changed right after it was read")
	}
	files(t, dir, time.Hour)
	if !r.Changed() {
		t.Error("the change was not seen")
	}
	again, err := r.Load()
	if err != nil || bytes.Equal(again.Binds[1].Certificates[0].Key, k.Binds[1].Certificates[0].Key) {
		t.Errorf("the old key again, %v", err)
	}
	if r.Changed() {
		t.Error("changed right after it was read again")
	}
	os.Remove(pair.Key)
	if !r.Changed() {
		t.Error("that the key is gone was not seen")
	}
	if _, err := r.Load(); err == nil || !strings.Contains(err.Error(), pair.Key) {
		t.Errorf("without the key: %v", err)
	}
	if r.Changed() {
		t.Error("what is broken is read again without a change")
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	one, other := files(t, t.TempDir(), time.Hour), files(t, t.TempDir(), time.Hour)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, []byte("no certificate"))
	for name, test := range map[string]struct {
		bind  configs.Bind
		parts []string
	}{
		"another's key": {bindTo(configs.Certificate{File: one.File, Key: other.Key})[1], []string{"tls://:443", one.File, other.Key, "does not match"}},
		"missing":       {bindTo(configs.Certificate{File: "/nowhere/c.pem", Key: one.Key})[1], []string{"certificate: open /nowhere/c.pem"}},
		"swapped":       {bindTo(configs.Certificate{File: one.Key, Key: one.File})[1], []string{one.Key, one.File}},
		"bad authority": {configs.Bind{Scheme: "tls", Address: ":443", Certificates: []configs.Certificate{one}, ClientCA: ca}, []string{"holds no certificate"}},
	} {
		_, err := New([]configs.Bind{test.bind}, time.Now()).Load()
		for _, part := range test.parts {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %q in it", name, err, part)
			}
		}
	}
}

func TestRotate(t *testing.T) {
	now := time.Now()
	r := New(bindTo(files(t, t.TempDir(), time.Hour)), now)
	if r.Rotate(now.Add(ticketRotation - 1)) {
		t.Error("rotated too early")
	}
	first := r.tickets[0]
	for day := range 10 {
		now = now.Add(ticketRotation)
		if !r.Rotate(now) {
			t.Fatalf("not rotated on day %d", day)
		}
	}
	if len(r.tickets) != ticketKeys {
		t.Errorf("%d ticket keys are kept, want %d", len(r.tickets), ticketKeys)
	}
	seen := map[string]bool{string(first): true}
	for _, key := range r.tickets {
		if seen[string(key)] {
			t.Error("a key twice, or one that is too old")
		}
		seen[string(key)] = true
	}
}
