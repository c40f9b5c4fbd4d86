package worker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// drip serves a client that does not read, and returns how it is doing.
func drip(t *testing.T, h http.HandlerFunc, change ...func(*setup)) (w *testWorker, c *client, returned chan struct{}) {
	t.Helper()
	returned = make(chan struct{}, 10)
	w = startWorker(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { returned <- struct{}{} }()
		h(w, r)
	}), append([]func(*setup){buffered, tight(t)}, change...)...)
	return w, dialTight(t, w.addr), returned
}

// fixed writes a response of a declared length in one piece: net/http has nothing left to write when the handler returns.
func fixed(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		w.Write(data)
	}
}

const request = "GET / HTTP/1.1\r\nHost: test\r\n\r\n"

// Whatever a handler writes, and however, arrives whole and in order at a client that is slow to read it.
func TestBufferedResponsesArriveWhole(t *testing.T) {
	t.Parallel()
	data := pattern(300 << 10)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	// The path is /seed/size. The seed decides on everything.
	handler := func(w http.ResponseWriter, r *http.Request) {
		var seed, size int
		fmt.Sscanf(r.URL.Path, "/%d/%d", &seed, &size)
		random := rand.New(rand.NewPCG(uint64(seed), 1))
		if random.IntN(2) == 0 {
			w.Header().Set("Content-Length", strconv.Itoa(size))
		}
		for at := 0; at < size; {
			n := min(size-at, 1+random.IntN(1<<(1+random.IntN(17))))
			part := data[at : at+n]
			at += n
			switch random.IntN(5) {
			case 0:
				w.Write(part)
				w.(http.Flusher).Flush()
			case 1:
				io.Copy(w, struct{ io.Reader }{bytes.NewReader(part)})
			case 2:
				f, err := os.Open(name)
				if err != nil {
					t.Error(err)
					return
				}
				f.Seek(int64(at-n), io.SeekStart)
				io.CopyN(w, f, int64(n))
				f.Close()
			default:
				w.Write(part)
			}
		}
	}
	for _, pool := range []string{"lease", "queue"} {
		t.Run(pool, func(t *testing.T) {
			t.Parallel()
			w := startWorker(t, http.HandlerFunc(handler), buffered, tight(t), func(s *setup) { s.config.Pool = pool })
			var wg sync.WaitGroup
			for i := range 8 {
				c := dialTight(t, w.addr)
				if i%2 == 0 {
					c = dial(t, w.addr)
				}
				wg.Go(func() {
					for j := range 8 {
						size := 1 + rand.New(rand.NewPCG(uint64(i), uint64(j))).IntN(len(data))
						if a := c.get(fmt.Sprintf("/%d/%d", 100*i+j, size)); !bytes.Equal([]byte(a.body), data[:size]) {
							t.Errorf("client %d, response %d: %d bytes arrived, not those %d", i, j, len(a.body), size)
						}
					}
				})
			}
			done := make(chan struct{})
			go func() { wg.Wait(); close(done) }()
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for running := true; running; {
				select {
				case <-done:
					running = false
				case <-tick.C:
					if w.countConns(func(c *conn) bool { return c.bufferedBytes() > bufferSize }) > 0 {
						t.Error("more than the limit is buffered")
					}
				}
			}
			eventually(t, "the threads to be free", func() bool { return w.board.Busy(0) == 0 })
		})
	}
}

// What does not fit holds the thread, until all but the buffer has been taken.
func TestResponseBeyondTheBufferHoldsTheThread(t *testing.T) {
	t.Parallel()
	const size = 4 * bufferSize
	data := pattern(size)
	for name, handler := range map[string]http.HandlerFunc{
		"one write": fixed(data),
		"small writes": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(size))
			for at := 0; at < size; at += 4 << 10 {
				w.Write(data[at : at+4<<10])
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, c, returned := drip(t, handler)
			c.send(request)
			eventually(t, "the thread to be taken", func() bool { return w.board.Busy(0) == 1 })
			// Reads as little as is needed for the rest to fit: what the kernel keeps is less than 20 KiB.
			var got bytes.Buffer
			if _, err := io.CopyN(&got, c, size-bufferSize-40<<10); err != nil {
				t.Fatal(err)
			}
			want(t, "handlers that have returned too early", len(returned), 0)
			if _, err := io.CopyN(&got, c, 40<<10+2*overflowPiece); err != nil {
				t.Fatal(err)
			}
			await(t, "the handler", returned)
			eventually(t, "the thread to be free", func() bool { return w.board.Busy(0) == 0 })
			if w.only(t).bufferedBytes() == 0 {
				t.Error("nothing is buffered when the handler has returned")
			}
			c.in.Reset(io.MultiReader(&got, c))
			wantSame(t, []byte(c.answer("GET").body), data)
		})
	}
}

