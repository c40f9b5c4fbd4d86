package inbox

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
)

var (
	// ErrFull says that the inbox holds no more packets, or the kernel no more descriptors in flight.
	ErrFull = errors.New("the inbox is full")
	// ErrEmpty says that nothing lies in the inbox now.
	ErrEmpty = errors.New("the inbox is empty")
	// ErrNoDescriptor says that a connection cannot be received because this process may have no more descriptors.
	ErrNoDescriptor = errors.New("no descriptor is free for a connection")
)

// Box is both ends of an inbox, raw: a process that only keeps them for others must not be woken by each packet.
type Box struct {
	Read *ipc.FD // for the worker in the seat; for the master while nobody sits there
	Send *ipc.FD // for its siblings
}

// New makes an inbox. Both ends answer at once instead of waiting.
func New() (*Box, error) {
	pair, err := ipc.PacketPair()
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	return &Box{Read: pair[0], Send: pair[1]}, nil
}

// Close closes both ends.
func (b *Box) Close() {
	b.Read.Close()
	b.Send.Close()
}

// Send puts a packet into an inbox, with the descriptor of a connection unless that is negative, which stays the caller's. It never
// waits. The error is ErrFull, or that of a socket whose other end is gone.
func Send(inbox int, p *Packet, connection int) error {
	var b [Size]byte
	p.Encode(&b)
	var oob []byte
	if connection >= 0 {
		oob = unix.UnixRights(connection)
	}
	for {
		err := unix.Sendmsg(inbox, b[:], oob, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ETOOMANYREFS) || errors.Is(err, unix.ENOBUFS):
			return ErrFull
		default:
			return fmt.Errorf("inbox: %w", err)
		}
	}
}

// Receive takes the next packet, with its descriptor if and only if it is a Connection. The errors are ErrEmpty, io.EOF when nobody can send
// any more, ErrVersion for a packet that was thrown away, and ErrNoDescriptor. Near the process's limit of descriptors careful must be
// true: then a packet is looked at before it is taken, which costs a system call, but one for whose descriptor there is no room
// stays in the inbox; else the descriptor is lost.
func Receive(inbox int, careful bool) (Packet, *ipc.FD, error) {
	if !careful {
		return receive(inbox, 0)
	}
	seen, spare, err := receive(inbox, unix.MSG_PEEK)
	if err != nil && !errors.Is(err, ErrVersion) {
		return Packet{}, nil, err
	}
	p, connection, err := receive(inbox, 0)
	if spare == nil {
		return p, connection, err
	}
	// The look has made a descriptor of its own, perhaps the last one that could be had.
	if errors.Is(err, ErrNoDescriptor) && p == seen {
		return p, spare, nil
	}
	spare.Close()
	return p, connection, err
}

func receive(inbox, flags int) (Packet, *ipc.FD, error) {
	var b [Size + 1]byte // a longer packet is none of ours
	var control [32]byte
	oob := control[:unix.CmsgLen(4)] // not CmsgSpace: with padding there is room for two
	n, oobn, got, err := recvmsg(inbox, b[:], oob, flags)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return Packet{}, nil, ErrEmpty
	case err != nil:
		return Packet{}, nil, fmt.Errorf("inbox: %w", err)
	case n == 0:
		return Packet{}, nil, io.EOF
	}
	connection := ipc.ReceivedFD(oob[:oobn])
	p, err := Decode(b[:n])
	if connection != nil && (err != nil || p.Kind != Connection) {
		connection.Close()
		connection = nil
	}
	switch {
	case err != nil:
		return Packet{}, nil, err
	case p.Kind == Connection && connection == nil && got&unix.MSG_CTRUNC != 0:
		return p, nil, ErrNoDescriptor
	case p.Kind == Connection && connection == nil:
		return Packet{}, nil, fmt.Errorf("%w: a connection without its descriptor", ErrVersion)
	}
	return p, connection, nil
}

func recvmsg(fd int, b, oob []byte, flags int) (n, oobn, got int, err error) {
	for {
		n, oobn, got, _, err = unix.Recvmsg(fd, b, oob, flags|ipc.ReceiveFlags)
		if !errors.Is(err, unix.EINTR) {
			return n, oobn, got, err
		}
	}
}
