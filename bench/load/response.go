package load

import (
	"bytes"
	"errors"
	"fmt"
)

// maxLine is how long a line of a head may be.
const maxLine = 64 << 10

// response reads one answer of HTTP/1.0 or 1.1 (RFC 9112) in pieces of any size, and keeps nothing of it but what decides
// where it ends and what becomes of the connection. It takes a bare LF for a line's end, as the RFC allows. The zero value
// awaits the first byte.
type response struct {
	status   int
	part     part
	left     int64 // bytes of the body, or of a chunk
	length   int64 // of the body, where sized
	sized    bool  // a Content-Length came
	chunked  bool
	old      bool // HTTP/1.0
	closing  bool // the server announced that it closes the connection, or its version does so by default
	keeping  bool // the server said keep-alive
	interims int
	line     []byte // the beginning of a line that came in pieces; its space is used again
}

// part is what the next byte belongs to.
type part uint8

const (
	statusLine part = iota
	header
	sizedBody
	chunkSize
	chunk
	chunkEnd
	trailer
	untilEnd // of the connection
	whole
)

// reset makes ready for the next answer.
func (r *response) reset() { *r = response{line: r.line[:0]} }

// done is true when the last byte has come.
func (r *response) done() bool { return r.part == whole }

// closes is true for a whole answer after which the server closes the connection.
func (r *response) closes() bool { return r.closing || r.old && !r.keeping }

// end is told that the connection ended, and says whether the answer is whole.
func (r *response) end() bool {
	if r.part == untilEnd {
		r.part = whole
	}
	return r.done()
}

// feed takes bytes and says how many belong to this answer: fewer than given only if it is done. An error means that this
// is not HTTP; nothing more may be fed then.
func (r *response) feed(b []byte) (used int, err error) {
	for used < len(b) && r.part != whole {
		switch r.part {
		case untilEnd:
			return len(b), nil
		case sizedBody, chunk:
			n := min(r.left, int64(len(b)-used))
			used += int(n)
			if r.left -= n; r.left > 0 {
				return used, nil
			}
			if r.part == sizedBody {
				r.part = whole
			} else {
				r.part = chunkEnd
			}
		default:
			n, err := r.feedLine(b[used:])
			if err != nil {
				return used, err
			}
			used += n
		}
	}
	return used, nil
}

// feedLine takes a line, or the piece of it that is there.
func (r *response) feedLine(b []byte) (used int, err error) {
	n := bytes.IndexByte(b, '\n')
	if n < 0 {
		if len(r.line)+len(b) > maxLine {
			return 0, fmt.Errorf("a line of more than %d bytes", maxLine)
		}
		r.line = append(r.line, b...)
		return len(b), nil
	}
	line := b[:n]
	if len(r.line) > 0 {
		r.line = append(r.line, line...)
		line, r.line = r.line, r.line[:0]
	}
	if len(line) > 0 && line[len(line)-1] == '\r' {
		line = line[:len(line)-1]
	}
	return n + 1, r.take(line)
}

// take is told a whole line.
func (r *response) take(line []byte) error {
	switch r.part {
	case statusLine:
		return r.takeStatus(line)
	case header:
		if len(line) == 0 {
			return r.headEnds()
		}
		return r.takeField(line)
	case chunkSize:
		return r.takeSize(line)
	case chunkEnd:
		if len(line) > 0 {
			return fmt.Errorf("%.40q after the end of a chunk", line)
		}
		r.part = chunkSize
	case trailer:
		if len(line) == 0 {
			r.part = whole
		}
	}
	return nil
}

// takeStatus reads a line such as HTTP/1.1 200 OK.
func (r *response) takeStatus(line []byte) error {
	const from = len("HTTP/1.1 ")
	if len(line) < from+3 || string(line[:7]) != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' ||
		len(line) > from+3 && line[from+3] != ' ' {
		return fmt.Errorf("%.40q is not the first line of an answer of HTTP/1", line)
	}
	status, ok := number(line[from:from+3], 10)
	if !ok || status < 100 {
		return fmt.Errorf("%.40q has no status", line)
	}
	r.status, r.old, r.part = int(status), line[7] == '0', header
	return nil
}

// takeField reads a line such as Content-Length: 5.
func (r *response) takeField(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	if colon < 1 || line[0] == ' ' || line[0] == '\t' || line[colon-1] == ' ' || line[colon-1] == '\t' {
		return fmt.Errorf("%.40q is not a field of a head", line)
	}
	name, value := line[:colon], line[colon+1:]
	switch len(name) { // nearly all names are passed over by their length
	case len("Connection"):
		if bytes.EqualFold(name, []byte("Connection")) {
			r.takeConnection(value)
		}
	case len("Content-Length"):
		if bytes.EqualFold(name, []byte("Content-Length")) {
			length, ok := number(bytes.Trim(value, " \t"), 10)
			if !ok || r.sized && r.length != length {
				return fmt.Errorf("%.40q is no length of a body, or a second one", line)
			}
			r.sized, r.length = true, length
		}
	case len("Transfer-Encoding"):
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) && !r.old {
			if r.chunked || !bytes.EqualFold(bytes.Trim(value, " \t"), []byte("chunked")) {
				return fmt.Errorf("%.60q was not asked for", line)
			}
			r.chunked = true
		}
	}
	return nil
}

func (r *response) takeConnection(value []byte) {
	for more := true; more; {
		var word []byte
		word, value, more = bytes.Cut(value, []byte(","))
		word = bytes.Trim(word, " \t")
		r.closing = r.closing || bytes.EqualFold(word, []byte("close"))
		r.keeping = r.keeping || bytes.EqualFold(word, []byte("keep-alive"))
	}
}

// headEnds decides how the body is delimited (RFC 9112, section 6.3).
func (r *response) headEnds() error {
	switch {
	case r.status == 101:
		return errors.New("switching protocols, which nobody asked for")
	case r.status < 200: // interim, such as 103 Early Hints: the answer is still to come
		if r.interims++; r.interims > maxInterims {
			return fmt.Errorf("more than %d interim answers", maxInterims)
		}
		*r = response{line: r.line, interims: r.interims}
	case r.status == 204 || r.status == 304:
		r.part = whole
	case r.chunked:
		r.part = chunkSize
	case !r.sized:
		r.part, r.closing = untilEnd, true
	case r.length == 0:
		r.part = whole
	default:
		r.part, r.left = sizedBody, r.length
	}
	return nil
}

const maxInterims = 100

// takeSize reads a line such as 1f or 1f;name=value.
func (r *response) takeSize(line []byte) error {
	digits, _, _ := bytes.Cut(line, []byte(";"))
	size, ok := number(bytes.TrimRight(digits, " \t"), 16)
	if !ok {
		return fmt.Errorf("%.40q is no size of a chunk", line)
	}
	if r.part, r.left = chunk, size; size == 0 {
		r.part = trailer
	}
	return nil
}

// number reads digits only, and not more than an int64 certainly has room for.
func number(digits []byte, base int64) (n int64, ok bool) {
	if len(digits) == 0 || len(digits) > 15 {
		return 0, false
	}
	for _, c := range digits {
		digit := int64(99)
		switch {
		case c >= '0' && c <= '9':
			digit = int64(c - '0')
		case c >= 'a' && c <= 'f':
			digit = int64(c-'a') + 10
		case c >= 'A' && c <= 'F':
			digit = int64(c-'A') + 10
		}
		if digit >= base {
			return 0, false
		}
		n = n*base + digit
	}
	return n, true
}
