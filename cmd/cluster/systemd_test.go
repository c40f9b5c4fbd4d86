package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serviceManager is the end of NOTIFY_SOCKET that systemd has.
type serviceManager struct {
	t      *testing.T
	socket *net.UnixConn
}

func newServiceManager(t *testing.T, path string) *serviceManager {
	t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return &serviceManager{t, socket}
}

// await reads until a message begins so, and returns those before it and itself.
func (m *serviceManager) await(prefix string) (before []string, message string) {
	m.t.Helper()
	_ = m.socket.SetReadDeadline(time.Now().Add(startPatience))
	packet := make([]byte, 4096)
	for {
		n, err := m.socket.Read(packet)
		if err != nil {
			m.t.Fatalf("no %s: %v; there were %q", prefix, err, before)
		}
		if message = string(packet[:n]); strings.HasPrefix(message, prefix) {
			return before, message
		}
		before = append(before, message)
	}
}

// What a unit of Type=notify-reload hears, from the start to the end.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	m := newServiceManager(t, filepath.Join(dir, "notify"))
	c := &testCluster{t: t, Dir: dir, log: filepath.Join(dir, "log"), env: append(environment(dir), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "WATCHDOG_USEC=1500000")}
	c.launch([]string{"--workers", "2", "--settle", "50ms", "--drain-idle", "0s"})
	before, _ := m.await("READY=1")
	if s := c.Status(); s.State != "ready" {
		t.Errorf("the cluster is %s when the service manager is told that it is ready, after %q", s.State, before)
	}
	if environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", c.Status().Slots[0].PID)); err != nil || strings.Contains(string(environment), "NOTIFY_SOCKET") {
		t.Errorf("the worker knows the service manager, too: %v", err)
	}
	m.await("WATCHDOG=1")

	c.Signal(syscall.SIGHUP) // nothing has changed
	_, reloading := m.await("RELOADING=1")
	var monotonic int64
	if _, err := fmt.Sscanf(reloading, "RELOADING=1\nMONOTONIC_USEC=%d", &monotonic); err != nil || monotonic <= 0 {
		t.Errorf("%q: %v", reloading, err)
	}
	m.await("READY=1")

	c.Signal(syscall.SIGUSR2)
	m.await("RELOADING=1")
	before, _ = m.await("READY=1")
	if text := strings.Join(before, "\n"); !strings.Contains(text, "STATUS=restarting: 2 workers × ") || !strings.Contains(text, "EXTEND_TIMEOUT_USEC=15000000") {
		t.Errorf("during a restart it was told %q", before)
	}
	if g := c.Status().Slots[0].Generation; g != 2 {
		t.Errorf("told that the restart is over when slot 0 has generation %d", g)
	}

	c.Signal(syscall.SIGSTOP) // a watchdog would kill it now
	for {
		_ = m.socket.SetReadDeadline(time.Now().Add(1500 * time.Millisecond))
		if _, err := m.socket.Read(make([]byte, 4096)); err != nil {
			break
		}
	}
	c.Signal(syscall.SIGCONT)
	m.await("WATCHDOG=1")

	c.Signal(syscall.SIGTERM)
	m.await("STOPPING=1")
}

// The unit is one, and says what the master does.
func TestUnit(t *testing.T) {
	t.Parallel()
	program := needProgram(t, "systemd-analyze", "systemd")
	unit, err := os.ReadFile("../../configs/systemd/cluster.service")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(unit), "/usr/local/bin/cluster", testBinary(t))
	version, err := exec.Command(program, "--version").Output() // "systemd 252 (252.39-1~deb12u1)"
	var number int
	if _, scanned := fmt.Sscanf(string(version), "systemd %d", &number); err != nil || scanned != nil {
		t.Fatalf("%q: %v, %v", version, err, scanned)
	}
	if number < 253 {
		text = strings.ReplaceAll(text, "Type=notify-reload", "Type=notify") // which it does not know yet
	}
	path := filepath.Join(t.TempDir(), "cluster.service")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "verify", "--man=no", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
