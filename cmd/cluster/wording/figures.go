// Package wording puts figures, and text from outside, into what a person reads in a terminal. Nothing that it returns can
// move the cursor, change colours or turn the order of what stands beside it around.
package wording

import (
	"fmt"
	"strconv"
)

// Span is a duration in seconds, with two units at most; a negative one is 0s.
func Span(seconds float64) string {
	switch s := int(seconds); {
	case seconds < 0:
		return "0s"
	case s < 10:
		return strconv.FormatFloat(seconds, 'f', 1, 64) + "s"
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
	}
}

// Latency is a duration in seconds with two or three digits: 0.85ms, 1.2ms, 120ms, 1.5s, and from a minute on as Span.
func Latency(seconds float64) string {
	switch ms := seconds * 1000; {
	case seconds <= 0:
		return "0ms"
	case ms < 0.995:
		return strconv.FormatFloat(ms, 'f', 2, 64) + "ms"
	case ms < 9.95:
		return strconv.FormatFloat(ms, 'f', 1, 64) + "ms"
	case ms < 999.5:
		return strconv.FormatFloat(ms, 'f', 0, 64) + "ms"
	case seconds < 59.95:
		return strconv.FormatFloat(seconds, 'f', 1, 64) + "s"
	default:
		return Span(seconds)
	}
}

// Rate is a number a second, in at most five characters up to ten billion.
func Rate(r float64) string {
	switch {
	case r <= 0:
		return "0"
	case r < 9.95:
		return strconv.FormatFloat(r, 'f', 1, 64)
	case r < 99_999.5:
		return strconv.FormatFloat(r, 'f', 0, 64)
	case r < 999_500:
		return strconv.FormatFloat(r/1e3, 'f', 0, 64) + "k"
	case r < 99_950_000:
		return strconv.FormatFloat(r/1e6, 'f', 1, 64) + "M"
	default:
		return strconv.FormatFloat(r/1e6, 'f', 0, 64) + "M"
	}
}

// Size is a number of bytes in MB, as memory is quoted everywhere in this project.
func Size(bytes int64) string {
	return strconv.FormatFloat(float64(bytes)/(1<<20), 'f', 1, 64) + "MB"
}
