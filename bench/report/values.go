package report

import (
	"fmt"
	"strconv"

	"github.com/prefork/cluster/bench/stats"
)

// unknown stands for a value that was not measured; a note below the table says why.
const unknown = "-"

// number prints a value with four digits or so: large ones need none behind the point.
func number(value float64, digits int) string {
	size := max(value, -value)
	switch {
	case size >= 1000:
		digits = 0
	case size >= 100:
		digits = min(digits, 1)
	case size >= 10:
		digits = min(digits, 2)
	}
	return strconv.FormatFloat(value, 'f', digits, 64)
}

// median prints a summary as 23.1 ±4%: the farther end of the interval. Where that is more than half of the median, or the
// median is 0, both ends tell more: 0.21 (0.2–1.4).
func median(s stats.Summary, digits int) string {
	if s.N == 0 {
		return unknown
	}
	text := number(s.Median, digits)
	if !s.Known || s.Lo == s.Hi {
		return text
	}
	if far := max(s.Hi-s.Median, s.Median-s.Lo); s.Median > 0 && far <= s.Median/2 {
		return fmt.Sprintf("%s ±%.0f%%", text, 100*far/s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", text, number(s.Lo, digits), number(s.Hi, digits))
}

// against prints a ratio to the base with its verdict.
func against(c stats.Comparison) string {
	text := median(c.Ratio, 3)
	if c.Verdict != stats.TooFew {
		text += " " + string(c.Verdict)
	}
	return text
}
