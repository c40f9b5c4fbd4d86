package target

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/prefork/cluster/bench/proc"
)

// ErrTaken is in the error of Start if another process listens on the address.
var ErrTaken = errors.New("taken")

// free is nil if a server may have the address. The probe asks without SO_REUSEPORT, so that it is refused even by
// listeners that would share.
func free(addr string) error {
	probe := net.ListenConfig{}
	probe.SetMultipathTCP(false)
	l, err := probe.Listen(context.Background(), "tcp", addr)
	switch {
	case err == nil:
		return l.Close()
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is %w by %s: free it or give another", addr, ErrTaken, holder(addr))
	}
	return fmt.Errorf("cannot listen on %s: %w", addr, err)
}

const loopback = "127.0.0.1"

// pick finds a port of the loopback that is free. It looks below those that the kernel gives to outgoing connections, so that
// none of the load's own takes it before the target does.
func pick() (port int, err error) {
	const below, tries = 12000, 100
	first := firstOutgoing()
	for range tries {
		port = first - 1 - rand.IntN(min(below, first-1024))
		if err = free(address(loopback, port)); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port was found, the last of %d tries: %w", tries, err)
}

// firstOutgoing is the least port that outgoing connections get (ip(7), ip_local_port_range), if there is room below it.
func firstOutgoing() int {
	const usual, least = 32768, 4096
	text, _ := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if f := strings.Fields(string(text)); len(f) == 2 {
		if first, err := strconv.Atoi(f[0]); err == nil && first >= least {
			return first
		}
	}
	return usual
}

func address(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// listening finds the sockets of this network namespace that listen on a port, of whatever address. They are named as
// links in /proc/PID/fd name them.
func listening(port int) []string {
	var found []string
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		if text, err := os.ReadFile(name); err == nil {
			found = append(found, listeners(string(text), port)...)
		}
	}
	return found
}

// listeners reads the table of proc_net_tcp(5): number, local address, remote address, state, …, inode as the tenth.
func listeners(table string, port int) []string {
	const listen = "0A" // TCP_LISTEN
	suffix := fmt.Sprintf(":%04X", port)
	var found []string
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) >= 10 && f[3] == listen && strings.HasSuffix(f[1], suffix) {
			found = append(found, "socket:["+f[9]+"]")
		}
	}
	return found
}

// holder says who listens on the port of an address, as far as this user may know.
func holder(addr string) string {
	_, text, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(text)
	sockets := listening(port)
	if len(sockets) == 0 {
		return "a connection, or a socket that does not listen"
	}
	all, _ := proc.Processes()
	var who []string
	for _, p := range all {
		if holds(p.PID, sockets) {
			who = append(who, title(p.PID))
		}
	}
	if len(who) == 0 {
		return fmt.Sprintf("a process that this user may not see (as root: ss -ltnp 'sport = :%d')", port)
	}
	return strings.Join(who, ", ")
}

func holds(pid int, sockets []string) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		link, err := os.Readlink(filepath.Join(dir, f.Name()))
		for _, socket := range sockets {
			if err == nil && link == socket {
				return true
			}
		}
	}
	return false
}

// title is a process as a person knows it.
func title(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	line := strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))
	return fmt.Sprintf("pid %d (%s)", pid, line[:min(len(line), 80)])
}
