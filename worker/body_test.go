package worker

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// describeBody tells all that a handler can see of a body.
func describeBody(w http.ResponseWriter, r *http.Request) {
	first := make([]byte, 100)
	n, _ := io.ReadFull(r.Body, first)
	sum := sha256.New()
	sum.Write(first[:n])
	rest, err := io.Copy(sum, r.Body)
	_, again := r.Body.Read(first)
	fmt.Fprintf(w, "%d bytes %x, %v; again %v; length %d, encoding %q, none %v, trailer %q, ", int64(n)+rest, sum.Sum(nil), err, again,
		r.ContentLength, r.TransferEncoding, r.Body == http.NoBody, r.Trailer.Get("X-Sum"))
	r.Body.Close()
	_, closed := r.Body.Read(first)
	fmt.Fprintf(w, "closed %v", closed)
}

// closedEarly closes a body before it has read it.
func closedEarly(w http.ResponseWriter, r *http.Request) {
	p := make([]byte, 10)
	n, _ := io.ReadFull(r.Body, p)
	r.Body.Close()
	_, err := r.Body.Read(p)
	fmt.Fprintf(w, "%q, closed %v", p[:n], err)
}

// ignored does not look at the body.
func ignored(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "not looked at") }

// post is a request with a body, declared or in chunks of random sizes, perhaps with a trailer.
func post(path string, body []byte, chunked, trailer bool, random *rand.Rand) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: test\r\n", path)
	if !chunked {
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(body))
		b.Write(body)
		return b.Bytes()
	}
	b.WriteString("Transfer-Encoding: chunked\r\n")
	if trailer {
		b.WriteString("Trailer: X-Sum\r\n")
	}
	b.WriteString("\r\n")
	for len(body) > 0 {
		n := 1 + random.IntN(min(len(body), 20_000))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	b.WriteString("0\r\n")
	if trailer {
		b.WriteString("X-Sum: 12345\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// bodies serves what the path says.
func bodies() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/describe", describeBody)
	mux.HandleFunc("/close", closedEarly)
	mux.HandleFunc("/ignore", ignored)
	return mux
}

// Of all that is buffered a handler and a client see the same as without: whatever the size, however it is cut into pieces,
// and with another request behind it.
func TestBufferedBodiesAreLikeOthers(t *testing.T) {
	t.Parallel()
	sizes := []int{0, 1, 1000, bufferSize - 1, bufferSize, bufferSize + 1, 2*bufferSize + 7, 1 << 20}
	bare := listenLocal(t)
	server := &http.Server{Handler: bodies()}
	go server.Serve(bare)
	t.Cleanup(func() { server.Close() })
	for _, pool := range []string{"lease", "queue", "lanes"} {
		for _, protocol := range []string{"http", "https h1"} {
			t.Run(pool+" "+protocol, func(t *testing.T) {
				t.Parallel()
				change := []func(*setup){buffered, func(s *setup) { s.config.Pool, s.config.MaxBody = pool, 1<<20 }}
				var dialOne func() net.Conn
				if protocol == "http" {
					w := startWorker(t, bodies(), change...)
					dialOne = func() net.Conn { return dial(t, w.addr) }
				} else {
					w, _, c := startVeiled(t, protocol, bodies(), change...)
					dialOne = func() net.Conn { nc, _ := dialTLS(t, w, c); return nc }
				}
				random := rand.New(rand.NewPCG(1, 2))
				for _, path := range []string{"/describe", "/close", "/ignore"} {
					for _, size := range append(sizes, random.IntN(2*bufferSize), random.IntN(2*bufferSize)) {
						for kind := range 3 {
							text := post(path, pattern(size), kind > 0, kind > 1, random)
							text = append(text, "GET /describe HTTP/1.1\r\nHost: test\r\n\r\n"...)
							got, wanted := exchangeAll(t, dialOne(), text, random), exchangeAll(t, dial(t, bare.Addr().String()), text, random)
							if got != wanted {
								t.Errorf("%s, %d bytes, kind %d:\n%s\nwithout a worker:\n%s", path, size, kind, got, wanted)
							}
						}
					}
				}
			})
		}
	}
}

// exchangeAll sends a text in random pieces and returns all answers, without their dates, up to the one of the last GET or the end.
func exchangeAll(t *testing.T, nc net.Conn, text []byte, random *rand.Rand) string {
	t.Helper()
	defer nc.Close()
	var pieces [][]byte
	for rest := text; len(rest) > 0; {
		n := 1 + random.IntN(len(rest))
		pieces, rest = append(pieces, rest[:n]), rest[n:]
	}
	go func() {
		for _, p := range pieces {
			if _, err := nc.Write(p); err != nil {
				return
			}
		}
	}()
	in := bufio.NewReader(nc)
	var all strings.Builder
	for range 2 {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			fmt.Fprintf(&all, "end\n")
			return all.String()
		}
		body, err := io.ReadAll(r.Body)
		r.Header.Del("Date")
		fmt.Fprintf(&all, "%s %v close %v: %s %v\n", r.Status, r.Header, r.Close, body, err)
		if r.Close {
			break
		}
	}
	return all.String()
}

// A request without a body is not touched.
func TestNoBodyIsNoBody(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http", "https h1", "https h2", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			kinds := make(chan string, 10)
			handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { kinds <- fmt.Sprintf("%T", r.Body) })
			wanted := "http.noBody"
			base, c := "", http.DefaultClient
			if protocol == "http" {
				base = "http://" + startWorker(t, handler, buffered).addr
			} else {
				_, base, c = startVeiled(t, protocol, handler, buffered)
			}
			if veiledProtocols[protocol] == 2 {
				wanted = "*http.http2requestBody"
			}
			for _, method := range []string{"GET", "HEAD", "POST"} {
				r, _ := http.NewRequest(method, base, nil)
				if r.Method == "POST" {
					r.Body = http.NoBody
				}
				if _, err := c.Do(r); err != nil {
					t.Fatal(err)
				}
				kind := <-kinds
				if method == "POST" && veiledProtocols[protocol] == 2 { // declares a length of 0
					continue
				}
				want(t, "body of a "+method, kind, wanted)
			}
		})
	}
}

