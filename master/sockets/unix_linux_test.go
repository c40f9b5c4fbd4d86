package sockets

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
)

// shortDir is a folder for sockets: those of t.TempDir have paths that are too long.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// stat is what is at a path, not following a link.
func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	there, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// raw makes a unix socket of a type, bound to a path.
func raw(t *testing.T, kind int, path string) *ipc.FD {
	t.Helper()
	n, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := ipc.Own(n)
	t.Cleanup(func() { fd.Close() })
	if err := unix.Bind(n, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestUnix(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "sock")
	for _, bind := range []string{"unix://" + path, "unix://@" + path} {
		s := open(t, dir, bind, "127.0.0.1:0")
		if err := s.OpenSlot(2); err != nil {
			t.Fatal(err)
		}
		fd := s.Slot(0)[0]
		if !s.Shared(0) || s.Shared(1) || s.Slot(2)[0] != fd || s.Slot(2)[1] == s.Slot(0)[1] {
			t.Errorf("%s is not shared by the slots, or the other bind is", bind)
		}
		if flags(t, fd, unix.F_GETFL)&unix.O_NONBLOCK == 0 || flags(t, fd, unix.F_GETFD)&unix.FD_CLOEXEC == 0 || polled(t, fd.Int()) {
			t.Errorf("%s: blocking, leaking into children, or in the poller", bind)
		}
		address := strings.TrimPrefix(bind, "unix://")
		if name, err := unix.Getsockname(fd.Int()); err != nil || name.(*unix.SockaddrUnix).Name != address || s.Binds()[0].String() != bind {
			t.Errorf("%s is bound to %+v, %v, and called %v", bind, name, err, s.Binds()[0])
		}
		connect(t, "unix", address, 1)
		if _, err := try(t, Options{Dir: dir}, bind); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "another cluster serves it (the test)") {
			t.Errorf("with the same locks: %v", err)
		}
		var taken *TakenError
		if _, err := try(t, Options{Dir: t.TempDir()}, bind); !errors.As(err, &taken) || len(taken.Owners) != 1 || taken.Owners[0].PID != os.Getpid() || taken.Orphans() {
			t.Errorf("with other locks: %v", err)
		}
		connect(t, "unix", address, 1) // a second cluster has done no harm
		s.Close()
		if _, err := net.Dial("unix", address); err == nil {
			t.Errorf("%s is served after Close", bind)
		}
		s.Unlock()
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s leaves %v", bind, left)
		}
	}
}

func TestUnixModeAndOwner(t *testing.T) {
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 12345, 23456 // nobody's
	}
	probe := filepath.Join(shortDir(t), "file")
	f, err := os.OpenFile(probe, os.O_CREATE, 0o777)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	usual := stat(t, probe).Mode().Perm()
	for _, test := range []struct {
		query    string
		mode     fs.FileMode
		uid, gid int
	}{
		{"", usual, os.Getuid(), os.Getgid()},
		{"?mode=0777", 0o777, os.Getuid(), os.Getgid()},
		{"?mode=0600", 0o600, os.Getuid(), os.Getgid()},
		{fmt.Sprintf("?mode=0660&owner=%d:%d", uid, gid), 0o660, uid, gid},
		{fmt.Sprintf("?owner=%d", uid), usual, uid, os.Getgid()},
		{fmt.Sprintf("?owner=:%d", gid), usual, os.Getuid(), gid},
	} {
		path := filepath.Join(shortDir(t), "sock")
		open(t, t.TempDir(), "unix://"+path+test.query)
		there := stat(t, path)
		owner := there.Sys().(*syscall.Stat_t)
		if there.Mode() != fs.ModeSocket|test.mode || int(owner.Uid) != test.uid || int(owner.Gid) != test.gid {
			t.Errorf("%q: %v of %d:%d, want %v of %d:%d", test.query, there.Mode(), owner.Uid, owner.Gid, test.mode, test.uid, test.gid)
		}
	}

	for query, want := range map[string]string{
		"?owner=nobody-has-this-name":  `owner "nobody-has-this-name": user: unknown user nobody-has-this-name`,
		"?owner=:nobody-has-this-name": `owner ":nobody-has-this-name": group: unknown group nobody-has-this-name`,
	} {
		path := filepath.Join(shortDir(t), "sock")
		if _, err := try(t, Options{Dir: t.TempDir()}, "unix://"+path+query); err == nil || !strings.Contains(err.Error(), "cannot bind unix://"+path+": "+want) {
			t.Errorf("%s: %v, want %s", query, err, want)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the file is there: %v", query, err)
		}
	}
}

func TestOwnerNames(t *testing.T) {
	for owner, want := range map[string][2]int{"": {-1, -1}, "root": {0, -1}, "root:root": {0, 0}, ":root": {-1, 0}, "7:8": {7, 8}} {
		if uid, gid, err := ownerOf(owner); err != nil || uid != want[0] || gid != want[1] {
			t.Errorf("%q: %d:%d, %v, want %v", owner, uid, gid, err, want)
		}
	}
}

// The file that a dead server has left is replaced, and is this one's from then on.
func TestStaleSocket(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "sock")
	raw(t, unix.SOCK_STREAM, path).Close()
	s := open(t, dir, "unix://"+path)
	connect(t, "unix", path, 1)
	s.Close()
	s.Unlock()
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

