package worker

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"

	"github.com/prefork/cluster/ipc"
)

func startProxied(t *testing.T) *testWorker {
	return startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) }), func(s *setup) {
		s.config.Binds = []ipc.Bind{{Name: "test", Proxy: true}}
	})
}

// The handler sees the client that the balancer speaks for, on each request of the connection.
func TestProxyProtocol(t *testing.T) {
	w := startProxied(t)
	source, destination := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4711}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 8), Port: 80}
	for _, version := range []byte{1, 2} {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			header, err := proxyproto.HeaderProxyFromAddrs(version, source, destination).Format()
			if err != nil {
				t.Fatal(err)
			}
			c := dial(t, w.addr)
			pieces := [][]byte{header} // at once, as the protocol asks of a sender
			if version == 2 {          // whose length is known, so that it may arrive in any pieces
				pieces = slices.Collect(slices.Chunk(header, 1))
			}
			for _, piece := range pieces {
				c.send(string(piece))
			}
			want(t, "the client", c.get("/").body, "192.0.2.7:4711")
			want(t, "the client of the second request", c.get("/").body, "192.0.2.7:4711")

			// Header and two requests in one packet.
			c = dial(t, w.addr)
			const request = "GET / HTTP/1.1\r\nHost: test\r\n\r\n"
			c.send(string(header) + request + request)
			want(t, "the client", c.answer(http.MethodGet).body, "192.0.2.7:4711")
			want(t, "the client of the second request", c.answer(http.MethodGet).body, "192.0.2.7:4711")
		})
	}
}

// Whoever comes without a header could claim to be anybody, so it is not served.
func TestProxyProtocolIsRequired(t *testing.T) {
	w := startProxied(t)
	c := dial(t, w.addr)
	c.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
	text, _ := io.ReadAll(c.in)
	if strings.HasPrefix(string(text), "HTTP/1.1 200") {
		t.Errorf("answered with %q", text)
	}
	w.drain(t, order{})
	w.wantResult(t)
}
