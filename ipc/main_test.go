//go:build linux

package ipc

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// envChild makes the test binary a worker that prints what it inherited, see inherit_test.go.
const envChild = "IPC_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(envChild) != "" {
		beChild()
		return
	}
	// The Go poller opens descriptors of its own with its first socket; tests that count descriptors want them there.
	c, other, err := NewChannelPair()
	if err != nil {
		panic(err)
	}
	c.Close()
	other.Close()
	os.Exit(m.Run())
}

// openFDs is what this process has open: the target of each descriptor.
func openFDs(t *testing.T) map[int]string {
	t.Helper()
	dir, err := unix.Open("/proc/self/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	var names []string
	for buf := make([]byte, 1<<16); ; { // a signal cuts a read short
		n, err := unix.ReadDirent(dir, buf)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
	open := map[int]string{}
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && fd != dir {
			target, err := os.Readlink("/proc/self/fd/" + name)
			if err != nil {
				t.Fatal(err)
			}
			open[fd] = target
		}
	}
	return open
}

// watchFDs fails the test if, when the returned function is called, other descriptors are open than now.
func watchFDs(t *testing.T) (check func()) {
	t.Helper()
	before := openFDs(t)
	return func() {
		t.Helper()
		after := openFDs(t)
		for fd, target := range after {
			if _, ok := before[fd]; !ok {
				t.Errorf("descriptor %d (%s) was leaked", fd, target)
			}
		}
		for fd, target := range before {
			if now, ok := after[fd]; !ok || now != target {
				t.Errorf("descriptor %d (%s) was closed; now: %q", fd, target, now)
			}
		}
	}
}

// within runs f and fails the test if it has not returned after some seconds.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("still waiting: " + what)
	}
}

// isOpen says whether fd is a descriptor of this process.
func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

// sameFile says whether two descriptors are of the same file.
func sameFile(t *testing.T, a, b int) bool {
	t.Helper()
	var x, y unix.Stat_t
	if err := unix.Fstat(a, &x); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fstat(b, &y); err != nil {
		t.Fatal(err)
	}
	return x.Dev == y.Dev && x.Ino == y.Ino
}

// wantError checks that err names all the parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one about %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}
