package verify

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// stream is one request of HTTP/2 and what became of it.
type stream struct {
	*request
	fault Fault
	port  int // of the connection on which it was asked last: net/http asks again what a GOAWAY has left (RFC 9113, 6.8)
	res   *http.Response
}

// askByHTTP2 asks several things at a time on one connection, with prior knowledge, by net/http's client.
func (c *client) askByHTTP2() {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	var mu sync.Mutex
	conns := map[int]*conn{}
	transport := &http.Transport{
		Protocols: &protocols, DisableCompression: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, network, addr)
			if err == nil {
				port := nc.LocalAddr().(*net.TCPAddr).Port
				mu.Lock()
				defer mu.Unlock()
				conns[port] = &conn{port: port}
			}
			return nc, err
		},
	}
	defer transport.CloseIdleConnections()
	c.conns++
	k := &conn{number: c.conns} // of the first; more of them are of HTTP/2's own making
	streams := make([]stream, 2+c.dice.IntN(7))
	var asking sync.WaitGroup
	for i, q := range c.small(k, len(streams), 20) {
		s := &streams[i]
		s.request = q
		asking.Go(func() { s.ask(c, &http.Client{Transport: transport, Timeout: c.Timeout}) })
	}
	asking.Wait()
	mu.Lock() // another connection may still be on its way
	defer mu.Unlock()
	c.report.Opened += int64(len(conns))
	for _, s := range streams {
		on := conns[s.port]
		if s.fault.Fate == Right {
			on.pid = 0 // its streams are not in order
			c.hear(on, s.res)
		}
		c.note(on, s.fault)
	}
}

func (s *stream) ask(c *client, client *http.Client) {
	began := time.Now()
	s.fault = Fault{Fate: Unanswered, ID: s.ID, Doing: "asking by HTTP/2"}
	defer func() { s.fault.Lasted = time.Since(began) }()
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { s.port = info.Conn.LocalAddr().(*net.TCPAddr).Port },
	})
	var body io.Reader
	if s.body != nil {
		body = bytes.NewReader(s.body)
	}
	r, err := http.NewRequestWithContext(ctx, s.method(), "http://"+c.Addr+s.Path(), body)
	if err != nil {
		s.fault.Fate, s.fault.Err = Wrong, err
		return
	}
	if s.res, err = client.Do(r); err != nil {
		s.failed(Unanswered, err)
		return
	}
	defer s.res.Body.Close()
	got, err := io.ReadAll(s.res.Body)
	if err != nil {
		s.failed(Truncated, err)
		return
	}
	s.fault.Fate, s.fault.Err = c.compare(s.res, got, s.request)
}

func (s *stream) failed(fate Fate, err error) {
	switch {
	case isTimeout(err):
		fate = TimedOut
	case s.port == 0:
		fate = Refused
	}
	s.fault.Fate, s.fault.Err = fate, err
}
