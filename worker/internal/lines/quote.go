package lines

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// escapes is the notation for what must not stand in a log as it is.
type escapes bool

const (
	goEscapes   escapes = false
	jsonEscapes escapes = true
)

// cut stands for what was left out.
const cut = "…"

const hex = "0123456789abcdef"

// appendValue appends a value of key=value text, quoted if it could be misread.
func appendValue(buf []byte, s string, limit int) []byte {
	if len(s) <= limit && isWord(s) {
		return append(buf, s...)
	}
	return appendQuoted(buf, s, limit, goEscapes)
}

// isWord reports whether a reader takes all of s for one value without quotes.
func isWord(s string) bool {
	for i := 0; i < len(s); {
		c, width := utf8.DecodeRuneInString(s[i:])
		if c == '"' || c == '=' || c == ' ' || !prints(c, width) {
			return false
		}
		i += width
	}
	return s != ""
}

// prints is false for control characters, C1 and DEL among them, for what turns the direction of text, and for bytes that
// are not UTF-8: a terminal might obey them, or a reader see something that is not there.
func prints(c rune, width int) bool {
	if c < utf8.RuneSelf {
		return ' ' <= c && c <= '~'
	}
	return (c != utf8.RuneError || width > 1) && strconv.IsPrint(c)
}

// appendQuoted appends s in quotes, escaped, and cut so that no more than limit bytes stand between them. No escape and no
// character is divided.
func appendQuoted(buf []byte, s string, limit int, how escapes) []byte {
	buf = append(buf, '"')
	start, roomy := len(buf), len(buf) // roomy: up to here the mark still fits behind
	for i := 0; i < len(s); {
		c, width := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == '"' || c == '\\':
			buf = append(buf, '\\', byte(c))
		case prints(c, width):
			buf = append(buf, s[i:i+width]...)
		case how == jsonEscapes:
			buf = appendJSONEscape(buf, c)
		default:
			buf = appendGoEscape(buf, s[i:i+width])
		}
		if len(buf)-start > limit {
			buf = append(buf[:roomy], cut...)
			break
		}
		if len(buf)-start+len(cut) <= limit {
			roomy = len(buf)
		}
		i += width
	}
	return append(buf, '"')
}

func appendGoEscape(buf []byte, character string) []byte {
	at := len(buf)
	buf = strconv.AppendQuote(buf, character)
	n := copy(buf[at:], buf[at+1:len(buf)-1])
	return buf[:at+n]
}

// appendJSONEscape appends \u and the character in UTF-16.
func appendJSONEscape(buf []byte, c rune) []byte {
	if c >= 0x10000 {
		high, low := utf16.EncodeRune(c)
		return appendJSONEscape(appendJSONEscape(buf, high), low)
	}
	return append(buf, '\\', 'u', hex[c>>12], hex[c>>8&15], hex[c>>4&15], hex[c&15])
}
