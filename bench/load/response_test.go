package load

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

var responses = []struct {
	name   string
	text   string
	status int
	rest   string // bytes that do not belong to the answer
	closes bool
	err    string
	open   bool // not whole
}{
	{name: "sized", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", status: 200},
	{name: "surplus", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP", status: 200, rest: "HTTP"},
	{name: "nothing", text: "", open: true},
	{name: "half a line", text: "HTTP/1.1 2", open: true},
	{name: "half a head", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", status: 200, open: true},
	{name: "half a body", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", status: 200, open: true},
	{name: "empty body", text: "HTTP/1.1 500 Internal Server Error\r\ncontent-length:0\r\n\r\n", status: 500},
	{name: "no reason", text: "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", status: 404},
	{name: "bare line feeds", text: "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", status: 200},
	{name: "204", text: "HTTP/1.1 204 No Content\r\n\r\nx", status: 204, rest: "x"},
	{name: "304 has the length of what it does not send", text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", status: 304},
	{
		name: "interim", text: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nContent-Length: 9\r\n\r\n" +
			"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
		status: 200,
	},
	{name: "endless interims", text: strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 101), status: 102, err: "more than 100 interim"},
	{name: "101", text: "HTTP/1.1 101 Switching Protocols\r\n\r\n", status: 101, err: "switching"},
	{name: "close", text: "HTTP/1.1 200 OK\r\nConnection: x , CLOSE\r\nContent-Length: 0\r\n\r\n", status: 200, closes: true},
	{name: "HTTP/1.0", text: "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", status: 200, closes: true},
	{name: "HTTP/1.0 keep-alive", text: "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", status: 200},
	{name: "until the end", text: "HTTP/1.1 200 OK\r\n\r\nanything", status: 200, closes: true, open: true},
	{
		name: "chunks", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n1F ;x=y\r\n" + strings.Repeat("a", 31) + "\r\n0\r\n\r\n",
		status: 200,
	},
	{name: "trailer", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\nrest", status: 200, rest: "rest"},
	{name: "chunked and sized", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n0\r\n\r\n", status: 200},
	{name: "half a chunk", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", status: 200, open: true},
	{name: "bad chunk", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", status: 200, err: "no size of a chunk"},
	{name: "no chunk", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", status: 200, err: "no size of a chunk"},
	{name: "endless chunk", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", status: 200, err: "no size of a chunk"},
	{name: "chunk too long", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", status: 200, err: "after the end of a chunk"},
	{name: "other encoding", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", status: 200, err: "was not asked for"},
	{name: "the same length twice", text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", status: 200},
	{name: "two lengths", text: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", status: 200, err: "no length"},
	{name: "negative length", text: "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", status: 200, err: "no length"},
	{name: "no HTTP", text: "220 mail.example ESMTP\r\n", err: "not the first line"},
	{name: "HTTP/2", text: "HTTP/2.0 200 OK\r\n", err: "not the first line"},
	{name: "no status", text: "HTTP/1.1 abc OK\r\n", err: "no status"},
	{name: "small status", text: "HTTP/1.1 042 OK\r\n", err: "no status"},
	{name: "long status", text: "HTTP/1.1 2000 OK\r\n", err: "not the first line"},
	{name: "no field", text: "HTTP/1.1 200 OK\r\nnonsense\r\n", status: 200, err: "not a field"},
	{name: "folded field", text: "HTTP/1.1 200 OK\r\nX: y\r\n z: w\r\n", status: 200, err: "not a field"},
	{name: "space before the colon", text: "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n", status: 200, err: "not a field"},
	{name: "endless line", text: "HTTP/1.1 200 " + strings.Repeat("x", maxLine), err: "a line of more than"},
}

// feedAll gives text to a new response in pieces of n bytes, and returns what did not belong to it.
func feedAll(text string, n int) (r response, rest string, err error) {
	for at := 0; at < len(text); {
		used, err := r.feed([]byte(text[at:min(at+n, len(text))]))
		if at += used; err != nil || r.done() {
			return r, text[at:], err
		}
	}
	return r, "", nil
}

func TestResponse(t *testing.T) {
	t.Parallel()
	for _, test := range responses {
		for _, piece := range []int{1, 2, 7, 1 << 20} {
			if test.name == "endless line" && piece == 1<<20 {
				piece = 1 << 15
			}
			r, rest, err := feedAll(test.text, piece)
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s, in pieces of %d: error %v, want %q", test.name, piece, err, test.err)
				continue
			}
			if r.status != test.status || err == nil && (r.done() == test.open || rest != test.rest || r.closes() != test.closes) {
				t.Errorf("%s, in pieces of %d: status %d, done %v, rest %q, closes %v", test.name, piece, r.status, r.done(), rest, r.closes())
			}
			ends := r.end()
			if want := err == nil && !test.open || test.name == "until the end"; err == nil && ends != want {
				t.Errorf("%s, in pieces of %d: whole at the end of the connection: %v, want %v", test.name, piece, ends, want)
			}
			// The next answer on the connection knows nothing of this one.
			r.reset()
			if _, err := r.feed([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")); err != nil || !r.done() || r.closes() {
				t.Errorf("%s, in pieces of %d: the next one: %+v, %v", test.name, piece, r, err)
			}
		}
	}
}

func TestResponseAllocates(t *testing.T) {
	answers := [][]byte{
		[]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: x\r\nConnection: keep-alive\r\n\r\nhi"),
		[]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
	}
	r := response{line: make([]byte, 0, 64)}
	if n := testing.AllocsPerRun(100, func() {
		for _, answer := range answers {
			r.reset()
			for _, piece := range [][]byte{answer[:20], answer[20:]} {
				if _, err := r.feed(piece); err != nil {
					t.Error(err)
				}
			}
		}
	}); n > 0 {
		t.Errorf("%.1f allocations for each answer", n)
	}
}

// However an answer is cut into pieces, it comes out the same; and where net/http can read it too, it is as long.
func FuzzResponse(f *testing.F) {
	for _, test := range responses {
		if len(test.text) < 1000 {
			f.Add(test.text, 3)
		}
	}
	f.Fuzz(func(t *testing.T, text string, piece int) {
		r, rest, err := feedAll(text, len(text)+1)
		again, restAgain, errAgain := feedAll(text, 1+(piece&0xff))
		if (err == nil) != (errAgain == nil) || err == nil && (rest != restAgain || r.done() != again.done() || r.closes() != again.closes()) ||
			r.status != again.status {
			t.Fatalf("whole: %+v, %q, %v\nin pieces: %+v, %q, %v", r, rest, err, again, restAgain, errAgain)
		}
		if err != nil || !r.done() || len(rest) > len(text) {
			return
		}
		in := bytes.NewReader([]byte(text))
		buffered := bufio.NewReader(in)
		for {
			response, err := http.ReadResponse(buffered, nil)
			if err != nil {
				return
			}
			if response.StatusCode < 200 {
				continue
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				return
			}
			if got := in.Len() + buffered.Buffered(); got != len(rest) || response.StatusCode != r.status || response.Close != r.closes() {
				t.Fatalf("net/http leaves %d bytes, not %d; status %d, close %v: %+v", got, len(rest), response.StatusCode, response.Close, r)
			}
			return
		}
	})
}
