package configs

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fault is why a value cannot be read: what to say behind it.
type fault struct {
	item int  // of a list
	bare bool // the value is not to be quoted
	why  string
}

// set reads a value as it was written. It says what is wrong with the writing only: Check judges the value. A list is
// replaced, not added to.
func (s *Setting) set(c *Config, written []string) []fault {
	first := strings.Join(written[:min(1, len(written))], "")
	var f *fault
	switch p := s.field(c).(type) {
	case *int:
		if s.upTo != nil {
			*s.upTo(c).(*int) = 0
		}
		if slices.Contains(s.Words, first) {
			d := Default()
			*p = *s.field(&d).(*int)
			return nil
		}
		low, high, isRange := strings.Cut(first, ":")
		if s.upTo == nil || !isRange {
			*p, f = readNumber(first)
			break
		}
		if *p, f = readNumber(low); f == nil {
			*s.upTo(c).(*int), f = readNumber(high)
		}
		if f != nil {
			f.why = " is no range: give two whole numbers, such as 2:8"
		}
	case *int64:
		*p, f = readSize(first)
	case *time.Duration:
		*p, f = readDuration(first)
	case *bool:
		*p, f = readSwitch(first)
	case *string:
		*p = first
	case *[]string:
		*p = append([]string(nil), written...) // none is nil, as in Default
	case *[]Bind:
		var faults []fault
		*p, faults = readBinds(written)
		return faults
	}
	if f != nil {
		return []fault{*f}
	}
	return nil
}

func readNumber(text string) (int, *fault) {
	n, err := strconv.Atoi(text)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, &fault{bare: true, why: " is out of range"}
	case err != nil:
		return 0, &fault{why: " is no whole number"}
	}
	return n, nil
}

func readDuration(text string) (time.Duration, *fault) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, &fault{why: " is no duration: give a number with a unit, such as 500ms, 10s or 2m"}
	}
	return d, nil
}

func readSwitch(text string) (bool, *fault) {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, &fault{why: ": give true or false"}
}

func readBinds(written []string) ([]Bind, []fault) {
	var binds []Bind
	var faults []fault
	for i, text := range written {
		b, err := ParseBind(text)
		if err != nil {
			// ParseBind speaks of the flag; the caller knows who gave it.
			why := strings.TrimPrefix(err.Error(), fmt.Sprintf("--bind %q", text))
			faults = append(faults, fault{item: i, why: why})
		}
		binds = append(binds, b)
	}
	return binds, faults
}

// units of sizes, the largest first. A value is written back in the binary ones.
var units = []struct {
	name  string
	bytes int64
}{
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

func readSize(text string) (int64, *fault) {
	digits, unit := text, int64(1)
	for _, u := range units {
		if n := len(text) - len(u.name); n > 0 && strings.EqualFold(text[n:], u.name) {
			digits, unit = strings.TrimRight(text[:n], " "), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange), n > math.MaxInt64/unit, n < math.MinInt64/unit:
		return 0, &fault{bare: true, why: " is out of range"}
	case err != nil:
		return 0, &fault{why: " is no size: give a whole number of bytes, or one with a unit: KiB, MiB, GiB, KB, MB or GB"}
	}
	return n * unit, nil
}

// formatSize uses the largest binary unit that leaves no rest.
func formatSize(n int64) string {
	for _, u := range units[:3] {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// formatDuration is Duration.String without units of zero at its end.
func formatDuration(d time.Duration) string {
	text := d.String()
	if short, ok := strings.CutSuffix(text, "m0s"); ok {
		text = short + "m"
	}
	if short, ok := strings.CutSuffix(text, "h0m"); ok {
		text = short + "h"
	}
	return text
}

// format writes a number of the setting, in its smallest unit, as a person would.
func (s *Setting) format(n int64) string {
	switch s.Kind {
	case Size:
		return formatSize(n)
	case Duration:
		return formatDuration(time.Duration(n))
	}
	return strconv.FormatInt(n, 10)
}

// numeric is the value in its smallest unit, if it is a number at all.
func (s *Setting) numeric(c *Config) (n int64, ok bool) {
	switch p := s.field(c).(type) {
	case *int:
		return int64(*p), true
	case *int64:
		return *p, true
	case *time.Duration:
		return int64(*p), true
	}
	return 0, false
}

// Value is the value of the setting in c for JSON: a number, a bool, a list of texts, or a text as a file has it.
func (s *Setting) Value(c *Config) any {
	switch p := s.field(c).(type) {
	case *bool:
		return *p
	case *string:
		return *p
	case *[]string:
		return append([]string{}, *p...)
	case *[]Bind:
		list := make([]string, len(*p))
		for i, b := range *p {
			list[i] = b.String()
		}
		return list
	case *int:
		if s.upTo != nil && *s.upTo(c).(*int) != 0 {
			return fmt.Sprintf("%d:%d", *p, *s.upTo(c).(*int))
		}
		return *p
	}
	n, _ := s.numeric(c)
	return s.format(n)
}

// Text is the value of the setting in c for a person. A list is put in a row with blanks between.
func (s *Setting) Text(c *Config) string {
	switch value := s.Value(c).(type) {
	case []string:
		return strings.Join(value, " ")
	default:
		return fmt.Sprint(value)
	}
}
