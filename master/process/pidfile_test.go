package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func own() string { return fmt.Sprintf("%d\n", os.Getpid()) }

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPidfile(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	for name, old := range map[string]string{
		"new": "", "empty": "", "shorter": "1\n", "longer": "4194303\n", "much longer": "     1\n\n\n\n\n\n", "without newline": "999999999",
		"of a living process that has not locked it": fmt.Sprintf("%d\n", os.Getppid()),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pid")
			if name != "new" {
				if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			p, err := WritePidfile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, path); got != own() {
				t.Errorf("it holds %q, want %q", got, own())
			}
			if st, err := os.Stat(path); err != nil || st.Mode() != 0o644 {
				t.Errorf("mode %v, %v", st.Mode(), err)
			}
			var held *HeldError
			if _, err := WritePidfile(path); !errors.As(err, &held) || held.Holder != fmt.Sprintf("pid %d", os.Getpid()) {
				t.Errorf("a second one: %v", err)
			}
			if got := read(t, path); got != own() {
				t.Errorf("after a second one was refused it holds %q", got)
			}
			p.Remove()
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("it is still there: %v", err)
			}
		})
	}
}

func TestPidfileRefuses(t *testing.T) {
	dir := t.TempDir()
	path := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link, fifo := filepath.Join(dir, "link"), filepath.Join(dir, "fifo")
	if err := errors.Join(os.Symlink(path("target", "1\n"), link), unix.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, want string }{
		{path("text", "precious\n"), "holds something else than a pid, and is left as it is"},
		{path("two", "12\n34\n"), "holds something else than a pid"},
		{path("negative", "-1\n"), "holds something else than a pid"},
		{path("long", strings.Repeat("1", 200)), "holds something else than a pid"},
		{path("hidden", strings.Repeat("\n", 100)+"precious"), "holds something else than a pid"},
		{link, "is a symbolic link"},
		{fifo, "is no ordinary file"},
		{dir, "is a directory"},
		{filepath.Join(dir, "missing", "pid"), "the directory " + filepath.Join(dir, "missing") + " does not exist: make it"},
		{filepath.Join(dir, "text", "pid"), "not a directory"},
	} {
		var before []byte
		if test.path != fifo { // nobody writes to it
			before, _ = os.ReadFile(test.path)
		}
		_, err := WritePidfile(test.path)
		if err == nil || !strings.HasPrefix(err.Error(), "pidfile "+test.path+" ") && !strings.HasPrefix(err.Error(), "pidfile "+test.path+": ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.path, err, test.want)
		}
		if test.path == fifo {
			continue
		}
		if after, _ := os.ReadFile(test.path); string(after) != string(before) {
			t.Errorf("%s was changed to %q", test.path, after)
		}
	}
	if got := read(t, link); got != "1\n" {
		t.Errorf("what the link leads to was changed to %q", got)
	}
}

// Somebody has put another file in its place: that is not ours to remove.
func TestPidfileOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	p, err := WritePidfile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte("7\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	p.Remove()
	if got := read(t, path); got != "7\n" {
		t.Errorf("it holds %q", got)
	}
}

// However many want it at once: one has it, and who reads meanwhile never finds two numbers.
func TestPidfileIsExclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(path, []byte("4194303\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var holders, taken atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				p, err := WritePidfile(path)
				var held *HeldError
				if errors.As(err, &held) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d have it", n)
				}
				taken.Add(1)
				if got := read(t, path); got != own() {
					t.Errorf("it holds %q", got)
				}
				holders.Add(-1)
				p.Remove()
			}
		})
	}
	all.Wait()
	if taken.Load() == 0 {
		t.Error("nobody has ever had it")
	}
}
