package worker

import (
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
	"github.com/prefork/cluster/worker/internal/nethttp"
)

// fronted is a worker that takes connections from a front alone.
type fronted struct {
	*testWorker
	t   *testing.T
	box *inbox.Box
	l   net.Listener // the front's
}

func startFronted(t *testing.T, h http.Handler) *fronted {
	t.Helper()
	box, err := inbox.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(box.Close)
	config := testConfig()
	config.Passed = true
	l := listenLocal(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0") // what it inherits tells the address alone
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	f := &fronted{t: t, box: box, l: l}
	f.testWorker = &testWorker{member: newTestMember(config, closed), addr: l.Addr().String(), log: &logBook{}}
	f.member.Log = f.log.logger()
	read, err := ipc.Duplicate(box.Read.Int())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.meetSiblings(&ipc.Handover{Inbox: read}); err != nil {
		t.Fatal(err)
	}
	f.engine = nethttp.New(&f.Worker, &http.Server{Handler: h})
	return f
}

// connect makes a connection, accepts it and sends it to the inbox.
func (f *fronted) connect(sender int) *client {
	f.t.Helper()
	c := dial(f.t, f.addr)
	nc, err := f.l.Accept()
	if err != nil {
		f.t.Fatal(err)
	}
	defer nc.Close()
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		f.t.Fatal(err)
	}
	p := inbox.Packet{
		Kind: inbox.Connection, Sender: sender, IdleSince: f.Clock.Now(),
		Local: nc.LocalAddr().(*net.TCPAddr).AddrPort(), Remote: nc.RemoteAddr().(*net.TCPAddr).AddrPort(),
	}
	if controlErr := raw.Control(func(fd uintptr) { err = inbox.Send(f.box.Send.Int(), &p, int(fd)) }); controlErr != nil || err != nil {
		f.t.Fatal(controlErr, err)
	}
	return c
}

// A connection from a front is served like one that was accepted here, and counted so; one from a sibling is not.
func TestFrontedWorkerCountsAsAccepted(t *testing.T) {
	var remote string
	f := startFronted(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { remote = r.RemoteAddr }))
	f.begin(t)
	c := f.connect(ipc.FrontSeat)
	for range 2 {
		if a := c.get("/"); a.status != http.StatusOK || a.close {
			t.Errorf("%+v", a)
		}
	}
	if want := c.LocalAddr().String(); netip.MustParseAddrPort(remote).String() != want {
		t.Errorf("the handler sees %s, want %s", remote, want)
	}
	if accepted, received := f.Row.Accepted.Load(), f.Row.Handoff.Received.Load(); accepted != 1 || received != 0 {
		t.Errorf("%d accepted, %d received", accepted, received)
	}
	f.connect(7).get("/")
	if accepted, received := f.Row.Accepted.Load(), f.Row.Handoff.Received.Load(); accepted != 1 || received != 1 {
		t.Errorf("after one from a sibling: %d accepted, %d received", accepted, received)
	}
}

// A draining worker answers with Connection: close: another one gets the client's next connection.
func TestFrontedWorkerDrains(t *testing.T) {
	f := startFronted(t, http.HandlerFunc(hello))
	f.begin(t)
	c := f.connect(ipc.FrontSeat)
	c.get("/")
	f.drain(t, order{why: "test"})
	if a := c.get("/"); !a.close {
		t.Errorf("%+v", a)
	}
	c.wantEOF()
	f.wantResult(t)
}

// When the whole cluster stops, what the front has sent last is served, even if it was not read before.
func TestFrontedWorkerTakesTheLast(t *testing.T) {
	f := startFronted(t, http.HandlerFunc(hello))
	var clients []*client
	for range 5 { // nobody reads the inbox yet
		clients = append(clients, f.connect(ipc.FrontSeat))
	}
	for _, c := range clients {
		c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	}
	f.order(order{final: true, why: "test"})
	result := make(chan error, 1)
	go func() { result <- f.run() }()
	for _, c := range clients {
		if a := c.answer(http.MethodGet); a.status != http.StatusOK {
			t.Errorf("%+v", a)
		}
	}
	if err := await(t, "the worker to leave", result); err != nil {
		t.Error(err)
	}
	if _, connection, err := inbox.Receive(f.box.Read.Int(), false); connection != nil {
		t.Errorf("a connection lies in the inbox (%v)", err)
	}
	if f.Row.Handoff.Takes.Load() != 0 {
		t.Error("it takes packets")
	}
}
