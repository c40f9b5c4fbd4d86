package sockets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
)

// socketFile is the file of a unix listener that this master has made.
type socketFile struct {
	path string
	made fs.FileInfo
}

// remove removes the file unless another one has taken its place.
func (f socketFile) remove() {
	if there, err := os.Lstat(f.path); err == nil && os.SameFile(f.made, there) {
		_ = os.Remove(f.path)
	}
}

func abstract(b configs.Bind) bool { return strings.HasPrefix(b.Address, "@") }

// probeUnix makes room for the file of a socket: one that nobody listens on any more is removed. A file that is no socket
// is never touched.
func probeUnix(b configs.Bind) error {
	if abstract(b) {
		return nil // such a name is gone with its socket
	}
	there, err := os.Lstat(b.Address)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // nor may its folder be there: bind will say so
	case err != nil:
		return bindError(b, err)
	case there.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("cannot bind %s: there is a file of that name, and it is no socket: remove it or give another path", b.Plain())
	}
	switch err := knock(b.Address); {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.ECONNREFUSED):
		if err := os.Remove(b.Address); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot bind %s: nobody listens on the socket that is there, and it cannot be removed: %w", b.Plain(), err)
		}
		return nil
	case err == nil, errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EPROTOTYPE): // its queue is full; it is no stream socket
		return Taken(b)
	default:
		return fmt.Errorf("cannot bind %s: whether anybody listens there cannot be found out: %w", b.Plain(), err)
	}
}

// knock connects to a socket, without waiting.
func knock(path string) error {
	fd, err := streamSocket()
	if err != nil {
		return err
	}
	defer fd.Close()
	return unix.Connect(fd.Int(), &unix.SockaddrUnix{Name: path})
}

// streamSocket is a unix socket that does not block.
func streamSocket() (*ipc.FD, error) {
	n, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(n) // nothing is forked before the cluster runs
	fd := ipc.Own(n)
	if err := unix.SetNonblock(n, true); err != nil {
		fd.Close()
		return nil, err
	}
	return fd, nil
}

// listenUnix makes a unix listener and its file, with the permissions that it is to have. Until listen(2) the socket
// refuses whoever connects, so there is no moment in which it is too open: no need to make it under another name and to
// rename it, after which /proc/net/unix, ss and the peers' getpeername(2) would show the other name for ever.
func listenUnix(b configs.Bind, backlog int) (*ipc.FD, socketFile, error) {
	fail := func(err error) (*ipc.FD, socketFile, error) { return nil, socketFile{}, bindError(b, err) }
	uid, gid, err := ownerOf(b.Owner)
	if err != nil {
		return fail(err)
	}
	fd, err := streamSocket()
	if err != nil {
		return fail(err)
	}
	if err := unix.Bind(fd.Int(), &unix.SockaddrUnix{Name: b.Address}); err != nil {
		fd.Close()
		return fail(err)
	}
	var file socketFile
	if !abstract(b) {
		file.path = b.Address
		file.made, err = os.Lstat(b.Address)
		if err == nil {
			err = admit(b, uid, gid)
		}
	}
	if backlog == 0 {
		backlog = mostWaiting
	}
	if err == nil {
		err = unix.Listen(fd.Int(), backlog)
	}
	if err != nil {
		fd.Close()
		if file.made != nil {
			file.remove()
		}
		return fail(err)
	}
	return fd, file, nil
}

// mostWaiting is more than the kernel grants: it takes net.core.somaxconn then.
const mostWaiting = 1<<31 - 1

// admit gives the file of a socket to its owner and says who may connect.
func admit(b configs.Bind, uid, gid int) error {
	if b.Owner != "" {
		if err := os.Lchown(b.Address, uid, gid); err != nil {
			return fmt.Errorf("owner %q: %w", b.Owner, err)
		}
	}
	if b.Mode == "" {
		return nil
	}
	mode, err := strconv.ParseUint(b.Mode, 8, 32)
	if err != nil {
		return fmt.Errorf("mode: %w", err)
	}
	return os.Chmod(b.Address, fs.FileMode(mode))
}

// ownerOf finds the numbers of USER, USER:GROUP or :GROUP; -1 for what is to stay. A number need not be anybody's.
func ownerOf(owner string) (uid, gid int, err error) {
	name, group, _ := strings.Cut(owner, ":")
	if uid, err = numberOf(name, func() (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	}); err != nil {
		return 0, 0, fmt.Errorf("owner %q: %w", owner, err)
	}
	if gid, err = numberOf(group, func() (string, error) {
		g, err := user.LookupGroup(group)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	}); err != nil {
		return 0, 0, fmt.Errorf("owner %q: %w", owner, err)
	}
	return uid, gid, nil
}

func numberOf(name string, lookup func() (string, error)) (int, error) {
	if name == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return int(n), nil
	}
	id, err := lookup()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(id)
}
