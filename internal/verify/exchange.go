package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// request is one of HTTP/1.
type request struct {
	Ask
	body   []byte // nil: a GET
	chunk  int    // bytes of a chunk of the body; 0: it has a Content-Length
	old    bool   // HTTP/1.0
	option string // of the header Connection; empty: no such header
	expect bool   // the body waits for 100 Continue
	slowly bool   // the answer is read in small pieces, with pauses
}

// kinds are what is split at every place: each of a length that never changes.
var kinds = []struct {
	name string
	make func(q *request)
}{
	{"GET", func(*request) {}},
	{"POST", func(q *request) { q.body = Pattern(q.ID, 24) }},
	{"chunked POST", func(q *request) { q.body, q.chunk = Pattern(q.ID, 24), 10 }},
}

// places are those at which requests of one kind have been split.
type places struct{ used, all atomic.Int64 }

// next is the number of bytes before the next place in a request of so many.
func (p *places) next(length int) int {
	p.all.Store(int64(length - 1))
	return 1 + int((p.used.Add(1)-1)%int64(length-1))
}

func (p *places) tell() Splits {
	return Splits{Seen: int(min(p.used.Load(), p.all.Load())), Places: int(p.all.Load())}
}

// ask is the next request on a connection.
func (c *client) ask(k *conn) *request {
	k.asked++
	return &request{Ask: Ask{ID: c.id(k), Answer: 64}}
}

func (q *request) method() string {
	if q.body == nil {
		return http.MethodGet
	}
	return http.MethodPost
}

func (q *request) due() []byte {
	if q.body == nil {
		return Pattern(q.ID, q.Answer)
	}
	return q.body
}

func (q *request) head(host string) []byte {
	minor := 1
	if q.old {
		minor = 0
	}
	b := fmt.Appendf(nil, "%s %s HTTP/1.%d\r\nHost: %s\r\n", q.method(), q.Path(), minor, host)
	switch {
	case q.body == nil:
	case q.chunk > 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	default:
		b = fmt.Appendf(b, "Content-Length: %d\r\n", len(q.body))
	}
	if q.option != "" {
		b = append(b, "Connection: "+q.option+"\r\n"...)
	}
	if q.expect {
		b = append(b, "Expect: 100-continue\r\n"...)
	}
	return append(b, "\r\n"...)
}

// coded is the body as it is sent.
func (q *request) coded() []byte {
	if q.chunk == 0 {
		return q.body
	}
	var b []byte
	for chunk := range slices.Chunk(q.body, q.chunk) {
		b = fmt.Appendf(b, "%x\r\n%s\r\n", len(chunk), chunk)
	}
	return append(b, "0\r\n\r\n"...)
}

// exchange writes a batch of requests in one go, or with a pause at each cut, and reads the answers. It says whether the
// connection can be used again; else it is closed.
func (c *client) exchange(k *conn, doing string, batch []*request, cuts ...int) (open bool) {
	began := time.Now()
	_ = k.SetDeadline(began.Add(c.Timeout)) // fails only on a closed connection, which writing will tell
	fault := func(q *request, fate Fate, err error) Fault {
		return Fault{Fate: fate, ID: q.ID, Doing: doing, Lasted: time.Since(began), Err: err}
	}
	var text []byte
	for _, q := range batch {
		text = append(text, q.head(c.Addr)...)
		if !q.expect {
			text = append(text, q.coded()...)
		}
	}
	// An error behind the first byte shows in the answers: the server may have announced the end of the connection in one.
	if n, err := c.write(k, text, cuts); err != nil && n == 0 && batch[0].ID != c.first(k) {
		c.note(k, fault(batch[0], ClosedIdle, err))
		_ = k.Close()
		return false
	}
	for i, q := range batch {
		fate, closing, err := c.answer(k, q)
		c.note(k, fault(q, fate, err))
		rest := batch[i+1:]
		switch {
		case fate != Right && fate != Unavailable:
			for _, lost := range rest {
				c.note(k, fault(lost, Unanswered, errors.New("behind an answer that failed")))
			}
			_ = k.Close()
			return false
		case closing:
			if q.option != "close" && !q.old {
				c.note(k, fault(q, Closing, errors.New("the answer says Connection: close")))
			}
			for _, lost := range rest {
				c.note(k, fault(lost, Dismissed, errors.New("behind an answer that says Connection: close")))
			}
			if len(rest) > 0 { // the server may have reset what it was not going to read
				_ = k.Close()
				return false
			}
			c.untilEnd(k, doing)
			return false
		}
	}
	return true
}

// first is the id of the first request on a connection.
func (c *client) first(k *conn) string { return fmt.Sprintf("%04x-%06x-%06x", c.number, k.number, 1) }

