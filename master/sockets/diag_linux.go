package sockets

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
)

// unixRequest is struct unix_diag_req of linux/unix_diag.h behind its netlink header.
type unixRequest struct {
	Header           unix.NlMsghdr
	Family, Protocol uint8
	_                uint16
	States           uint32
	Inode            uint32
	Show             uint32
	Cookie           [2]uint32
}

const (
	sockDiagByFamily = 20   // SOCK_DIAG_BY_FAMILY of linux/sock_diag.h
	showQueue        = 0x10 // UDIAG_SHOW_RQLEN
	queueAttribute   = 4    // UNIX_DIAG_RQLEN: struct unix_diag_rqlen, of a listener what waits and what may
	listenState      = 10   // TCP_LISTEN, which unix sockets borrow
	replyLength      = 16   // struct unix_diag_msg, which the attributes follow
	anyCookie        = ^uint32(0)
)

// unixQueue asks the kernel for the accept queue of a unix listener, by the inode of the socket (not that of its file).
func unixQueue(fd *ipc.FD) (waiting, limit int, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd.Int(), &st); err != nil {
		return 0, 0, fmt.Errorf("accept queue: %w", err)
	}
	n, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, 0, fmt.Errorf("accept queue: netlink: %w", err)
	}
	defer unix.Close(n)
	request := unixRequest{
		Family: unix.AF_UNIX, States: 1 << listenState, Inode: uint32(st.Ino), Show: showQueue, Cookie: [2]uint32{anyCookie, anyCookie},
	}
	request.Header = unix.NlMsghdr{Len: uint32(binary.Size(request)), Type: sockDiagByFamily, Flags: unix.NLM_F_REQUEST}
	packet, err := binary.Append(nil, binary.NativeEndian, request)
	if err == nil {
		err = unix.Sendto(n, packet, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	if err != nil {
		return 0, 0, fmt.Errorf("accept queue: ask sock_diag: %w", err)
	}
	// The answer is there when the question has been sent.
	answer := make([]byte, 4096)
	size, _, err := unix.Recvfrom(n, answer, unix.MSG_DONTWAIT)
	if err != nil {
		return 0, 0, fmt.Errorf("accept queue: hear sock_diag: %w", err)
	}
	return parseQueue(answer[:size])
}

var errNoQueue = errors.New("accept queue: sock_diag does not tell it")

// parseQueue finds the queue in an answer: a netlink header, unix_diag_msg, attributes.
func parseQueue(answer []byte) (waiting, limit int, err error) {
	order := binary.NativeEndian
	if len(answer) < unix.NLMSG_HDRLEN+4 {
		return 0, 0, errNoQueue
	}
	if kind := order.Uint16(answer[4:]); kind == unix.NLMSG_ERROR {
		return 0, 0, fmt.Errorf("accept queue: sock_diag: %w", unix.Errno(-int32(order.Uint32(answer[unix.NLMSG_HDRLEN:]))))
	}
	for rest := answer[min(len(answer), unix.NLMSG_HDRLEN+replyLength):]; len(rest) >= unix.NLA_HDRLEN; {
		length := int(order.Uint16(rest))
		if length < unix.NLA_HDRLEN || length > len(rest) {
			break
		}
		if value := rest[unix.NLA_HDRLEN:length]; order.Uint16(rest[2:]) == queueAttribute && len(value) >= 8 {
			return int(order.Uint32(value)), int(order.Uint32(value[4:])), nil
		}
		rest = rest[min(len(rest), (length+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1)):]
	}
	return 0, 0, errNoQueue
}
