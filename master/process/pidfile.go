package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Pidfile names the process of the master for others: its pid in digits and a newline, mode 0644. It is locked while the
// master lives, so whoever finds one can tell a living master from what a dead one has left, whoever has its pid now.
type Pidfile struct{ file *os.File }

// HeldError is a pidfile that another living master has locked.
type HeldError struct{ Path, Holder string }

func (e *HeldError) Error() string {
	return fmt.Sprintf("pidfile %s belongs to another cluster that runs (%s): stop that one, or give another --pidfile", e.Path, e.Holder)
}

// WritePidfile writes the pid of this process. A file that nobody has locked is stale and replaced, whatever pid it names;
// one that another process has locked is a *HeldError; one that holds more than a number is no pidfile and stays as it is.
//
// The file is written in place and not renamed into place, because a lock belongs to the inode: with two names for two
// inodes, two masters could each have the lock of a file. So that nobody reads half of two numbers or, but for the first
// moment of a new file, none at all, the pid goes over the old one in a single write that blanks the rest of it.
func WritePidfile(path string) (*Pidfile, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)
		if err != nil {
			return nil, explainOpen(path, err)
		}
		p, again, err := claim(path, f)
		if p == nil {
			f.Close()
		}
		if !again {
			return p, err
		}
	}
}

func explainOpen(path string, err error) error {
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err // the path is said already
	}
	folder := filepath.Dir(path)
	_, missing := os.Stat(folder)
	switch {
	case errors.Is(missing, fs.ErrNotExist):
		return fmt.Errorf("pidfile %s: the directory %s does not exist: make it, or give another --pidfile", path, folder)
	case errors.Is(err, unix.ELOOP):
		return fmt.Errorf("pidfile %s is a symbolic link, which could make the master write anywhere: give the path that it leads to", path)
	case errors.Is(err, unix.EISDIR):
		return fmt.Errorf("pidfile %s is a directory: give the path of a file in it", path)
	}
	return fmt.Errorf("pidfile %s: %w: give another --pidfile", path, err)
}

// claim locks the open file and writes to it. again says that it was removed meanwhile, and that another is to be opened.
func claim(path string, f *os.File) (p *Pidfile, again bool, err error) {
	mine, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	if !mine.Mode().IsRegular() {
		return nil, false, fmt.Errorf("pidfile %s is no ordinary file: give another --pidfile", path)
	}
	lockErr := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	old, err := io.ReadAll(io.LimitReader(f, maxPidfile+1))
	switch {
	case errors.Is(lockErr, unix.EWOULDBLOCK):
		return nil, false, &HeldError{path, holder(old)}
	case lockErr != nil:
		return nil, false, fmt.Errorf("pidfile %s cannot be locked: %w: give another --pidfile", path, lockErr)
	case err != nil:
		return nil, false, fmt.Errorf("pidfile %s: %w", path, err)
	case !isPid(old):
		return nil, false, fmt.Errorf("pidfile %s holds something else than a pid, and is left as it is: move it away, or give another --pidfile", path)
	}
	// The one who had it before may have removed it just now: then this lock keeps nobody out.
	if there, err := os.Lstat(path); err != nil || !os.SameFile(mine, there) {
		return nil, true, nil
	}
	text := append(strconv.AppendInt(nil, int64(os.Getpid()), 10), '\n')
	over := append(bytes.Clone(text), bytes.Repeat([]byte("\n"), max(0, len(old)-len(text)))...)
	if _, err = f.WriteAt(over, 0); err == nil {
		err = f.Truncate(int64(len(text)))
	}
	if err == nil {
		err = f.Chmod(0o644) // whatever the umask is, and whoever has made it
	}
	if err != nil {
		return nil, false, fmt.Errorf("pidfile cannot be written: %w", err)
	}
	return &Pidfile{f}, false, nil
}

const maxPidfile = 64 // bytes: a pid and some white space

// isPid reports whether a file holds a number, or nothing: what a master that died at once has left.
func isPid(text []byte) bool {
	digits := bytes.TrimSpace(text)
	_, err := strconv.ParseUint(string(digits), 10, 32)
	return len(text) <= maxPidfile && (err == nil || len(digits) == 0)
}

func holder(text []byte) string {
	if pid := bytes.TrimSpace(text); len(pid) > 0 && isPid(pid) {
		return "pid " + string(pid)
	}
	return "which is only starting"
}

// Remove removes the file, unless somebody has put another in its place, and frees the lock.
func (p *Pidfile) Remove() {
	mine, err := p.file.Stat()
	if there, statErr := os.Lstat(p.file.Name()); err == nil && statErr == nil && os.SameFile(mine, there) {
		_ = os.Remove(p.file.Name())
	}
	p.file.Close()
}
