package traffic

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// peer is one connection seen by a fake server.
type peer struct {
	*net.TCPConn
	in *bufio.Reader
}

// request reads a whole request, and is nil when the client has closed the connection.
func (p *peer) request() *http.Request {
	request, err := http.ReadRequest(p.in)
	if err != nil {
		return nil
	}
	return request
}

func (p *peer) say(text string) { _, _ = p.Write([]byte(text)) }

// reset closes the connection with a RST.
func (p *peer) reset() {
	_ = p.SetLinger(0)
	_ = p.Close()
}

// answer is a response with that status and body.
func answer(status int, body string, headers ...string) string {
	var extra strings.Builder
	for _, header := range headers {
		extra.WriteString(header + "\r\n")
	}
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n%s\r\n%s",
		status, http.StatusText(status), len(body), extra.String(), body)
}

// serve plays a server that does with each connection what talk says and then closes it.
func serve(t *testing.T, talk func(*peer)) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var talks sync.WaitGroup
	talks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			talks.Go(func() {
				defer conn.Close()
				talk(&peer{TCPConn: conn.(*net.TCPConn), in: bufio.NewReader(conn)})
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		talks.Wait()
	})
	return listener.Addr().String()
}

// want checks the counts of a report exactly; an outcome that is not named must not occur.
func want(t *testing.T, r Report, opened int64, counts map[Outcome]int64) {
	t.Helper()
	var requests, losses int64
	for outcome := range outcomes {
		n := counts[outcome]
		if r.Counts[outcome] != n {
			t.Errorf("%s: %d, want %d", outcome, r.Counts[outcome], n)
		}
		if outcome != ClosedIdle {
			requests += n
		}
		if outcome != OK && outcome != ClosedIdle {
			losses += n
		}
	}
	if r.Requests != requests || r.Opened != opened || int64(r.Losses()) != losses {
		t.Errorf("%d requests on %d connections with %d losses, want %d on %d with %d",
			r.Requests, r.Opened, r.Losses(), requests, opened, losses)
	}
	if t.Failed() {
		t.Log(r)
	}
}
