package control

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const nobody = 65534

// askAs asks over a connection that another user has made. Only this thread becomes that user, and it ends here.
func askAs(path string, uid int) (string, error) {
	type result struct {
		text string
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			done <- result{"", errno}
			return
		}
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		}
		if err != nil {
			done <- result{"", err}
			return
		}
		f := os.NewFile(uintptr(fd), "connection")
		defer f.Close()
		c, err := net.FileConn(f)
		if err != nil {
			done <- result{"", err}
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, err = io.WriteString(c, "GET /v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if err != nil {
			done <- result{"", err}
			return
		}
		text, err := io.ReadAll(c)
		done <- result{string(text), err}
	}()
	r := <-done
	return r.text, r.err
}

// Only the user of the master and root may use the socket, also when its mode lets others in.
func TestOtherUsersAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeCluster{}, nil, nil)
	if text, err := askAs(s.path, os.Geteuid()); err != nil || !strings.HasPrefix(text, "HTTP/1.1 200") {
		t.Errorf("the user of the master: %q, %v", text, err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user: run this test as root")
	}
	if err := os.Chmod(s.path, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.path[:strings.LastIndex(s.path, "/")], 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := askAs(s.path, nobody)
	want := fmt.Sprintf("user %d may not use this control socket: only the user of the master (0) and root may", nobody)
	if err != nil || !strings.HasPrefix(text, "HTTP/1.1 403") || !strings.Contains(text, want) {
		t.Errorf("another user: %q, %v, want %s", text, err, want)
	}
	if log := s.log.text(); !strings.Contains(log, "control connection refused") || !strings.Contains(log, fmt.Sprintf("uid=%d pid=%d", nobody, os.Getpid())) {
		t.Errorf("the log says %q", log)
	}
	// Root may when the master is another user's.
	other := serve(t, &fakeCluster{}, nil, func(a *API) { a.owner = nobody })
	if res, text := other.ask("GET", "/v1/version", ""); res.StatusCode != http.StatusOK {
		t.Errorf("root: %s %s", res.Status, text)
	}
}
