package sockets

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prefork/cluster/configs"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if held, err := Locked(path); held || err != nil {
		t.Errorf("a lock that does not exist: %v, %v", held, err)
	}
	first, err := TakeLock(path, "the first")
	if err != nil {
		t.Fatal(err)
	}
	var taken *HeldError
	if _, err := TakeLock(path, "the second"); !errors.As(err, &taken) || taken.Holder != "the first" {
		t.Errorf("a second lock: %v", err)
	}
	if held, err := Locked(path); !held || err != nil {
		t.Errorf("a lock that is held: %v, %v", held, err)
	}
	first.Release()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}

	// What a killed process has left behind is no lock, and its name no longer the holder's.
	if err := os.WriteFile(path, []byte("a dead process with a long name\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if held, err := Locked(path); held || err != nil {
		t.Errorf("a lock of a dead process: %v, %v", held, err)
	}
	second, err := TakeLock(path, "the second")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Release()
	if _, err := TakeLock(path, "the third"); !errors.As(err, &taken) || taken.Holder != "the second" {
		t.Errorf("a third lock: %v", err)
	}

	if _, err := TakeLock(filepath.Join(path, "below", "lock"), "nobody"); err == nil {
		t.Error("a lock below a file was taken")
	}
}

// However many take and release it at once: only one has it.
func TestLockIsExclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var holders, taken atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				l, err := TakeLock(path, "somebody")
				if err != nil {
					continue
				}
				taken.Add(1)
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d have the lock", n)
				}
				holders.Add(-1)
				l.Release()
			}
		})
	}
	all.Wait()
	if taken.Load() == 0 {
		t.Error("nobody ever got the lock")
	}
}

func TestAddressLock(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"127.0.0.1:80", "[::1]:80", ":80", "[fe80::1%eth0]:80", "unix:///a/b", "unix:///a_b", "unix:///a%2Fb", "unix://@a", "unix:///" + strings.Repeat("%", 106)} {
		b, err := configs.ParseBind(text)
		if err != nil {
			t.Fatal(err)
		}
		l, err := takeLock(dir, b, "pid 1, control socket /run/x.sock")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Release()
		_, err = takeLock(dir, b, "pid 2")
		want := "cannot bind " + b.String() + ": address already in use: another cluster serves it (pid 1, control socket /run/x.sock)"
		if !errors.Is(err, ErrTaken) || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := takeLock(dir, configs.Bind{Scheme: "tls", Address: "127.0.0.1:80"}, ""); !errors.Is(err, ErrTaken) {
		t.Errorf("the same address with TLS: %v", err)
	}
	if _, err := takeLock(filepath.Join(dir, "missing"), configs.Bind{Scheme: "tcp", Address: ":80"}, ""); err == nil || !strings.Contains(err.Error(), "cannot lock tcp://:80") {
		t.Errorf("a folder that is missing: %v", err)
	}
}