// write writes text, with pauses at the cuts, which are offsets in rising order.
func (c *client) write(k *conn, text []byte, cuts []int) (written int, err error) {
	for _, cut := range append(cuts, len(text)) {
		if written > 0 {
			time.Sleep(c.between(300*time.Microsecond, 2*time.Millisecond))
		}
		n, err := k.Write(text[written:cut])
		if written += n; err != nil {
			return written, err
		}
	}
	return written, nil
}

// answer reads the answer to a request and compares it with what is due. closing says that it is the connection's last.
func (c *client) answer(k *conn, q *request) (fate Fate, closing bool, err error) {
	k.got, k.err = int64(k.in.Buffered()), nil
	res, err := k.head(q.method())
	if err == nil && q.expect && res.StatusCode == http.StatusContinue {
		if _, err := k.Write(q.coded()); err != nil {
			return unwritten(err), false, err
		}
		res, err = k.head(q.method())
	} else if err == nil && q.expect && res.StatusCode == http.StatusOK {
		return Wrong, false, errors.New("answered before it was asked to continue")
	}
	if err != nil {
		fate, err := k.failed(err)
		return fate, false, err
	}
	due := q.due()
	var from io.Reader = io.LimitReader(res.Body, int64(len(due))+1)
	if q.slowly {
		from = &slowReader{from: from, c: c}
	}
	body, err := io.ReadAll(from)
	_ = res.Body.Close()
	if err != nil && bytes.HasPrefix(due, body) { // else it was wrong before it ended
		fate, err := k.failed(err)
		return fate, false, err
	}
	closing = res.Close || q.option == "close" || q.old && !strings.EqualFold(res.Header.Get("Connection"), "keep-alive")
	if fate, err := c.compare(res, body, q); err != nil {
		return fate, closing, err
	}
	c.hear(k, res)
	return Right, closing, nil
}

// hear notes who has answered.
func (c *client) hear(k *conn, res *http.Response) {
	pid, _ := strconv.Atoi(res.Header.Get(HeaderPID)) // compared before
	if k.pid != 0 && k.pid != pid {
		c.report.Moved++
	}
	k.pid = pid
}

// compare finds what is wrong with an answer.
func (c *client) compare(res *http.Response, body []byte, q *request) (Fate, error) {
	due := q.due()
	switch {
	case res.StatusCode >= 500:
		return Unavailable, fmt.Errorf("%s: %.100q", res.Status, body)
	case res.StatusCode != http.StatusOK:
		return Wrong, fmt.Errorf("%s: %.100q", res.Status, body)
	}
	if fate, err := c.compareID(res, q.ID); err != nil {
		return fate, err
	}
	sum := sha256.Sum256(q.body)
	chunked := len(res.TransferEncoding) > 0
	switch {
	case res.Header.Get(HeaderSum) != hex.EncodeToString(sum[:]):
		return Wrong, fmt.Errorf("the server saw a body with the sum %q instead of %x", res.Header.Get(HeaderSum), sum)
	case res.ProtoMajor == 1 && chunked != q.Stream, !q.Stream && res.ContentLength != int64(len(due)):
		return Wrong, fmt.Errorf("Content-Length %d, Transfer-Encoding %q, asked for %d bytes (stream: %v)", res.ContentLength, res.TransferEncoding, len(due), q.Stream)
	case !bytes.Equal(body, due):
		at := 0
		for at < min(len(body), len(due)) && body[at] == due[at] {
			at++
		}
		return Wrong, fmt.Errorf("the body of %d bytes instead of %d differs from byte %d on: %.64q", len(body), len(due), at, body[at:])
	}
	return Right, nil
}

// compareID finds whether an answer is another request's, of this client or a different one, and whether it is signed.
func (c *client) compareID(res *http.Response, id string) (Fate, error) {
	got := res.Header.Get(HeaderID)
	pid, pidErr := strconv.Atoi(res.Header.Get(HeaderPID))
	slot, slotErr := strconv.Atoi(res.Header.Get(HeaderSlot))
	switch {
	case len(got) == len(id) && got[:4] != id[:4]:
		return Foreign, fmt.Errorf("the answer to request %s of another client", got)
	case got != id:
		return Wrong, fmt.Errorf("the answer to request %q", got)
	case pidErr != nil || slotErr != nil || pid <= 0 || slot < 0:
		return Wrong, fmt.Errorf("answered by pid %q, slot %q", res.Header.Get(HeaderPID), res.Header.Get(HeaderSlot))
	}
	return Right, nil
}

// slowReader reads little at a time, and rests.
type slowReader struct {
	from io.Reader
	c    *client
}

func (s *slowReader) Read(p []byte) (int, error) {
	time.Sleep(s.c.between(time.Millisecond, 4*time.Millisecond))
	return s.from.Read(p[:min(len(p), 1+s.c.dice.IntN(16<<10))])
}
