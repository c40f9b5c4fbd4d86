package fasthttpworker

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/prefork/cluster/ipc"
)

// Both ways of reading bodies, and fasthttp's saving of memory, which gives buffers to other requests earlier.
var bodyRoles = []struct {
	role, path string
	buffer     int
}{{"serve", "/body", 0}, {"streams", "/body", 0}, {"streams", "/stream", 64 << 10}, {"thrifty", "/stream", 0}, {"reduced", "/body", 0}}

func noise(n int) string {
	random, b := rand.New(rand.NewPCG(3, uint64(n))), make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return string(b)
}

func sizeAndSum(body string) string {
	return fmt.Sprintf("%d %x", len(body), sha256.Sum256([]byte(body)))
}

// chunks encodes a body in pieces.
func chunks(body string, piece int) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(piece, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.String() + "0\r\n\r\n"
}

// Bodies arrive as they were sent, one after the other on a connection and on many at once.
func TestBodies(t *testing.T) {
	for _, test := range bodyRoles {
		t.Run(test.role+test.path, func(t *testing.T) {
			t.Parallel()
			m := spawn(t, test.role, func(c *ipc.WorkerConfig) { c.BufferBody = test.buffer })
			sizes := []int{0, 1, 100, prefetched - 1, prefetched, prefetched + 1, 64 << 10, 64<<10 + 1, 300_000}
			if test.path == "/stream" {
				sizes = append(sizes, 5<<20) // more than fasthttp keeps in memory
			}
			done := make(chan *client, 4)
			for i := range cap(done) {
				c := dial(t, m)
				go func() {
					defer func() { done <- c }()
					for _, n := range sizes {
						body := noise(n + i)
						for _, request := range []string{
							fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body),
							"Transfer-Encoding: chunked\r\n\r\n" + chunks(body, 10_000),
						} {
							if _, err := io.WriteString(c, "POST "+test.path+" HTTP/1.1\r\nHost: test\r\n"+request); err != nil {
								t.Error(err)
								return
							}
							if a := c.answer("POST"); a.body != sizeAndSum(body) || a.close {
								t.Errorf("%d bytes: answer %d %q, close %v", n, a.status, a.body, a.close)
							}
						}
					}
				}()
			}
			for range cap(done) {
				await(t, "the client to end", done)
			}
			want(t, "accepted", m.row.Accepted.Load(), 4)
			m.wantAnswers(0, int64(4*2*len(sizes)), 0, 0, 0)
			m.awaitBusy(0)
		})
	}
}

// A body up to the buffer's size costs no thread while it arrives; beyond it, a stream does.
func TestSlowBodies(t *testing.T) {
	for _, test := range bodyRoles {
		t.Run(test.role+test.path, func(t *testing.T) {
			t.Parallel()
			m := spawn(t, test.role)
			body := noise(60_000)
			c := dial(t, m)
			c.ask("POST", test.path, "Content-Length: 60000\r\n", body[:59_999])
			second := dial(t, m)
			second.ask("POST", test.path, "Transfer-Encoding: chunked\r\n", chunks(body, 5000)[:40_000])
			want(t, "status", dial(t, m).get("/").status, 200)
			want(t, "busy threads", m.busy(), 0)
			c.send(body[59_999:])
			second.send(chunks(body, 5000)[40_000:])
			want(t, "answer", c.wantStatus(200).body, sizeAndSum(body))
			want(t, "answer", second.wantStatus(200).body, sizeAndSum(body))
			if test.role != "streams" {
				return
			}
			c.ask("POST", test.path, "Content-Length: 100000\r\n", body)
			want(t, "busy threads", m.busy(), 0)
			c.send(body[:39_999])
			m.awaitBusy(1)
			c.send("x")
			c.wantStatus(200)
		})
	}
}

