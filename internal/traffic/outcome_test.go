package traffic

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

// Each server does the same with every connection, so that every request has the same outcome.
func TestOutcomes(t *testing.T) {
	wait := func(p *peer) { p.request() } // for the client to close the connection
	tests := []struct {
		name   string
		want   Outcome
		status int    // of every answer; 0 if no head came
		err    string // within the text of the error
		talk   func(*peer)
	}{
		{name: "ok", want: OK, status: 200, talk: func(p *peer) {
			p.request()
			p.say(answer(200, "hello"))
		}},
		{name: "not found is an answer", want: OK, status: 404, talk: func(p *peer) {
			p.request()
			p.say(answer(404, "no"))
		}},
		{name: "interim, then final", want: OK, status: 200, talk: func(p *peer) {
			p.request()
			p.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(200, "hello"))
		}},
		{name: "chunked", want: OK, status: 200, talk: func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
		}},
		{name: "to the end of the stream", want: OK, status: 200, talk: func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\n\r\nhello")
		}},
		{name: "large", want: OK, status: 200, talk: func(p *peer) {
			p.request()
			p.say(answer(200, strings.Repeat("x", 3*maxBody)))
		}},
		{name: "503", want: Error5xx, status: 503, talk: func(p *peer) {
			p.request()
			p.say(answer(503, "busy", "Retry-After: 1"))
		}},
		{name: "reset after the request", want: Reset, err: "connection reset", talk: func(p *peer) {
			p.request()
			p.reset()
		}},
		{name: "closed after the request", want: Empty, err: "EOF", talk: func(p *peer) {
			p.request()
		}},
		{name: "truncated status line", want: Truncated, err: "EOF", talk: func(p *peer) {
			p.request()
			p.say("HTTP/1")
		}},
		{name: "truncated head", want: Truncated, err: "EOF", talk: func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nContent-Len")
		}},
		{name: "truncated body", want: Truncated, status: 200, err: "EOF", talk: func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		}},
		{name: "no body", want: Truncated, status: 200, err: "EOF", talk: func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
		}},
		{name: "truncated chunk", want: Truncated, status: 200, err: "EOF", talk: func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
		}},
		{name: "no last chunk", want: Truncated, status: 200, err: "EOF", talk: func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		}},
		{name: "interim, then closed", want: Truncated, err: "EOF", talk: func(p *peer) {
			p.request()
			p.say("HTTP/1.1 103 Early Hints\r\n\r\n")
		}},
		{name: "truncated 503", want: Truncated, status: 503, err: "EOF", talk: func(p *peer) {
			p.request()
			p.say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 10\r\n\r\nbusy")
		}},
		{name: "no end of the trailer", want: Truncated, status: 200, err: "EOF", talk: func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n")
		}},
		{name: "not HTTP", want: Garbled, err: "malformed HTTP", talk: func(p *peer) {
			p.request()
			p.say("220 mail.example ESMTP\r\n")
			wait(p)
		}},
		{name: "not a chunk", want: Garbled, status: 200, err: "chunk", talk: func(p *peer) {
			p.request()
			p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n")
			wait(p)
		}},
		{name: "protocol switched", want: Garbled, err: "switching", talk: func(p *peer) {
			p.request()
			p.say("HTTP/1.1 101 Switching Protocols\r\n\r\n")
			wait(p)
		}},
		{name: "two answers", want: Garbled, status: 200, err: `"HTTP/1.1 200 OK`, talk: func(p *peer) {
			p.request()
			p.say(answer(200, "hello") + answer(200, "hello"))
		}},
	}
	for _, test := range tests {
		for name, keepAlive := range map[string]bool{"close": false, "keep-alive": true} {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				const n = 5
				addr := serve(t, test.talk)
				requests := int64(n)
				if keepAlive && (test.want == OK || test.want == Error5xx) {
					requests = 1 // the next would find the connection closed, or not yet
				}
				clients := Clients{
					Addr: addr, KeepAlive: keepAlive, Requests: requests,
					OnAnswer: func(a Answer) {
						if a.Outcome != test.want || a.Status != test.status || !a.First || a.Request != 1 {
							t.Errorf("%+v", a)
						}
						if (a.Err == nil) != (test.err == "") || a.Err != nil && !strings.Contains(a.Err.Error(), test.err) {
							t.Errorf("error %v, want one with %q", a.Err, test.err)
						}
						if len(a.Body) > maxBody {
							t.Errorf("body of %d bytes", len(a.Body))
						}
					},
				}
				report := clients.Run(context.Background())
				want(t, report, requests, map[Outcome]int64{test.want: requests})
				for class, count := range report.ClassCounts {
					if class[0] != byte('0'+test.status/100) || count != requests {
						t.Errorf("class %s: %d", class, count)
					}
				}
				if (len(report.ClassCounts) == 0) != (test.status == 0) {
					t.Errorf("classes %v", report.ClassCounts)
				}
			})
		}
	}
}

