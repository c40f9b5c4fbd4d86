package logs

import "bytes"

const (
	longest = 1 << 20  // bytes of a line; a longer one is cut
	spare   = 64 << 10 // bytes that are not given back after a long line
)

// splitter makes whole lines of what is read, and pieces of those that are too long.
type splitter struct {
	rest []byte // the beginning of a line
	put  func(text []byte, partial bool)
}

func (l *splitter) add(data []byte) {
	if len(data) == 0 {
		return
	}
	first, last := bytes.IndexByte(data, '\n'), bytes.LastIndexByte(data, '\n')
	if first < 0 {
		first = len(data)
	}
	length := len(l.rest) + first // of the first line; only that one can be too long
	l.rest = append(l.rest, data...)
	for ; length > longest; length -= longest {
		l.put(l.rest[:longest], true)
		l.rest = l.rest[longest:]
	}
	if last < 0 {
		return
	}
	end := len(l.rest) - len(data) + last + 1
	l.put(l.rest[:end], false)
	if l.rest = l.rest[:copy(l.rest, l.rest[end:])]; cap(l.rest) > spare {
		l.rest = bytes.Clone(l.rest)
	}
}

// end hands on a last line that has no end.
func (l *splitter) end() {
	if len(l.rest) > 0 {
		l.put(l.rest, false)
	}
	l.rest = nil
}