// refusals are bodies that no handler sees, with what is sent of them and the answer; 0: none.
var refusals = []struct {
	name, text string
	status     int
}{
	{"declared too large", "Content-Length: 100001\r\n\r\n", 413},
	{"declared too large, all sent", "Content-Length: 100001\r\n\r\n" + strings.Repeat("x", 100_001), 413},
	{"declared much too large, 1 MB sent", "Content-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1_000_000), 413},
	{"declared far too large, and awaited", "Content-Length: 100001\r\nExpect: 100-continue\r\n\r\n", 413},
	{"malformed chunk", "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\nzz\r\n", 400},
	{"chunk without an end of line", "Transfer-Encoding: chunked\r\n\r\n5\r\n12345678\r\n0\r\n\r\n", 400},
	{"cut off", "Content-Length: 10\r\n\r\n12345", 0},
	{"cut off at once", "Content-Length: 10\r\n\r\n", 0},
	{"chunk cut off", "Transfer-Encoding: chunked\r\n\r\n5\r\n123", 0},
}

func TestRefusedBodies(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http", "https h1"} {
		for _, test := range refusals {
			t.Run(protocol+" "+test.name, func(t *testing.T) {
				t.Parallel()
				handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
				w, nc := startFor(t, protocol, handler, func(s *setup) {
					s.config.MaxBody = 100_000
					s.config.BodyTimeout = 100 * time.Millisecond // net/http reads on for so long after it has answered
				})
				go func() {
					io.WriteString(nc, "POST / HTTP/1.1\r\nHost: test\r\n"+test.text)
					if test.status == 0 {
						nc.(interface{ CloseWrite() error }).CloseWrite()
					}
				}()
				checkRefusal(t, w, nc, test.status)
			})
		}
	}
}

// startFor is a worker with buffers, and a client of it.
func startFor(t *testing.T, protocol string, h http.Handler, change ...func(*setup)) (*testWorker, net.Conn) {
	t.Helper()
	change = append([]func(*setup){buffered}, change...)
	if protocol == "http" {
		w := startWorker(t, h, change...)
		return w, dial(t, w.addr).TCPConn
	}
	w, _, c := startVeiled(t, protocol, h, change...)
	nc, _ := dialTLS(t, w, c)
	return w, nc
}