// A client that never reads is given up after the write timeout, and what it did not read is followed by nothing.
func TestBufferedResponseThatIsNeverRead(t *testing.T) {
	t.Parallel()
	data := pattern(60 << 10)
	w, c, returned := drip(t, fixed(data), func(s *setup) { s.config.WriteTimeout = 300 * time.Millisecond })
	c.send(request)
	await(t, "the handler", returned)
	eventually(t, "the connection to be closed", func() bool { return w.Row.Open.Load() == 0 })
	all, _ := io.ReadAll(c)
	if len(all) >= len(data) || bytes.Count(all, []byte("HTTP/1.1 ")) != 1 {
		t.Errorf("the client read %d bytes, with %d answers", len(all), bytes.Count(all, []byte("HTTP/1.1 ")))
	}
	want(t, "threads held", w.board.Busy(0), 0)
}

func TestClientResetsWhileItsResponseIsBuffered(t *testing.T) {
	t.Parallel()
	w, c, returned := drip(t, fixed(pattern(60<<10)))
	c.send(request)
	await(t, "the handler", returned)
	c.SetLinger(0)
	c.Close()
	eventually(t, "the connection to be closed", func() bool { return w.Row.Open.Load() == 0 })
	want(t, "body of another's answer", len(dial(t, w.addr).get("/").body), 60<<10)
}

// What a handler has written before it hangs up or panics arrives, and then the end.
func TestHandlerHangsUpAfterABufferedResponse(t *testing.T) {
	t.Parallel()
	data := pattern(50 << 10)
	for name, reason := range map[string]any{"abort": http.ErrAbortHandler, "panic": "no reason"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, c, returned := drip(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100000")
				w.Write(data)
				panic(reason)
			})
			c.send(request)
			await(t, "the handler", returned)
			eventually(t, "the thread to be free", func() bool { return w.board.Busy(0) == 0 })
			all, err := io.ReadAll(c)
			if err != nil || !bytes.HasSuffix(all, data) {
				t.Errorf("the client read %d bytes, %v", len(all), err)
			}
			eventually(t, "the connection to be closed", func() bool { return w.Row.Open.Load() == 0 })
		})
	}
}

// A 500 that takes the place of an answer arrives after what the client has not read of the one before.
func TestPanicBehindABufferedResponse(t *testing.T) {
	t.Parallel()
	data := pattern(50 << 10)
	w, c, returned := drip(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("no reason")
		}
		fixed(data)(w, r)
	})
	c.send(request + "POST /panic HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n12345")
	await(t, "the first handler", returned)
	wantSame(t, []byte(c.answer("GET").body), data)
	want(t, "status", c.answer("POST").status, http.StatusInternalServerError)
	c.wantEOF()
	want(t, "panics", w.Row.Panics.Load(), 1)
}

// Pipelined answers follow each other in order, however slowly they are read.
func TestPipelinedBufferedResponses(t *testing.T) {
	t.Parallel()
	data := pattern(60 << 10)
	w, c, _ := drip(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Path[1:])
		fixed(data[n<<10:])(w, r)
	})
	for i := range 8 {
		c.send(fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: test\r\n\r\n", i))
	}
	for i := range 8 {
		wantSame(t, []byte(c.answer("GET").body), data[i<<10:])
	}
	want(t, "answers", w.Row.Total(), 8)
	c.send("GET /1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
	wantSame(t, []byte(c.answer("GET").body), data[1<<10:])
	c.wantEOF()
}

// Who hijacks gets the connection when the client has taken what was buffered, and meanwhile holds no thread.
func TestHijackAfterABufferedResponse(t *testing.T) {
	t.Parallel()
	data := pattern(50 << 10)
	for _, protocol := range []string{"http", "https h1"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			hijacks := make(chan struct{})
			handler := func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(len(data)))
				w.Write(data)
				close(hijacks)
				nc, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer nc.Close()
				io.WriteString(nc, "and more")
			}
			w, nc := startTight(t, protocol, handler)
			io.WriteString(nc, request)
			await(t, "the handler", hijacks)
			eventually(t, "the thread to be free", func() bool { return w.board.Busy(0) == 0 })
			want(t, "bytes that are not buffered", w.only(t).bufferedBytes() > 0, true)
			all, err := io.ReadAll(nc)
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasSuffix(all, append(bytes.Clone(data), "and more"...)) {
				t.Errorf("the client read %d bytes, %v", len(all), err)
			}
		})
	}
}

