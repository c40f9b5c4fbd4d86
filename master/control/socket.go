package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/prefork/cluster/master/sockets"
)

// MaxSocketPath is the room in sockaddr_un.sun_path, less the terminating zero (unix(7)).
const MaxSocketPath = 107

// Listen opens the control socket, with mode 0600, and takes its lock. A stale one, that nobody listens on, is taken over; a
// living one is not: then the error is a sockets.ErrTaken.
func Listen(path string) (net.Listener, *sockets.Lock, error) {
	if len(path) > MaxSocketPath {
		return nil, nil, fmt.Errorf("control socket %s: the path has %d bytes, a unix socket allows %d: give a shorter one with --control", path, len(path), MaxSocketPath)
	}
	lock, err := sockets.TakeLock(LockPath(path), fmt.Sprintf("pid %d", os.Getpid()))
	var held *sockets.HeldError
	if errors.As(err, &held) {
		return nil, nil, fmt.Errorf("control socket %s: %w: a cluster runs there already (%s; `cluster status --control %s` shows it); give this one another --name", path, sockets.ErrTaken, held.Holder, path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	l, err := listenUnix(path)
	if err != nil {
		lock.Release()
		return nil, nil, err
	}
	return l, lock, nil
}

// listenUnix is called by the one who has the lock.
func listenUnix(path string) (net.Listener, error) {
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("control socket %s: %w: another program listens there; give another --control", path, sockets.ErrTaken)
	}
	if st, err := os.Lstat(path); err == nil {
		if st.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("control socket %s: a file that is no socket is in the way; move it or give another --control", path)
		}
		_ = os.Remove(path)
	}
	old := syscall.Umask(0o177) // the socket is born 0600
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	return l, nil
}

// LockPath is the lock of a control socket: the master has it from before its first bind until it ends.
func LockPath(path string) string { return path + ".lock" }

// PrivateDir makes a directory that only this user can enter, or checks that it is one: else another user could have put
// a socket there for us to talk to.
func PrivateDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("runtime directory: %w", err)
	}
	st, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("runtime directory: %w", err)
	}
	owner := st.Sys().(*syscall.Stat_t).Uid
	if !st.IsDir() || int(owner) != os.Getuid() || st.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("runtime directory %s is not a directory of mode 0700 that belongs to this user (uid %d): remove it, or set XDG_RUNTIME_DIR to another place", path, os.Getuid())
	}
	return nil
}

// RuntimeDir is where control sockets and locks are unless a path is given.
func RuntimeDir() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "cluster")
	}
	return fmt.Sprintf("/tmp/cluster-%d", os.Getuid())
}

// SocketPath is the control socket of a cluster by name.
func SocketPath(name string) string { return filepath.Join(RuntimeDir(), name+".sock") }
