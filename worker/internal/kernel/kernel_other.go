//go:build !linux

package kernel

import (
	"errors"
	"net"
)

// CPU is not known here, and nobody but a master asks.
func CPU() int64 { return 0 }

// DescriptorLimit is a guess: a worker here is one alone, for development.
func DescriptorLimit() int { return 1024 }

// Delivered is not known here: see the one for Linux.
func Delivered(net.Conn) (acked uint64, more, ok bool) { return 0, false, false }

// Peek is not needed here: there are no siblings.
func Peek(int, []byte) (int, error) { return 0, errors.ErrUnsupported }

// HungUp is not needed here.
func HungUp(int) bool { return false }

// SendFile is not needed here.
func SendFile(int, int, int64) (int64, error) { return 0, errors.ErrUnsupported }
