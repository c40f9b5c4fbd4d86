package top

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/prefork/cluster/cmd/cluster/wording"
	"github.com/prefork/cluster/metrics/rates"
)

// Look is what a terminal can show.
type Look struct {
	Colour bool // escape sequences of colours and bold; without, every state is told in words all the same
	ASCII  bool // it knows no UTF-8
}

// code is an escape sequence (SGR of ECMA-48); empty: the terminal's own.
type code string

const (
	bold   code = "\x1b[1m"
	green  code = "\x1b[32m"
	yellow code = "\x1b[33m"
	red    code = "\x1b[31m"
	reset  code = "\x1b[0m"
)

// span is text in one colour. It may come from outside: draw is the only way to the terminal.
type span struct {
	text string
	code code
}

type line []span

func text(s string) line { return line{{text: s}} }

// draw cuts a line to so many cells.
func (k Look) draw(l line, cells int) string {
	var b strings.Builder
	for _, s := range l {
		t := k.clean(s.text)
		width := wording.Width(t)
		if width > cells {
			t, width = wording.Cut(t, cells, k.clean("…")), cells
		}
		cells -= width
		if k.Colour && s.code != "" && t != "" {
			t = string(s.code) + t + string(reset)
		}
		b.WriteString(t)
	}
	return strings.TrimRight(b.String(), " ")
}

// ascii is what the program's own characters become on a terminal that knows no UTF-8, cell by cell.
func ascii(r rune) rune {
	switch r {
	case '·':
		return '|'
	case '×':
		return 'x'
	case '…':
		return '~'
	case '░':
		return '-'
	}
	if i := strings.IndexRune(levels, r); i >= 0 {
		return rune("_.:-=+*#"[i/levelBytes])
	}
	return r
}

func (k Look) clean(s string) string {
	if k.ASCII {
		s = strings.Map(ascii, s)
	}
	return wording.Printable(s, k.ASCII)
}

func (k Look) width(s string) int { return wording.Width(k.clean(s)) }

const separator = " · "

// fitting joins the first piece, cut if it must be, with those that fit behind it whole; what does not fit is left out
// together with all that follows.
func (k Look) fitting(cells int, pieces ...span) line {
	var l line
	for i, p := range pieces {
		width := k.width(p.text)
		if i > 0 {
			if width += k.width(separator); width > cells {
				break
			}
			l = append(l, span{text: separator})
		}
		l = append(l, p)
		cells -= width
	}
	return l
}

// levels of a sparkline, the lowest first.
const (
	levels     = "▁▂▃▄▅▆▇█"
	levelBytes = len("█")
	levelCount = len(levels) / levelBytes
)

// sparkline is a character a value, as high as its share of the largest; a gap for one that is not known (NaN).
func sparkline(values []float64) string {
	top := 0.0
	for _, v := range values {
		if v > top {
			top = v
		}
	}
	var b strings.Builder
	for _, v := range values {
		level := 0
		switch {
		case math.IsNaN(v):
			b.WriteByte(' ')
			continue
		case top > 0:
			level = min(levelCount-1, int(max(0, v)/top*float64(levelCount)))
		}
		b.WriteString(levels[level*levelBytes:][:levelBytes])
	}
	return b.String()
}

// splitBar is the time of requests as a bar: each part is drawn with the first letter of its name, in so many cells as is
// its share. The parts are the largest first.
func splitBar(parts []rates.Part, cells int) string {
	var b strings.Builder
	sum := 0.0
	for _, p := range parts {
		if p.Name == "" || !(p.Share > 0) {
			continue
		}
		sum = min(1, sum+p.Share)
		upTo := int(math.Round(sum * float64(cells)))
		b.WriteString(strings.Repeat(p.Name[:1], max(0, upTo-b.Len())))
	}
	return b.String()
}

// progressBar is a bar of so many cells of which done of all are filled.
func progressBar(done, all, cells int) string {
	filled := 0
	if all > 0 {
		filled = min(cells, max(0, done*cells/all))
	}
	return strings.Repeat("█", filled) + strings.Repeat("░", cells-filled)
}

// largestFirst sorts the parts of a split, which are few, without touching those of the document.
func largestFirst(parts []rates.Part) []rates.Part {
	sorted := slices.Clone(parts)
	slices.SortStableFunc(sorted, func(a, b rates.Part) int { return cmp.Compare(b.Share, a.Share) })
	return sorted
}
