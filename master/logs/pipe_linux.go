package logs

import "golang.org/x/sys/unix"

// resize gives a pipe room for so many bytes.
func resize(pipe, size int) error {
	_, err := unix.FcntlInt(uintptr(pipe), unix.F_SETPIPE_SZ, size)
	return err
}
