package sockets

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prefork/cluster/configs"
)

// TakenError is an address that others listen on, and who they are as far as /proc tells this user.
type TakenError struct {
	Bind   configs.Bind
	Owners []Owner
}

// Owner is a process that listens on the address.
type Owner struct {
	PID    int
	Title  string // its command line, shortened
	Worker bool   // of a cluster, or a front
}

// Unwrap makes errors.Is(err, ErrTaken) true.
func (e *TakenError) Unwrap() error { return ErrTaken }

func (e *TakenError) Error() string {
	if len(e.Owners) == 0 {
		option := "-ltnp"
		if e.Bind.Scheme == "unix" {
			option = "-xlp"
		}
		return fmt.Sprintf("cannot bind %s: %v (by a process that this user may not see; try `ss %s` as root)", e.Bind.Plain(), ErrTaken, option)
	}
	who := make([]string, 0, len(e.Owners))
	for _, o := range e.Owners {
		who = append(who, fmt.Sprintf("pid %d %q", o.PID, o.Title))
	}
	return fmt.Sprintf("cannot bind %s: %v by %s", e.Bind.Plain(), ErrTaken, strings.Join(who, ", "))
}

// Orphans reports whether all owners are workers of a cluster whose master is dead: a living one would hold the listeners
// too. Orphans leave by themselves.
func (e *TakenError) Orphans() bool {
	return len(e.Owners) > 0 && !slices.ContainsFunc(e.Owners, func(o Owner) bool { return !o.Worker })
}

// Taken finds out who listens on an address.
func Taken(b configs.Bind) *TakenError {
	return &TakenError{Bind: b, Owners: owners(b)}
}

// owners finds who listens on an address, or on all addresses with its port: the inodes of the listening sockets from
// /proc/net, then the processes that have them open (proc(5)).
func owners(b configs.Bind) []Owner {
	inodes := map[string]bool{}
	if b.Scheme == "unix" {
		if data, err := os.ReadFile("/proc/net/unix"); err == nil {
			listeningUnix(data, b.Address, inodes)
		}
	} else if wanted, err := net.ResolveTCPAddr("tcp", b.Address); err == nil {
		for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
			if data, err := os.ReadFile(table); err == nil {
				listening(data, wanted, inodes)
			}
		}
	}
	if len(inodes) == 0 {
		return nil
	}
	var found []Owner
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || !holds(dir, inodes) {
			continue
		}
		if o, alive := describe(pid); alive {
			found = append(found, o)
		}
	}
	return found
}

// listening adds the inodes of the sockets in state LISTEN (0A) that are in the way of an address.
func listening(table []byte, wanted *net.TCPAddr, inodes map[string]bool) {
	suffix := fmt.Sprintf(":%04X", wanted.Port)
	everywhere := func(ip net.IP) bool { return len(ip) == 0 || ip.IsUnspecified() }
	lines := bufio.NewScanner(bytes.NewReader(table))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != "0A" || !strings.HasSuffix(f[1], suffix) {
			continue
		}
		ip := kernelIP(strings.TrimSuffix(f[1], suffix))
		if everywhere(wanted.IP) || everywhere(ip) || wanted.IP.Equal(ip) {
			inodes["socket:["+f[9]+"]"] = true
		}
	}
}

// listeningUnix adds the inodes of the sockets that are bound to a path or abstract name and listen. Accepted connections
// have the name of their listener too, but not its flag (__SO_ACCEPTCON).
func listeningUnix(table []byte, address string, inodes map[string]bool) {
	for line := range strings.Lines(string(table)) {
		// Num: RefCount Protocol Flags Type St Inode Path, and a path may have spaces.
		if f := strings.Fields(line); len(f) >= 8 && f[3] == "00010000" && strings.HasSuffix(strings.TrimSuffix(line, "\n"), " "+f[6]+" "+address) {
			inodes["socket:["+f[6]+"]"] = true
		}
	}
}

// kernelIP reads an address of /proc/net/tcp: words of four bytes, each in the order of the machine, which is little
// endian wherever a cluster runs. It is nil, as is that of all interfaces, for what cannot be read.
func kernelIP(text string) net.IP {
	ip, err := hex.DecodeString(text)
	if err != nil || len(ip)%4 != 0 {
		return nil
	}
	for word := range slices.Chunk(ip, 4) {
		slices.Reverse(word)
	}
	return ip
}

func holds(dir string, inodes map[string]bool) bool {
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if link, err := os.Readlink(filepath.Join(dir, "fd", fd.Name())); err == nil && inodes[link] {
			return true
		}
	}
	return false
}

const (
	// WorkerTitle is how the argv[0] of every worker begins, unless a script has become the worker's program.
	WorkerTitle = "cluster: worker "
	// FrontTitle is the argv[0] of a front.
	FrontTitle = "cluster: front"

	workerComm = "cluster-w" // how the name begins that the package worker gives its process
)

// describe tells what a process is, and whether it still is: one that has left since it was found holds nothing, and
// nobody could say any more that it was a worker.
func describe(pid int) (o Owner, alive bool) {
	o.PID = pid
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil {
		o.Title = string(bytes.TrimSpace(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		o.Title = o.Title[:min(len(o.Title), 80)]
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	o.Worker = strings.HasPrefix(o.Title, WorkerTitle) || strings.HasPrefix(o.Title, FrontTitle) || bytes.HasPrefix(comm, []byte(workerComm))
	return o, err == nil
}