// startTight serves one client, which reads slowly, in clear text or over TLS.
func startTight(t *testing.T, protocol string, h http.HandlerFunc, change ...func(*setup)) (*testWorker, net.Conn) {
	t.Helper()
	change = append([]func(*setup){buffered, tight(t)}, change...)
	if protocol == "http" {
		w := startWorker(t, h, change...)
		return w, dialTight(t, w.addr)
	}
	w, _, c := startVeiled(t, protocol, h, change...)
	return w, overTLS(t, dialTight(t, w.addr), c)
}

// A response that is buffered when the worker drains arrives.
func TestDrainWaitsForABufferedResponse(t *testing.T) {
	t.Parallel()
	data := pattern(60 << 10)
	for _, protocol := range []string{"http", "https h1"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			returned := make(chan struct{}, 1)
			w, nc := startTight(t, protocol, func(w http.ResponseWriter, r *http.Request) {
				fixed(data)(w, r)
				returned <- struct{}{}
			})
			io.WriteString(nc, "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
			await(t, "the handler", returned)
			eventually(t, "the thread to be free", func() bool { return w.board.Busy(0) == 0 })
			w.drain(t, order{})
			w.age(time.Hour)
			want(t, "open", w.openConnections(), 1)
			all, err := io.ReadAll(nc)
			if err != nil || !bytes.HasSuffix(all, data) {
				t.Errorf("the client read %d bytes, %v", len(all), err)
			}
			w.wantResult(t)
		})
	}
}

// What a handler flushes goes out at once: nothing waits for the handler to return or the buffer to fill.
func TestFlushIsNotDelayed(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http", "https h1", "https h2", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			next := make(chan struct{})
			handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for range 5 {
					io.WriteString(w, "data\n")
					w.(http.Flusher).Flush()
					<-next
				}
			})
			base, c := "", http.DefaultClient
			if protocol == "http" {
				base = "http://" + startWorker(t, handler, buffered).addr
			} else {
				_, base, c = startVeiled(t, protocol, handler, buffered)
			}
			r, err := c.Get(base)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			p := make([]byte, len("data\n"))
			for range 5 {
				if _, err := io.ReadFull(r.Body, p); err != nil || string(p) != "data\n" {
					t.Fatalf("read %q, %v", p, err)
				}
				next <- struct{}{}
			}
		})
	}
}

// What the kernel could copy holds no thread either, if it fits. What does not is copied by the kernel.
func TestCopiedResponses(t *testing.T) {
	t.Parallel()
	data := pattern(60 << 10)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, copied := range map[string]func(w http.ResponseWriter, r *http.Request){
		"served file": func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) },
		"file": func(w http.ResponseWriter, _ *http.Request) {
			f, err := os.Open(name)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			io.Copy(w, f)
		},
		"reader": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			io.Copy(w, struct{ io.Reader }{bytes.NewReader(data)})
		},
		"limited reader": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			io.CopyN(w, struct{ io.Reader }{bytes.NewReader(data)}, int64(len(data)))
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w, c, returned := drip(t, copied)
			c.send(request)
			await(t, "the handler", returned)
			eventually(t, "the thread to be free", func() bool { return w.board.Busy(0) == 0 })
			wantSame(t, []byte(c.answer("GET").body), data)
		})
	}
}

func TestLargeFilesAreSentByTheKernelWithBuffers(t *testing.T) {
	t.Parallel()
	data := pattern(3 << 20)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	w, l := startSpying(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/served") {
			http.ServeFile(w, r, name)
			return
		}
		f, err := os.Open(name)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		io.Copy(w, f)
	}), buffered)
	for _, path := range []string{"/served", "/copied"} {
		c := dial(t, w.addr)
		wantSame(t, []byte(c.get(path).body), data)
		s := await(t, "accept", l.accepted)
		s.note(func() {
			if s.copied < int64(len(data))-4096 {
				t.Errorf("%s: the kernel copied %d of %d bytes", path, s.copied, len(data))
			}
		})
	}
}
