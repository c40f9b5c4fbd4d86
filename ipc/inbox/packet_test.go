package inbox

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/prefork/cluster/ipc/scoreboard"
)

func drawAddress(t *rapid.T, name string) netip.AddrPort {
	port := rapid.Uint16().Draw(t, name+" port")
	switch rapid.IntRange(0, 3).Draw(t, name+" family") {
	case 0:
		return netip.AddrPort{}
	case 1:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, name))), port)
	case 2:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name))), port)
	default:
		a := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name))
		a[0], a[1] = 0xfe, 0x80 // an IPv4 address in IPv6 has no zone
		zone := rapid.StringMatching(`[a-z0-9.]{1,12}`).Draw(t, name+" zone")
		return netip.AddrPortFrom(netip.AddrFrom16(a).WithZone(zone), port)
	}
}

func TestPacketRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Packet{
			Kind:        rapid.SampledFrom([]Kind{Connection, Free}).Draw(t, "kind"),
			Sender:      int(rapid.Uint16().Draw(t, "sender")),
			Bind:        int(rapid.Uint16().Draw(t, "bind")),
			Hops:        rapid.IntRange(0, MaxHops).Draw(t, "hops"),
			Thread:      int(rapid.Uint32().Draw(t, "thread")),
			Reservation: scoreboard.Reservation(rapid.Uint64().Draw(t, "reservation")),
			Served:      int(rapid.Uint32().Draw(t, "served")),
			Readable:    rapid.Int64().Draw(t, "readable"),
			HeadSince:   rapid.Int64().Draw(t, "head since"),
			IdleSince:   rapid.Int64().Draw(t, "idle since"),
			Local:       drawAddress(t, "local"),
			Remote:      drawAddress(t, "remote"),
		}
		var b [Size]byte
		for i := range b {
			b[i] = 0xee // what a packet on the stack held before must not shine through
		}
		p.Encode(&b)
		got, err := Decode(b[:])
		if err != nil || got != p {
			t.Fatalf("%+v came back as %+v, %v", p, got, err)
		}
	})
}

// A zone that has no room is left out: without it the address is still one.
func TestPacketLongZone(t *testing.T) {
	a := netip.MustParseAddr("fe80::1")
	p := Packet{Kind: Connection, Local: netip.AddrPortFrom(a.WithZone("thirteen-byte"), 80), Remote: netip.AddrPortFrom(a.WithZone("twelve-bytes"), 81)}
	var b [Size]byte
	p.Encode(&b)
	got, err := Decode(b[:])
	if err != nil || got.Local != netip.AddrPortFrom(a, 80) || got.Remote != p.Remote {
		t.Errorf("%v, %v, %v", got.Local, got.Remote, err)
	}
}

// Workers of two builds exchange packets: a changed place of a field needs a new Version.
func TestPacketGolden(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the bytes are those of a little-endian machine; packets never leave one")
	}
	p := Packet{
		Kind: Connection, Sender: 0x0201, Bind: 0x0403, Hops: 8, Thread: 0x08070605, Served: 0x0c0b0a09, Reservation: 0x1817161514131211,
		Readable: 0x2827262524232221, HeadSince: 0x3837363534333231, IdleSince: 0x4847464544434241,
		Local: netip.MustParseAddrPort("192.0.2.1:80"), Remote: netip.MustParseAddrPort("[fe80::2%eth0]:49153"),
	}
	var b [Size]byte
	p.Encode(&b)
	const want = "0101010203040800050607080" + "90a0b0c1112131415161718" + "2122232425262728" + "3132333435363738" + "4142434445464748" +
		"04005000c0000201000000000000000000000000000000000000000000000000" +
		"100401c0fe800000000000000000000000000002657468300000000000000000" +
		"00000000000000000000000000000000"
	if got := hex.EncodeToString(b[:]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDecodeGarbage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 2*Size).Draw(t, "packet")
		if rapid.Bool().Draw(t, "of the right length") {
			b = append(b, make([]byte, Size)...)[:Size]
			b[0] = rapid.SampledFrom([]byte{0, Version, Version + 1, 255}).Draw(t, "version")
			b[1] = rapid.SampledFrom([]byte{0, byte(Connection), byte(Free), byte(Free) + 1, 255}).Draw(t, "kind")
		}
		p, err := Decode(b)
		if len(b) != Size || b[0] != Version || b[1] != byte(Connection) && b[1] != byte(Free) {
			if !errors.Is(err, ErrVersion) || p != (Packet{}) {
				t.Fatalf("%d bytes, beginning with %x: %+v, %v", len(b), b[:min(2, len(b))], p, err)
			}
			return
		}
		if err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		// What was understood is understood again, whatever the unused bytes were.
		var again [Size]byte
		p.Encode(&again)
		if q, err := Decode(again[:]); err != nil || q != p {
			t.Fatalf("%+v came back as %+v, %v", p, q, err)
		}
	})
}

func TestDecodeLengths(t *testing.T) {
	good := bytes.Repeat([]byte{1}, 3*Size) // of this version and a Connection
	for n := range good {
		if _, err := Decode(good[:n]); (err == nil) != (n == Size) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