// checkRefusal reads an answer, and the end after it; 0: only the end.
func checkRefusal(t *testing.T, w *testWorker, nc net.Conn, status int) {
	t.Helper()
	in := bufio.NewReader(nc)
	counted := [5]int64{}
	if status != 0 {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("no answer: %v", err)
		}
		if body, err := io.ReadAll(r.Body); err != nil || len(body) == 0 {
			t.Errorf("read %q, %v", body, err)
		}
		want(t, "status", r.StatusCode, status)
		want(t, "Connection: close", r.Close, true)
		counted[status/100-1] = 1
	}
	rest, _ := io.ReadAll(in)
	want(t, "what follows", string(rest), "")
	nc.Close()
	eventually(t, "the connection to be closed", func() bool { return w.Row.Accepted.Load() == 1 && w.Row.Open.Load() == 0 })
	want(t, "answers by class", w.answers(), counted)
	want(t, "requests that had a thread", count(&w.Row.Duration), 0)
	want(t, "panics", w.Row.Panics.Load(), 0)
}

// A body of unknown length that is too large is refused while it is buffered; a handler that reads on sees where it ends.
func TestTooLargeChunkedBody(t *testing.T) {
	t.Parallel()
	random := func() *rand.Rand { return rand.New(rand.NewPCG(3, 4)) } // one for each, as they run side by side
	for _, protocol := range []string{"http", "https h1"} {
		t.Run(protocol+" within the buffer", func(t *testing.T) {
			t.Parallel()
			w, nc := startFor(t, protocol, http.NotFoundHandler(), func(s *setup) { s.config.MaxBody = 10_000 })
			text := post("/", pattern(1_000_000), true, false, random())
			go nc.Write(text)
			checkRefusal(t, w, nc, http.StatusRequestEntityTooLarge)
		})
		t.Run(protocol+" beyond the buffer", func(t *testing.T) {
			t.Parallel()
			_, nc := startFor(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n, err := io.Copy(io.Discard, r.Body)
				var tooLarge *http.MaxBytesError
				if want(t, "bytes", n, 100_000); errors.As(err, &tooLarge) {
					w.WriteHeader(http.StatusRequestEntityTooLarge)
				}
			}), func(s *setup) { s.config.MaxBody = 100_000 })
			text := post("/", pattern(1_000_000), true, false, random())
			go nc.Write(text)
			r, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "status", r.StatusCode, http.StatusRequestEntityTooLarge)
			want(t, "Connection: close", r.Close, true)
		})
	}
	w := startWorker(t, http.HandlerFunc(describeBody), buffered, func(s *setup) { s.config.MaxBody = 10_000 })
	c := dial(t, w.addr)
	c.send(string(post("/", pattern(10_000), true, false, random())))
	want(t, "status of one that just fits", c.answer("POST").status, http.StatusOK)
}

// A client that asks first is answered when the handler reads, or refused without having been asked for its body.
func TestExpectedBodiesAreNotBuffered(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http", "https h1"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			_, nc := startFor(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/refuse" {
					w.WriteHeader(http.StatusForbidden)
					w.(http.Flusher).Flush()
					return
				}
				io.Copy(w, r.Body)
			}), func(s *setup) { s.config.MaxBody = 100_000 })
			in := bufio.NewReader(nc)
			for _, x := range []struct {
				path   string
				status []int
			}{{"/read", []int{100, 200}}, {"/refuse", []int{403}}} {
				io.WriteString(nc, "POST "+x.path+" HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
				for _, status := range x.status {
					r, err := http.ReadResponse(in, nil)
					if err != nil {
						t.Fatal(err)
					}
					want(t, "status", r.StatusCode, status)
					if status == 100 {
						io.WriteString(nc, "12345")
						continue
					}
					if body, err := io.ReadAll(r.Body); err != nil || status == 200 && string(body) != "12345" {
						t.Errorf("read %q, %v", body, err)
					}
				}
			}
		})
	}
}

// While a body arrives its request waits for nothing: what counts as waiting begins at the body's end.
func TestQueueWaitBeginsAtTheEndOfTheBody(t *testing.T) {
	t.Parallel()
	w := startWorker(t, http.HandlerFunc(describeBody), buffered)
	c := dial(t, w.addr)
	c.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12345")
	eventually(t, "the body to be awaited", func() bool { return w.countConns(func(c *conn) bool { return c.bodySince.Load() != 0 }) == 1 })
	begun := time.Now()
	passed(begun.Add(300 * time.Millisecond))
	c.send("67890")
	want(t, "status", c.answer("POST").status, http.StatusOK)
	var waits scoreboard.Counts
	w.Row.Wait.AddTo(&waits)
	if waited := time.Duration(waits.Sum); waited >= 300*time.Millisecond {
		t.Errorf("%v count as waiting", waited)
	}
}

