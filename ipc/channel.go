package ipc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// MaxPacket is the largest control message, in bytes. Larger things travel in a memfd that goes with the message.
const MaxPacket = 32 << 10

// ErrFull says that the other side has not read its messages for so long that the socket holds no more.
var ErrFull = errors.New("the control channel is full")

// A MalformedError is a packet that was received and cannot be understood; the channel goes on working.
type MalformedError struct{ Why string }

func (e *MalformedError) Error() string { return "malformed control packet: " + e.Why }

// Channel is one end of a control channel: a SOCK_SEQPACKET socket pair with one JSON message a packet.
// Send may be called by any goroutine, Receive by one.
type Channel struct {
	file *os.File
	raw  syscall.RawConn
	buf  []byte
	oob  []byte
}

// PacketPair makes a pair of connected sockets that keep packets apart (SOCK_SEQPACKET), raw, close-on-exec, and answering at
// once instead of waiting.
func PacketPair() ([2]*FD, error) {
	p, err := socketPair()
	if err != nil {
		return [2]*FD{}, err
	}
	return [2]*FD{Own(p[0]), Own(p[1])}, nil
}

// NewChannelPair makes a control channel: the end for this process, and the other one to be inherited by a worker.
func NewChannelPair() (*Channel, *FD, error) {
	p, err := PacketPair()
	if err != nil {
		return nil, nil, fmt.Errorf("control channel: %w", err)
	}
	c, err := OpenChannel(p[0])
	if err != nil {
		p[1].Close()
		return nil, nil, err
	}
	return c, p[1], nil
}

// OpenChannel makes a Channel of a descriptor and takes it over.
func OpenChannel(fd *FD) (*Channel, error) {
	n := int(fd.n.Swap(0)) - 1
	if err := unix.SetNonblock(n, true); err != nil {
		return nil, fmt.Errorf("control channel: descriptor %d: %w", n, err)
	}
	f := os.NewFile(uintptr(n), "control")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("control channel: %w", err)
	}
	return &Channel{
		file: f, raw: raw, buf: make([]byte, MaxPacket),
		oob: make([]byte, unix.CmsgLen(4)), // not CmsgSpace: with padding there is room for two
	}, nil
}

// Send sends one message, with a descriptor unless fd is negative. It never waits: ErrFull means try again later.
// The descriptor stays the caller's.
func (c *Channel) Send(m Message, fd int) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("control message %s: %w", m.Type, err)
	}
	if len(data) > MaxPacket {
		return fmt.Errorf("control message %s has %d bytes, more than the %d allowed", m.Type, len(data), MaxPacket)
	}
	var oob []byte
	if fd >= 0 {
		oob = unix.UnixRights(fd)
	}
	var sendErr error
	err = c.raw.Write(func(s uintptr) bool {
		for {
			sendErr = unix.Sendmsg(int(s), data, oob, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
			if sendErr != unix.EINTR {
				return true
			}
		}
	})
	switch {
	case err != nil:
		return fmt.Errorf("control message %s: %w", m.Type, err)
	case sendErr == unix.EAGAIN || sendErr == unix.ETOOMANYREFS:
		return ErrFull
	case sendErr != nil:
		return fmt.Errorf("control message %s: %w", m.Type, sendErr)
	}
	return nil
}

// Receive waits for the next message. The descriptor that came with it, if any, is the caller's to close. The error is
// io.EOF when the other side is gone, and a *MalformedError for a packet that was thrown away.
func (c *Channel) Receive() (Message, *FD, error) {
	var n, oobn, flags int
	var recvErr error
	err := c.raw.Read(func(s uintptr) bool {
		for {
			n, oobn, flags, _, recvErr = unix.Recvmsg(int(s), c.buf, c.oob, ReceiveFlags)
			// ECONNRESET comes once, and before the packets that lie here: the other side has closed without reading all of ours.
			if recvErr != unix.EINTR && recvErr != unix.ECONNRESET {
				return recvErr != unix.EAGAIN
			}
		}
	})
	switch {
	case err != nil: // the only one without a deadline: Close was called
		return Message{}, nil, io.EOF
	case recvErr != nil:
		return Message{}, nil, fmt.Errorf("control channel: %w", recvErr)
	}
	fd := ReceivedFD(c.oob[:oobn])
	if n == 0 {
		if fd != nil {
			fd.Close()
		}
		return Message{}, nil, io.EOF
	}
	m, err := decode(c.buf[:n], flags)
	if err != nil && fd != nil {
		fd.Close()
		fd = nil
	}
	return m, fd, err
}

func decode(data []byte, flags int) (Message, error) {
	if flags&unix.MSG_TRUNC != 0 {
		return Message{}, &MalformedError{Why: fmt.Sprintf("longer than %d bytes", MaxPacket)}
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return Message{}, &MalformedError{Why: "a descriptor of it is lost: no room for it in this process, or more than one was sent"}
	}
	var m Message
	if err := json.Unmarshal(data, &m); err != nil {
		return Message{}, &MalformedError{Why: fmt.Sprintf("%.200v in %.60q", err, data)}
	}
	if m.Type == "" {
		return Message{}, &MalformedError{Why: fmt.Sprintf("no type in %.60q", data)}
	}
	return m, nil
}

// ReceivedFD takes the one descriptor out of the ancillary data. A buffer of
// CmsgLen(4) bytes has room for one: the kernel closes others. It is nil if there is none.
func ReceivedFD(oob []byte) *FD {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) == 0 {
		return nil
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) == 0 {
		return nil
	}
	return Own(fds[0])
}

// Close closes this end; a Receive that waits returns io.EOF.
func (c *Channel) Close() error { return c.file.Close() }
