package wording

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// Printable is text from outside as a terminal may show it: what is no steady character, and with ascii whatever is not
// ASCII, becomes an escape as in Go (\n, \x1b, \u202e). A steady character takes one or two cells whatever stands beside
// it. Printable of its own result is that result.
func Printable(s string, ascii bool) string {
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case plain(r), !ascii && steady(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
		i += n
	}
	return b.String()
}

// Text is Printable, line by line, of a text of many lines: their ends stay, and the tabs at their beginnings.
func Text(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		rest := strings.TrimLeft(line, "\t")
		lines[i] = line[:len(line)-len(rest)] + Printable(rest, false)
	}
	return strings.Join(lines, "\n")
}

func plain(r rune) bool { return ' ' <= r && r <= '~' }

// rightToLeft are the blocks whose characters are written from right to left, assigned or not (DerivedBidiClass.txt of
// Unicode): a terminal that does so moves what stands beside them.
var rightToLeft = &unicode.RangeTable{
	R16: []unicode.Range16{{Lo: 0x0590, Hi: 0x08ff, Stride: 1}, {Lo: 0xfb1d, Hi: 0xfdff, Stride: 1}, {Lo: 0xfe70, Hi: 0xfeff, Stride: 1}},
	R32: []unicode.Range32{{Lo: 0x10800, Hi: 0x10fff, Stride: 1}, {Lo: 0x1e800, Hi: 0x1efff, Stride: 1}},
}

// steady reports whether terminals agree on how many cells a character takes, which includes that it does not join its
// neighbours.
func steady(r rune) bool {
	if !unicode.IsPrint(r) || unicode.Is(unicode.M, r) || unicode.Is(rightToLeft, r) {
		return false
	}
	s := string(r)
	for _, pair := range [...]string{"a" + s, s + "a", s + s} {
		if first, _ := ansi.FirstGraphemeCluster(pair, ansi.GraphemeWidth); first == pair {
			return false
		}
	}
	w := ansi.StringWidth(s)
	return w >= 1 && w <= 2 && w == ansi.StringWidthWc(s)
}

// Width is how many cells a printable text takes.
func Width(s string) int { return ansi.StringWidth(s) }

// Cut is a printable text in at most so many cells: what is too long ends in tail.
func Cut(s string, cells int, tail string) string {
	if cells <= 0 {
		return ""
	}
	if Width(s) <= cells {
		return s
	}
	return ansi.Truncate(s, cells, Cut(tail, cells, ""))
}
