package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prefork/cluster/master/sockets"
)

// socketDir is short enough for a unix socket, which those of t.TempDir are not.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestListen(t *testing.T) {
	path := filepath.Join(socketDir(t), "c.sock")
	l, lock, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the control socket is %v, %v, want a socket of mode 0600", st.Mode(), err)
	}
	if held, err := sockets.Locked(LockPath(path)); !held || err != nil {
		t.Errorf("its lock is held: %v, %v", held, err)
	}

	// A second one is refused, and harms nothing.
	_, _, err = Listen(path)
	want := fmt.Sprintf("control socket %s: address already in use: a cluster runs there already (pid %d; `cluster status --control %s` shows it); give this one another --name", path, os.Getpid(), path)
	if !errors.Is(err, sockets.ErrTaken) || err.Error() != want {
		t.Errorf("a second one: %v, want %s", err, want)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()

	// One that a dead master has left is taken over.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	lock.Release()
	if l, lock, err = Listen(path); err != nil {
		t.Fatalf("a stale one: %v", err)
	}
	l.Close()
	lock.Release()
	if left, _ := filepath.Glob(path + "*"); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
}

func TestListenRefuses(t *testing.T) {
	dir := socketDir(t)
	foreign := filepath.Join(dir, "foreign.sock")
	l, err := net.Listen("unix", foreign)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	longest := filepath.Join(dir, strings.Repeat("x", MaxSocketPath-len(dir)-1))
	for _, test := range []struct {
		path  string
		taken bool
		want  string
	}{
		{foreign, true, "another program listens there; give another --control"},
		{file, false, "a file that is no socket is in the way"},
		{dir, false, "a file that is no socket is in the way"},
		{filepath.Join(dir, "missing", "c.sock"), false, "no such file or directory"},
		{longest + "x", false, "the path has 108 bytes, a unix socket allows 107: give a shorter one with --control"},
	} {
		_, _, err := Listen(test.path)
		if err == nil || errors.Is(err, sockets.ErrTaken) != test.taken || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "control socket "+test.path+": ") {
			t.Errorf("%s: %v, want %s", test.path, err, test.want)
		}
		if held, _ := sockets.Locked(LockPath(test.path)); held {
			t.Errorf("%s: its lock was kept", test.path)
		}
	}
	if text, err := os.ReadFile(file); string(text) != "precious" {
		t.Errorf("the file has %q, %v", text, err)
	}
	l, lock, err := Listen(longest)
	if err != nil {
		t.Fatalf("a path of %d bytes: %v", len(longest), err)
	}
	l.Close()
	lock.Release()
}

func TestPrivateDir(t *testing.T) {
	dir := t.TempDir()
	mode := func(name string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(mode("target", 0o700), link)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path string
		want string // empty: it is one
	}{
		{filepath.Join(dir, "new", "below"), ""},
		{mode("private", 0o700), ""},
		{mode("readable", 0o755), "is not a directory of mode 0700 that belongs to this user"},
		{mode("group", 0o770), "is not a directory of mode 0700"},
		{link, "is not a directory of mode 0700"}, // somebody else may turn it elsewhere
		{file, "runtime directory: mkdir"},
	} {
		err := PrivateDir(test.path)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.path, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want %s", test.path, err, test.want)
		}
	}
	if st, err := os.Stat(filepath.Join(dir, "new", "below")); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("a new one: %v, %v", st, err)
	}
}

func TestRuntimeDir(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1000")
	if got := SocketPath("blog"); got != "/run/user/1000/cluster/blog.sock" {
		t.Error(got)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	if got, want := SocketPath("blog"), fmt.Sprintf("/tmp/cluster-%d/blog.sock", os.Getuid()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
