package front

import (
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
)

// A passed connection is as one that Go has accepted, and the packet says from where to where it goes. What waits when the front leaves is
// taken.
func TestPass(t *testing.T) {
	t.Parallel()
	b := newStand(t, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd *ipc.FD
	if controlErr := raw.Control(func(n uintptr) { fd, err = ipc.Duplicate(int(n)) }); controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
	p := newPasser(&ipc.Handover{Binds: []*ipc.FD{fd}}, b.board, slog.New(slog.DiscardHandler)).(*passer)
	p.workers = b.workers
	b.board.Row(0).State.Store(0) // nobody is ready
	if err := p.serve(); err != nil {
		t.Fatal(err)
	}
	var clients []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	b.serve(0, 0)
	p.drain(t.Context())
	for _, c := range clients {
		got, connection, err := inbox.Receive(b.boxes[0].Read.Int(), false)
		if err != nil || connection == nil {
			t.Fatalf("no connection: %v", err)
		}
		defer connection.Close()
		want := inbox.Packet{
			Kind: inbox.Connection, Sender: ipc.FrontSeat, IdleSince: got.IdleSince,
			Local: netip.MustParseAddrPort(l.Addr().String()), Remote: netip.MustParseAddrPort(c.LocalAddr().String()),
		}
		if got != want || got.IdleSince == 0 {
			t.Errorf("%+v, want %+v", got, want)
		}
		for name, option := range map[string][2]int{
			"TCP_NODELAY": {unix.IPPROTO_TCP, unix.TCP_NODELAY}, "SO_KEEPALIVE": {unix.SOL_SOCKET, unix.SO_KEEPALIVE},
		} {
			if on, err := unix.GetsockoptInt(connection.Int(), option[0], option[1]); on == 0 || err != nil {
				t.Errorf("%s is off (%v)", name, err)
			}
		}
		if flags, err := unix.FcntlInt(uintptr(connection.Int()), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("it blocks (%v)", err)
		}
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for want, a := range map[string]unix.Sockaddr{
		"127.0.0.1:80":     &unix.SockaddrInet4{Port: 80, Addr: [4]byte{127, 0, 0, 1}},
		"10.0.0.1:80":      &unix.SockaddrInet6{Port: 80, Addr: [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 1}},
		"[fe80::1%3]:80":   &unix.SockaddrInet6{Port: 80, ZoneId: 3, Addr: [16]byte{0xfe, 0x80, 15: 1}},
		"invalid AddrPort": &unix.SockaddrUnix{},
	} {
		if got := address(a).String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
