package ipc

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// NewMemfd returns a sealed memfd that holds data: what is too large for a control message travels in one.
func NewMemfd(name string, data []byte) (*FD, error) {
	n, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd %s: %w", name, err)
	}
	fd := Own(n)
	for len(data) > 0 {
		w, err := unix.Write(n, data)
		if err != nil {
			fd.Close()
			return nil, fmt.Errorf("memfd %s: %w", name, err)
		}
		data = data[w:]
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(n), unix.F_ADD_SEALS, seals); err != nil {
		fd.Close()
		return nil, fmt.Errorf("memfd %s: %w", name, err)
	}
	return fd, nil
}

// ReadMemfd returns what a received memfd holds, at most limit bytes, and closes it.
func ReadMemfd(fd *FD, limit int) ([]byte, error) {
	defer fd.Close()
	seals, err := unix.FcntlInt(uintptr(fd.Int()), unix.F_GET_SEALS, 0)
	if err != nil || seals&(unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK) != unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK {
		return nil, fmt.Errorf("the descriptor that was sent is no sealed memfd")
	}
	data := make([]byte, 0, 64<<10)
	for len(data) <= limit { // one byte more than allowed shows that there is more
		chunk := make([]byte, min(64<<10, limit-len(data)+1))
		n, err := unix.Pread(fd.Int(), chunk, int64(len(data)))
		if err != nil {
			return nil, fmt.Errorf("read memfd: %w", err)
		}
		if n == 0 {
			return data, nil
		}
		data = append(data, chunk[:n]...)
	}
	return data[:limit], fmt.Errorf("cut off at %d bytes: %w", limit, io.ErrShortBuffer)
}
