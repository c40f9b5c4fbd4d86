package handoff

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/worker/internal/kernel"
)

// Conn is a connection that was received. net.FileConn would make a net.TCPConn of its descriptor, for three times the system
// calls; this one behaves the same as far as engines and applications that take a connection over see it.
type Conn struct {
	file          *os.File
	raw           syscall.RawConn
	network       string
	local, remote net.Addr
}

// NewConn makes a connection of a descriptor and takes it over. A network of "unix" says that it is a unix socket.
func NewConn(fd *ipc.FD, network string, local, remote net.Addr) (*Conn, error) {
	own, err := fd.Release()
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), "connection") // it does not block: it was another worker's
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Conn{file: f, raw: raw, network: network, local: local, remote: remote}, nil
}

// Read is that of a net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.file.Read(p)
	return n, c.explain("read", err)
}

// Write is that of a net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.file.Write(p)
	return n, c.explain("write", err)
}

// Close ends the connection, also if the worker that has passed it on was stopped before it could close its descriptor: that one keeps the
// socket, so the client is told here.
func (c *Conn) Close() error {
	_ = c.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	return c.Leave()
}

// Leave closes the descriptor, after the connection was passed on.
func (c *Conn) Leave() error { return c.explain("close", c.file.Close()) }

// CloseWrite ends the sending direction.
func (c *Conn) CloseWrite() error {
	var err error
	if controlErr := c.raw.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) }); controlErr != nil {
		err = controlErr
	}
	return c.explain("close", err)
}

// ReadFrom lets the kernel copy files, as that of a net.TCPConn does.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	limited, ok := r.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: r, N: 1<<63 - 1}
	}
	if f, ok := limited.R.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return c.sendFile(f, limited)
		}
	}
	return io.Copy(struct{ io.Writer }{c}, r)
}

func (c *Conn) sendFile(f *os.File, limited *io.LimitedReader) (total int64, err error) {
	from, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed, waiting error
	err = from.Control(func(file uintptr) {
		waiting = c.raw.Write(func(socket uintptr) (done bool) {
			n := int64(1)
			for limited.N > 0 && n > 0 && failed == nil { // until the file ends, too
				n, failed = kernel.SendFile(int(socket), int(file), limited.N)
				total += n
				limited.N -= n
			}
			if errors.Is(failed, unix.EAGAIN) {
				failed = nil
				return false
			}
			return true
		})
	})
	return total, c.explain("sendfile", errors.Join(err, waiting, failed))
}

// LocalAddr is that of a net.Conn, as are the next four.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the client's.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both.
func (c *Conn) SetDeadline(t time.Time) error { return c.explain("set", c.file.SetDeadline(t)) }

// SetReadDeadline sets that of reads.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.explain("set", c.file.SetReadDeadline(t)) }

// SetWriteDeadline sets that of writes.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.explain("set", c.file.SetWriteDeadline(t))
}

// SyscallConn gives access to the descriptor.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// explain makes the error of a file one of a connection: net/http looks for a net.OpError to tell a client that left from one
// that sends nonsense.
func (c *Conn) explain(op string, err error) error {
	var path *os.PathError
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return err
	case errors.Is(err, os.ErrClosed):
		err = net.ErrClosed
	case errors.As(err, &path):
		err = path.Err
		if errno, ok := err.(syscall.Errno); ok {
			err = os.NewSyscallError(op, errno)
		}
	}
	return &net.OpError{Op: op, Net: c.network, Source: c.local, Addr: c.remote, Err: err}
}