func TestTimeout(t *testing.T) {
	addr := serve(t, func(p *peer) {
		p.request()
		p.request() // until the client closes
	})
	report := Clients{Addr: addr, Connections: 2, Requests: 4, Timeout: 20 * time.Millisecond}.Run(context.Background())
	want(t, report, report.Opened, map[Outcome]int64{Timeout: 4})
}

// What happens when the client has taken part of an answer or the whole of it. A client of one request a connection
// reads on after the answer, to the end of the stream.
func TestOutcomesLater(t *testing.T) {
	const whole, half = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"
	tests := []struct {
		name   string
		says   string
		then   func(*peer) // when the client has taken it
		expire bool        // let the client's time be over then
		want   Outcome
		err    string
	}{
		{name: "whole, closed", says: whole, want: OK},
		{name: "whole, reset", says: whole, then: (*peer).reset, want: Reset, err: "reset by peer"},
		{name: "whole, another byte", says: whole, then: func(p *peer) { p.say("x") }, want: Garbled, err: "'x'"},
		{name: "whole, left open", says: whole, then: func(p *peer) { p.request() }, expire: true, want: Timeout, err: "not closed"},
		{name: "half, reset", says: half, then: (*peer).reset, want: Truncated, err: "reset by peer"},
		{name: "half, left open", says: half, then: func(p *peer) { p.request() }, expire: true, want: Timeout, err: "i/o timeout"},
		{name: "nothing, left open", then: func(p *peer) { p.request() }, expire: true, want: Timeout, err: "i/o timeout"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			taken := make(chan struct{})
			addr := serve(t, func(p *peer) {
				p.request()
				p.say(test.says)
				<-taken
				if test.then != nil {
					test.then(p)
				}
			})
			conn, err := (&Clients{Addr: addr}).connect(time.Now().Add(defaultTimeout))
			if err != nil {
				t.Fatal(err)
			}
			conn.once = true
			conn.in.conn = &meter{Conn: conn.conn, left: len(test.says), then: func() {
				if test.expire {
					_ = conn.conn.SetDeadline(time.Unix(1, 0))
				}
				close(taken)
			}}
			a := conn.ask([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), time.Now(), defaultTimeout)
			if a.Outcome != test.want || (a.Status == 200) != (test.says != "") {
				t.Errorf("%+v, want %s", a, test.want)
			}
			if (a.Err == nil) != (test.err == "") || a.Err != nil && !strings.Contains(a.Err.Error(), test.err) {
				t.Errorf("error %v, want one with %q", a.Err, test.err)
			}
			if conn.keep(a) != nil {
				t.Error("the connection was kept")
			}
		})
	}
}

// meter calls then once, before the first read that follows that many bytes.
type meter struct {
	net.Conn
	left int
	then func()
}

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 && m.then != nil {
		m.then()
		m.then = nil
	}
	n, err := m.Conn.Read(p)
	m.left -= n
	return n, err
}
