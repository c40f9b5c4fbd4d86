//go:build !linux

package control

import (
	"errors"
	"net"
)

// peerOf fails: see the one for Linux.
func peerOf(*net.UnixConn) peer {
	return peer{err: errors.New("SO_PEERCRED is known on Linux only, where a cluster runs")}
}