// Whatever somebody uses, or is no socket, stays as it is.
func TestUnixPathTaken(t *testing.T) {
	for name, test := range map[string]struct {
		make  func(path string)
		taken bool
		want  string
	}{
		"listener": {func(path string) {
			if err := unix.Listen(raw(t, unix.SOCK_STREAM, path).Int(), 5); err != nil {
				t.Fatal(err)
			}
		}, true, fmt.Sprintf("address already in use by pid %d ", os.Getpid())},
		"listener whose queue is full": {func(path string) {
			if err := unix.Listen(raw(t, unix.SOCK_STREAM, path).Int(), 0); err != nil {
				t.Fatal(err)
			}
			connect(t, "unix", path, 1)
			if err := knock(path); !errors.Is(err, unix.EAGAIN) {
				t.Fatalf("the queue is not full: %v", err)
			}
		}, true, fmt.Sprintf("address already in use by pid %d ", os.Getpid())},
		"datagram socket": {func(path string) { raw(t, unix.SOCK_DGRAM, path) }, true, "address already in use (by a process that this user may not see; try `ss -xlp` as root)"},
		"file": {func(path string) {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, false, "there is a file of that name, and it is no socket: remove it or give another path"},
		"folder": {func(path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, false, "it is no socket"},
		"link to a stale socket": {func(path string) {
			raw(t, unix.SOCK_STREAM, path+".real").Close()
			if err := os.Symlink(path+".real", path); err != nil {
				t.Fatal(err)
			}
		}, false, "it is no socket"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(shortDir(t), "sock")
			test.make(path)
			before := stat(t, path)
			locks := t.TempDir()
			_, err := try(t, Options{Dir: locks}, "unix://"+path)
			if err == nil || errors.Is(err, ErrTaken) != test.taken || !strings.HasPrefix(err.Error(), "cannot bind unix://"+path+": "+test.want) && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
			if after := stat(t, path); !os.SameFile(before, after) || after.Mode() != before.Mode() {
				t.Errorf("it was %v and is %v, or another file", before.Mode(), after.Mode())
			}
			if left, _ := os.ReadDir(locks); len(left) != 0 {
				t.Errorf("locks %v are left", left)
			}
		})
	}
}

func TestUnixFolderMissing(t *testing.T) {
	path := filepath.Join(shortDir(t), "missing", "sock")
	_, err := try(t, Options{Dir: t.TempDir()}, "unix://"+path)
	if want := "cannot bind unix://" + path + ": no such file or directory: its folder does not exist"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// A file that another server has put in the place of this one's is not this one's to remove.
func TestUnixFileReplaced(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "sock")
	s := open(t, dir, "unix://"+path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	raw(t, unix.SOCK_STREAM, path)
	other := stat(t, path)
	s.Close()
	s.Unlock()
	if there := stat(t, path); !os.SameFile(there, other) {
		t.Error("the other server's file is gone")
	}
}

// A start that fails takes its socket back, so that it can be tried again.
func TestUnixTakenBack(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "sock")
	if _, err := try(t, Options{Dir: dir}, "unix://"+path, "192.0.2.1:80"); err == nil {
		t.Fatal("an address of no interface was bound")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
	open(t, dir, "unix://"+path)
}

// Workers of a dead master still listen: the start is told so, waits for them (package master), and replaces the file.
func TestUnixOrphans(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "sock")
	dead := open(t, dir, "unix://"+path)
	var in [2]int
	if err := unix.Pipe2(in[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(in[0])
	pid, err := syscall.ForkExec("/bin/sh", []string{WorkerTitle + "0 gen 1", "-c", "read x"}, &syscall.ProcAttr{
		Files: []uintptr{uintptr(in[0]), 1, 2, uintptr(dead.Slot(0)[0].Int())},
	})
	if err != nil {
		t.Fatal(err)
	}
	dead.files = nil // a killed master removes nothing
	dead.Close()
	dead.Unlock()

	before := stat(t, path)
	var taken *TakenError
	if _, err := try(t, Options{Dir: dir}, "unix://"+path); !errors.As(err, &taken) || !taken.Orphans() || taken.Owners[0].PID != pid {
		t.Errorf("%v, want the orphan %d", err, pid)
	}
	if !os.SameFile(stat(t, path), before) {
		t.Error("the orphan's file was replaced")
	}
	unix.Close(in[1])
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	open(t, dir, "unix://"+path)
	connect(t, "unix", path, 1)
}

func TestListeningUnix(t *testing.T) {
	const table = `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 101 /run/app.sock
0000000000000000: 00000003 00000000 00000000 0001 03 102 /run/app.sock
0000000000000000: 00000002 00000000 00000000 0002 01 103 /run/log
0000000000000000: 00000002 00000000 00010000 0001 01   104 @app
0000000000000000: 00000002 00000000 00010000 0001 01 105 /run/a b
0000000000000000: 00000002 00000000 00010000 0001 01 106 /srv/run/app.sock
0000000000000000: 00000003 00000000 00000000 0001 03 107
garbage
`
	for address, want := range map[string]string{
		"/run/app.sock": "101", "/run/log": "", "@app": "104", "/run/a b": "105", "b": "", "/run/none": "", "": "",
	} {
		inodes := map[string]bool{}
		listeningUnix([]byte(table), address, inodes)
		wanted := map[string]bool{}
		if want != "" {
			wanted["socket:["+want+"]"] = true
		}
		if fmt.Sprint(inodes) != fmt.Sprint(wanted) {
			t.Errorf("%q: %v, want %v", address, inodes, wanted)
		}
	}
	if found := owners(configs.Bind{Scheme: "unix", Address: "/nobody/listens/here"}); found != nil {
		t.Errorf("owners of a path that is free: %v", found)
	}
}
