//go:build !linux

package ipc

import "errors"

var errNoMemfd = errors.New("only Linux has memfd: a cluster runs on Linux, elsewhere a worker runs alone")

// NewMemfd fails: see the one for Linux.
func NewMemfd(string, []byte) (*FD, error) { return nil, errNoMemfd }

// ReadMemfd fails: see the one for Linux. It closes fd.
func ReadMemfd(fd *FD, _ int) ([]byte, error) {
	fd.Close()
	return nil, errNoMemfd
}
