package engine

import "bytes"

var (
	endOfHead    = []byte("\r\n\r\n")
	chunkedField = []byte("\r\nTransfer-Encoding: chunked\r\n") // as net/http writes it
)

// Meter finds out how much of an HTTP/1 answer is its body, as it passes in pieces of any size: neither its head, nor what
// chunks are wrapped in. The zero value awaits an answer.
type Meter struct {
	head    []byte // of which the end has not passed
	body    bool   // the head has
	chunked bool
	size    int64 // as far as it is read, of the next chunk
	left    int64 // of this one, and the line's end behind it
	ended   bool  // the last one has passed
}

// Body is how many bytes of the next piece are the body's.
func (m *Meter) Body(p []byte) int64 {
	if !m.body {
		if m.head != nil {
			m.head = append(m.head, p...)
			p = m.head
		}
		end := bytes.Index(p, endOfHead)
		if end < 0 {
			if m.head == nil {
				m.head = bytes.Clone(p)
			}
			return 0
		}
		m.body, m.chunked, m.head = true, bytes.Contains(p[:end+2], chunkedField), nil
		p = p[end+len(endOfHead):]
	}
	if !m.chunked {
		return int64(len(p))
	}
	return m.chunks(p)
}

const lineEnd = int64(len("\r\n"))

func (m *Meter) chunks(p []byte) (n int64) {
	for len(p) > 0 && !m.ended {
		if m.left > 0 {
			passed := min(m.left, int64(len(p)))
			n += min(passed, max(0, m.left-lineEnd))
			m.left -= passed
			p = p[passed:]
			continue
		}
		switch c := p[0]; {
		case '0' <= c && c <= '9':
			m.size = m.size<<4 | int64(c-'0')
		case 'a' <= c && c <= 'f':
			m.size = m.size<<4 | int64(c-'a'+10)
		case c == '\n':
			m.left, m.ended, m.size = m.size+lineEnd, m.size == 0, 0
		}
		p = p[1:]
	}
	return n
}
