package sockets

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/configs"
)

// Lock is a locked file that says who has it. The kernel frees it when the process ends.
type Lock struct{ file *os.File }

// HeldError is a lock that another process has.
type HeldError struct{ Holder string }

func (e *HeldError) Error() string { return "locked by " + e.Holder }

// TakeLock makes the file if need be, locks it and writes the holder into it, or returns a *HeldError.
func TakeLock(path, holder string) (*Lock, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			said, _ := io.ReadAll(io.LimitReader(f, 4096))
			f.Close()
			if !errors.Is(err, unix.EWOULDBLOCK) {
				return nil, err
			}
			return nil, &HeldError{Holder: cmp.Or(strings.TrimSpace(string(said)), "which is only starting")}
		}
		// The one who had it before may have removed the file just now: then this lock keeps nobody out.
		mine, err := f.Stat()
		if err == nil {
			if there, statErr := os.Stat(path); statErr != nil || !os.SameFile(mine, there) {
				f.Close()
				continue
			}
			err = f.Truncate(0)
		}
		if err == nil {
			_, err = f.WriteAt([]byte(holder+"\n"), 0)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		return &Lock{f}, nil
	}
}

// Release removes the file and gives the lock free.
func (l *Lock) Release() {
	_ = os.Remove(l.file.Name())
	l.file.Close()
}

// Locked reports whether a process has the lock.
func Locked(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// takeLock takes the lock of an address, or says who has it.
func takeLock(dir string, b configs.Bind, holder string) (*Lock, error) {
	name := "tcp-" + strings.NewReplacer("[", "", "]", "").Replace(b.Address) // with or without TLS
	if b.Scheme == "unix" {
		name = "unix-" + url.PathEscape(b.Address)
		if len(name) > 200 { // with the ending, names have 255 bytes
			name = fmt.Sprintf("unix-%x", sha256.Sum256([]byte(b.Address)))
		}
	}
	lock, err := TakeLock(filepath.Join(dir, name+".lock"), holder)
	var held *HeldError
	switch {
	case errors.As(err, &held):
		return nil, fmt.Errorf("cannot bind %s: %w: another cluster serves it (%s)", b.Plain(), ErrTaken, held.Holder)
	case err != nil:
		return nil, fmt.Errorf("cannot lock %s: %w", b.Plain(), err)
	}
	return lock, nil
}

// probe binds without SO_REUSEPORT and closes again: that fails if anybody listens on the address, with or without the
// option, on it or on all interfaces.
func probe(b configs.Bind) error {
	address, err := net.ResolveTCPAddr("tcp", b.Address)
	if err != nil {
		return fmt.Errorf("cannot bind %s: %w", b.Plain(), err)
	}
	// As net.Listen does: no host is both families on one IPv6 socket.
	domain := unix.AF_INET6
	var sa unix.Sockaddr
	ip, _ := netip.AddrFromSlice(address.IP)
	if ip.Is4() || ip.Is4In6() {
		domain = unix.AF_INET
		sa = &unix.SockaddrInet4{Port: address.Port, Addr: ip.Unmap().As4()}
	} else {
		six := &unix.SockaddrInet6{Port: address.Port}
		if ip.IsValid() {
			six.Addr = ip.As16()
		}
		if address.Zone != "" {
			i, err := net.InterfaceByName(address.Zone)
			if err != nil {
				return fmt.Errorf("cannot bind %s: %w", b.Plain(), err)
			}
			six.ZoneId = uint32(i.Index)
		}
		sa = six
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM, 0) // nothing is forked before the cluster runs
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return nil // no IPv6 here: net.Listen will know what to do
	}
	if err != nil {
		return fmt.Errorf("cannot bind %s: %w", b.Plain(), err)
	}
	defer unix.Close(fd)
	// SO_REUSEADDR as every server sets it: connections in TIME_WAIT do not count.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fmt.Errorf("cannot bind %s: %w", b.Plain(), err)
	}
	if domain == unix.AF_INET6 && ip.IsValid() && !ip.IsUnspecified() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err := unix.Bind(fd, sa); err != nil {
		return bindError(b, err)
	}
	return nil
}
