package inboxes

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
)

// packetsPerSweep bounds how long a sweep takes: a packet costs four system calls.
const packetsPerSweep = 512

// Swept is what a sweep has done.
type Swept struct {
	Passed int   // connections
	More   bool  // it ended before all was looked at: sweep again
	Err    error // of the last packet that was thrown away or could not be taken
}

// Sweep passes on what lies in deserted inboxes to takers of the same group, as plan.Cluster.Inboxes names them: to the other
// seat of the slot if that one takes packets of this version, else to the one with the fewest open connections, unless its inbox is full. A
// ready worker that takes no such packets counts as deserted. Without a taker all stays where it is. It never waits, and costs one
// system call if the inboxes are empty.
func (s *Set) Sweep(deserted, takers []int) (swept Swept) {
	if len(s.boxes) == 0 {
		return swept
	}
	t := turn{left: packetsPerSweep, targets: map[int][]*target{}}
	look := slices.Clone(deserted)
	for _, seat := range takers {
		row := s.board.Row(seat)
		if row.Handoff.Takes.Load() != inbox.Version {
			look = append(look, seat)
			continue
		}
		group, _ := inbox.Group(seat / 2)
		t.targets[group] = append(t.targets[group], &target{seat: seat, send: s.boxes[seat].Send, open: row.Open.Load()})
	}
	s.held = slices.DeleteFunc(s.held, t.send)
	look = slices.DeleteFunc(look, func(seat int) bool { return t.best(seat) == nil })
	for _, seat := range s.filled(look) {
		if p := t.empty(seat, s.boxes[seat].Read.Int()); p != nil {
			s.held = append(s.held, p)
		}
	}
	return t.Swept
}

// filled are those seats in whose inbox something lies.
func (s *Set) filled(seats []int) (filled []int) {
	if len(seats) == 0 {
		return nil
	}
	polled := make([]unix.PollFd, len(seats))
	for i, seat := range seats {
		polled[i] = unix.PollFd{Fd: int32(s.boxes[seat].Read.Int()), Events: unix.POLLIN}
	}
	_, _ = unix.Poll(polled, 0) // an error, EINTR, is one look missed
	for i, seat := range seats {
		if polled[i].Revents != 0 {
			filled = append(filled, seat)
		}
	}
	return filled
}

// parcel is a connection and what its receiver must know of it.
type parcel struct {
	from       int // seat in whose inbox it was
	packet     inbox.Packet
	connection *ipc.FD
}

// take takes the next connection out of the inbox of a seat; nil if the packet was none. The errors are those of inbox.Receive.
// After ErrVersion the packet is gone, after the others the inbox is as it was.
func take(seat, read int) (*parcel, error) {
	packet, connection, err := inbox.Receive(read, true) // callers of the control socket and of /metrics take descriptors too
	if errors.Is(err, io.EOF) {
		// This process holds the send end too, so it was an empty packet, and has only been looked at.
		_, _, _ = inbox.Receive(read, false)
		err = fmt.Errorf("%w: it is empty", inbox.ErrVersion)
	}
	switch {
	case err != nil:
		return nil, err
	case packet.Kind == inbox.Connection && connection != nil:
		packet.Thread, packet.Reservation = 0, 0 // they are of a seat that it does not go to
		return &parcel{from: seat, packet: packet, connection: connection}, nil
	case connection != nil:
		connection.Close()
	}
	if packet.Kind == inbox.Free {
		return nil, nil
	}
	return nil, fmt.Errorf("%w: kind %d", inbox.ErrVersion, packet.Kind)
}

// turn is one sweep.
type turn struct {
	targets map[int][]*target // by the first seat of their group
	left    int               // packets that it may still take
	Swept
}

// target is a seat that takes connections. Those that this sweep has sent it count as open.
type target struct {
	seat int
	send *ipc.FD
	open int64
	full bool
}

// best is where what lies in the inbox of a seat goes first; nil if there is no place for it.
func (t *turn) best(from int) (best *target) {
	group, _ := inbox.Group(from / 2)
	for _, to := range t.targets[group] {
		switch {
		case to.full:
		case to.seat == from^1: // of the same slot
			return to
		case best == nil || to.open < best.open:
			best = to
		}
	}
	return best
}

// empty passes on what lies in the inbox of a seat, while there is a place for it. It returns what was taken and found none.
func (t *turn) empty(seat, read int) *parcel {
	for t.best(seat) != nil {
		if t.left == 0 {
			t.More = true
			return nil
		}
		t.left--
		p, err := take(seat, read)
		if errors.Is(err, inbox.ErrEmpty) {
			return nil
		}
		if err != nil {
			t.Err = fmt.Errorf("inbox of seat %d: %w", seat, err)
			if !errors.Is(err, inbox.ErrVersion) {
				return nil
			}
		}
		if p != nil && !t.send(p) {
			return p
		}
	}
	return nil
}

// send passes a connection on and closes it here. It is false if there is no place for it.
func (t *turn) send(p *parcel) bool {
	for to := t.best(p.from); to != nil; to = t.best(p.from) {
		if inbox.Send(to.send.Int(), &p.packet, p.connection.Int()) == nil {
			p.connection.Close()
			to.open++
			t.Passed++
			return true
		}
		to.full = true // this process holds the other end too, so there is no room, and nothing else is wrong
	}
	return false
}