// A handler learns that its client has left, after a body as without one.
func TestClientLeavesAfterABufferedBody(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http", "https h1"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			running, gone := make(chan struct{}), make(chan struct{})
			_, nc := startFor(t, protocol, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				close(running)
				<-r.Context().Done()
				close(gone)
			}))
			io.WriteString(nc, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n12345")
			await(t, "the handler", running)
			nc.Close()
			await(t, "the handler to learn of it", gone)
		})
	}
}

// A body that makes no progress is refused before it has a thread, on a connection and on a stream, which ends alone; a
// handler that reads beyond the buffer sees a timeout.
func TestBodyTimeout(t *testing.T) {
	t.Parallel()
	short := func(s *setup) { s.config.BodyTimeout = 300 * time.Millisecond }
	for _, protocol := range []string{"http", "https h1"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			w, nc := startFor(t, protocol, http.NotFoundHandler(), short)
			started := time.Now()
			io.WriteString(nc, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n12345")
			checkRefusal(t, w, nc, http.StatusRequestTimeout)
			if took := time.Since(started); took < 300*time.Millisecond || took > patience/2 {
				t.Errorf("refused after %v", took)
			}
		})
		t.Run(protocol+" beyond the buffer", func(t *testing.T) {
			t.Parallel()
			failed := make(chan error, 1)
			w, nc := startFor(t, protocol, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				failed <- err
			}), short)
			io.WriteString(nc, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", bufferSize+1))
			if err := await(t, "the handler", failed); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the handler saw %v", err)
			}
			io.ReadAll(nc)
			eventually(t, "the connection to be closed", func() bool { return w.Row.Open.Load() == 0 })
		})
		t.Run(protocol+" not read by the handler", func(t *testing.T) {
			t.Parallel()
			var returned atomic.Bool
			w, nc := startFor(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Write(make([]byte, 10_000)) // net/http reads the rest of the body first
				returned.Store(true)
			}), short)
			io.WriteString(nc, "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", bufferSize+1))
			io.ReadAll(nc)
			want(t, "handler returned", returned.Load(), true)
			eventually(t, "the connection to be closed", func() bool { return w.Row.Open.Load() == 0 })
		})
	}
	for _, protocol := range []string{"https h2", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			w, base, c := startVeiled(t, protocol, http.HandlerFunc(hello), buffered, short)
			body, feed := io.Pipe()
			defer feed.Close()
			go io.WriteString(feed, "12345")
			r, err := c.Post(base, "text/plain", body)
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
			want(t, "status", r.StatusCode, http.StatusRequestTimeout)
			if status, _, _, err := fetch(c, base); status != http.StatusOK {
				t.Errorf("another stream: %d, %v", status, err)
			}
			want(t, "connections that were needed", w.Row.Accepted.Load(), 1)
			want(t, "answers by class", w.answers(), [5]int64{0, 1, 0, 1, 0})
		})
	}
}

// A stream that its client resets before its body has arrived is neither handled nor answered.
func TestStreamIsResetWhileItsBodyArrives(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"https h2", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			w, base, c := startVeiled(t, protocol, http.HandlerFunc(hello), buffered)
			if status, _, _, err := fetch(c, base); status != http.StatusOK {
				t.Fatal(err)
			}
			for range 3 {
				body, feed := io.Pipe()
				done := make(chan error, 1)
				go func() { _, err := c.Post(base, "text/plain", body); done <- err }()
				io.WriteString(feed, "12345")
				feed.CloseWithError(errors.New("changed my mind"))
				if err := await(t, "the request", done); err == nil {
					t.Error("it was answered")
				}
			}
			if status, _, _, err := fetch(c, base); status != http.StatusOK {
				t.Fatal(err)
			}
			want(t, "answers by class", w.answers(), [5]int64{0, 2, 0, 0, 0})
			want(t, "requests that had a thread", count(&w.Row.Duration), 2)
		})
	}
}
