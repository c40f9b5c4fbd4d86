// Package inbox is how an open connection gets from one worker to another: its descriptor in a packet, over a unix socket pair
// of which the master holds both ends. docs/adr/0010-handoff.md has the protocol and its races.
package inbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// GroupSlots is how many slots exchange connections: each worker of a group holds the send ends of its seats' inboxes.
const GroupSlots = 32

// Group is the seats, first inclusive and end exclusive, that exchange connections with a slot's.
func Group(slot int) (first, end int) {
	first = slot / GroupSlots * GroupSlots * 2
	return first, first + GroupSlots*2
}

// MaxHops is how often a connection is passed on for the sake of one request. Then it waits where it is.
const MaxHops = 8

// Size of a packet in bytes, and its version, which a worker that takes packets publishes in its row: nobody sends it others.
const (
	Size    = 128
	Version = 1
)

// Kind says what a packet is.
type Kind uint8

// The kinds.
const (
	Connection Kind = 1 + iota // a connection comes with it
	Free                       // the sender has a free thread: pass a waiting request on. Nothing else in the packet counts.
)

// Packet says what the receiver must know of a connection, so that limits and times go on where they were. Times are
// nanoseconds of CLOCK_MONOTONIC; 0 is none.
type Packet struct {
	Kind        Kind
	Sender      int // seat; ipc.FrontSeat: the connection has just been accepted
	Bind        int // on which it was accepted
	Hops        int // times that it was passed on for the request that waits
	Thread      int // that is reserved for it
	Reservation scoreboard.Reservation
	Served      int   // requests on this connection
	Readable    int64 // when the last bytes of the head that waits arrived; 0: none has been seen
	HeadSince   int64 // when the first ones did
	IdleSince   int64 // when the last answer ended, or the connection began
	// Addresses of a TCP connection; the zero values: it is a unix one.
	Local, Remote netip.AddrPort
}

// ErrVersion is a packet from a program that speaks another version of this protocol.
var ErrVersion = errors.New("a packet of another version of the handoff protocol")

// Encode writes the packet.
func (p *Packet) Encode(b *[Size]byte) {
	clear(b[:])
	b[0], b[1] = Version, byte(p.Kind)
	e := binary.NativeEndian
	e.PutUint16(b[2:], uint16(p.Sender))
	e.PutUint16(b[4:], uint16(p.Bind))
	e.PutUint16(b[6:], uint16(p.Hops))
	e.PutUint32(b[8:], uint32(p.Thread))
	e.PutUint32(b[12:], uint32(p.Served))
	e.PutUint64(b[16:], uint64(p.Reservation))
	e.PutUint64(b[24:], uint64(p.Readable))
	e.PutUint64(b[32:], uint64(p.HeadSince))
	e.PutUint64(b[40:], uint64(p.IdleSince))
	putAddress(b[48:80], p.Local)
	putAddress(b[80:112], p.Remote)
}

// Decode reads a packet.
func Decode(b []byte) (p Packet, err error) {
	if len(b) != Size || b[0] != Version {
		return Packet{}, fmt.Errorf("%w: %d bytes, beginning with %.2x", ErrVersion, len(b), b[:min(len(b), 2)])
	}
	kind := Kind(b[1])
	if kind != Connection && kind != Free {
		return Packet{}, fmt.Errorf("%w: kind %d", ErrVersion, kind)
	}
	e := binary.NativeEndian
	return Packet{
		Kind:        kind,
		Sender:      int(e.Uint16(b[2:])),
		Bind:        int(e.Uint16(b[4:])),
		Hops:        int(e.Uint16(b[6:])),
		Thread:      int(e.Uint32(b[8:])),
		Served:      int(e.Uint32(b[12:])),
		Reservation: scoreboard.Reservation(e.Uint64(b[16:])),
		Readable:    int64(e.Uint64(b[24:])),
		HeadSince:   int64(e.Uint64(b[32:])),
		IdleSince:   int64(e.Uint64(b[40:])),
		Local:       address(b[48:80]),
		Remote:      address(b[80:112]),
	}, nil
}

// An address is its length (0, 4 or 16), the length of its zone, its port, 16 bytes of it, and up to 12 of the zone.
const (
	addressAt = 4
	zoneAt    = addressAt + 16
	maxZone   = 12
)

func putAddress(b []byte, a netip.AddrPort) {
	raw := a.Addr().AsSlice()
	b[0] = byte(len(raw))
	copy(b[addressAt:], raw)
	binary.NativeEndian.PutUint16(b[2:], a.Port())
	if zone := a.Addr().Zone(); len(zone) <= maxZone {
		b[1] = byte(copy(b[zoneAt:], zone))
	}
}

func address(b []byte) netip.AddrPort {
	n, zone := int(b[0]), int(b[1])
	if n != 4 && n != 16 || zone > maxZone {
		return netip.AddrPort{}
	}
	a, _ := netip.AddrFromSlice(b[addressAt : addressAt+n])
	if zone > 0 {
		a = a.WithZone(string(b[zoneAt : zoneAt+zone]))
	}
	return netip.AddrPortFrom(a, binary.NativeEndian.Uint16(b[2:]))
}