// What is larger than allowed is refused with 413 before a thread is taken, if its size is known, and in any case the
// client gets the answer although it goes on sending.
func TestMaxBody(t *testing.T) {
	for _, test := range bodyRoles {
		t.Run(test.role+test.path, func(t *testing.T) {
			t.Parallel()
			m := spawn(t, test.role, func(c *ipc.WorkerConfig) { c.MaxBody, c.BufferBody = 20_000, 10_000 })
			c := dial(t, m)
			fits := noise(20_000)
			c.ask("POST", test.path, "Content-Length: 20000\r\n", fits)
			want(t, "answer", c.wantStatus(200).body, sizeAndSum(fits))
			c.ask("POST", test.path, "Transfer-Encoding: chunked\r\n", chunks(fits, 999))
			want(t, "answer", c.wantStatus(200).body, sizeAndSum(fits))
			c.ask("POST", test.path, "Content-Length: 20001\r\n", noise(20_001))
			want(t, "close", c.wantStatus(413).close, true)
			c.wantEOF()
			want(t, "observed waits", observed(&m.row.Wait), 2)

			c = dial(t, m)
			c.ask("POST", test.path, "Expect: 100-continue\r\nContent-Length: 20001\r\n", "")
			want(t, "close", c.wantStatus(413).close, true)
			c.wantEOF()
			m.wantAnswers(0, 2, 0, 2, 0)
			if test.role == "streams" && test.path == "/body" {
				return // PostBody hides it
			}
			c = dial(t, m)
			go c.Write([]byte("POST " + test.path + " HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(noise(100_000), 999)))
			if a := c.answer("POST"); a.status/100 != 4 || !a.close {
				t.Errorf("answer %d, close %v", a.status, a.close)
			}
			c.wantEOF()
			m.wantAnswers(0, 2, 0, 3, 0)
		})
	}
}

// Without a limit of the cluster, fasthttp's counts for what is kept in memory.
func TestDefaultMaxBody(t *testing.T) {
	t.Parallel()
	m := spawn(t, "serve")
	c := dial(t, m)
	body := strings.Repeat("x", 4<<20)
	c.ask("POST", "/body", "Content-Length: 4194304\r\n", body)
	want(t, "answer", c.wantStatus(200).body, sizeAndSum(body))
	c.ask("POST", "/body", "Content-Length: 4194305\r\n", "x")
	c.wantStatus(413)
	c.wantEOF()
}

// An owner's own hook for heads goes on working, with its timeout and its limit.
func TestOwnersHeaderReceived(t *testing.T) {
	t.Parallel()
	m := spawn(t, "own body")
	c := dial(t, m)
	c.ask("POST", "/body", "Content-Length: 100\r\n", noise(100))
	want(t, "answer", c.wantStatus(200).body, sizeAndSum(noise(100)))
	large := dial(t, m)
	large.ask("POST", "/body", "Content-Length: 101\r\n", noise(101))
	large.wantStatus(413)
	expecting := dial(t, m)
	expecting.ask("POST", "/body", "Large: yes\r\nExpect: 100-continue\r\nContent-Length: 4194305\r\n", "")
	expecting.in.ReadString('\n')
	expecting.in.ReadString('\n')
	expecting.send(strings.Repeat("x", 4194305))
	expecting.wantStatus(200)
	slow := dial(t, m)
	slow.ask("POST", "/body", "Content-Length: 100\r\n", "x")
	slow.wantStatus(408)
	slow.wantEOF()
	m.wantAnswers(0, 2, 0, 2, 0)
}

// What is left of a body that nobody has read is not taken for a request.
func TestUnreadBodies(t *testing.T) {
	const smuggled = "GET /status?code=299 HTTP/1.1\r\nHost: test\r\n\r\n"
	for _, test := range []struct {
		role, path string
		close      bool
	}{{"serve", "/ignore", false}, {"streams", "/ignore", true}, {"streams", "/drop", true}, {"streams", "/panic", true}} {
		t.Run(test.role+test.path, func(t *testing.T) {
			t.Parallel()
			m := spawn(t, test.role, func(c *ipc.WorkerConfig) { c.BufferBody = 0 })
			for _, request := range []string{
				fmt.Sprintf("Content-Length: %d\r\n\r\n%s%s", 100_000+len(smuggled), noise(100_000), smuggled),
				"Transfer-Encoding: chunked\r\n\r\n" + chunks(smuggled, 1000),
			} {
				c := dial(t, m)
				c.send("POST " + test.path + " HTTP/1.1\r\nHost: test\r\n" + request)
				want(t, "close", c.answer("POST").close, test.close)
				if test.close {
					c.wantEOF()
				} else {
					want(t, "status", c.get("/status?code=201").status, 201)
				}
			}
		})
	}
}

func TestExpect(t *testing.T) {
	for _, test := range bodyRoles {
		t.Run(test.role+test.path, func(t *testing.T) {
			t.Parallel()
			m := spawn(t, test.role)
			c := dial(t, m)
			for range 2 {
				c.ask("POST", test.path, "Expect: 100-continue\r\nContent-Length: 5\r\n", "")
				if line, err := c.in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
					t.Fatal(line, err)
				}
				if line, err := c.in.ReadString('\n'); err != nil || line != "\r\n" {
					t.Fatal(line, err)
				}
				c.send("hello")
				want(t, "answer", c.wantStatus(200).body, sizeAndSum("hello"))
			}
			m.wantAnswers(0, 2, 0, 0, 0)
		})
	}
}

// A form that is streamed is parsed under the thread and within the limit.
func TestForms(t *testing.T) {
	form := func(n int) string {
		return "--b\r\nContent-Disposition: form-data; name=\"field\"\r\n\r\n" + strings.Repeat("x", n) + "\r\n--b--\r\n"
	}
	for _, role := range []string{"serve", "streams"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			m := spawn(t, role, func(c *ipc.WorkerConfig) { c.MaxBody = 100_000 })
			c := dial(t, m)
			for _, n := range []int{10, 90_000} {
				c.ask("POST", "/form", fmt.Sprintf("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n", len(form(n))), form(n))
				want(t, "answer", c.wantStatus(200).body, fmt.Sprint(n))
			}
			c.ask("POST", "/form", fmt.Sprintf("Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n", len(form(200_000))), form(200_000))
			c.wantStatus(413)
		})
	}
}

// A client that leaves within its body leaves no thread behind.
func TestClientLeaves(t *testing.T) {
	for _, test := range bodyRoles {
		t.Run(test.role+test.path, func(t *testing.T) {
			t.Parallel()
			m := spawn(t, test.role)
			for _, sent := range []int{10, 100_000} {
				c := dial(t, m)
				c.ask("POST", test.path, "Content-Length: 200000\r\n", noise(sent))
				eventually(t, "the connection to be served", func() bool { return m.row.Open.Load() == 1 })
				c.Conn.(*net.TCPConn).SetLinger(0)
				c.Close()
				eventually(t, "it to be closed", func() bool { return m.row.Open.Load() == 0 })
				m.awaitBusy(0)
			}
			want(t, "status", dial(t, m).get("/").status, 200)
		})
	}
}
