package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Error is one thing that is wrong with a configuration.
type Error struct {
	From Source // of what is wrong; of several values, of the one that is nearest to the command line

	text string
	at   place // in the file, if it is From there
}

func (e *Error) Error() string { return e.text }

// Errors are all things that are wrong with a configuration, one a line.
type Errors []*Error

func (all Errors) Error() string {
	lines := make([]string, len(all))
	for i, e := range all {
		lines[i] = e.text
	}
	return strings.Join(lines, "\n")
}

// From is where the error comes from that is nearest to the command line: who only sees that may correct it there.
func (all Errors) From() Source {
	from := FromDefault
	for _, e := range all {
		from = max(from, e.From)
	}
	return from
}

// sorted puts the errors of the file first, in its order. It keeps an empty list from being an error.
func (all Errors) sorted() error {
	if len(all) == 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b *Error) int {
		inFile := func(e *Error) int { return -cmp.Compare(e.at.line, 0) }
		return cmp.Or(cmp.Compare(inFile(a), inFile(b)), cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column))
	})
	return all
}

// problem is what is wrong, in words (string) and settings (mention). Where the values come from is not known yet.
type problem []any

// mention names a setting, with its value.
type mention struct {
	name   string
	value  string // as Config has it; shown if nothing was written
	item   int    // of a list
	quoted bool
	bare   bool // the name only
	spelt  bool // as Config has it, since what was written may not tell
}

// tell puts a problem into words: --threads 0, CLUSTER_THREADS=0 or threads 0 in the file, as the person wrote it. A
// problem of the file begins with its place there.
func (p problem) tell(origins map[string]Origin) *Error {
	from := FromDefault
	for _, part := range p {
		if m, ok := part.(mention); ok && !m.bare {
			from = max(from, origins[m.name].Source)
		}
	}
	var b strings.Builder
	var at place
	if from == FromFile {
		i := slices.IndexFunc(p, func(part any) bool {
			m, ok := part.(mention)
			return ok && origins[m.name].Source == FromFile
		})
		m := p[i].(mention)
		at = origins[m.name].place(m.item)
		fmt.Fprintf(&b, "%s:%v: ", origins[m.name].Name, at)
	}
	placed := false
	for _, part := range p {
		m, ok := part.(mention)
		if !ok {
			b.WriteString(part.(string))
			continue
		}
		o := origins[m.name]
		switch {
		case m.bare && from == FromFile:
			b.WriteString(m.name)
		case m.bare:
			b.WriteString("--" + m.name)
		case from == FromFile && o.Source == FromDefault:
			b.WriteString(m.name + " " + m.written(o) + " (the default)")
		case o.Source == FromFile:
			b.WriteString(m.name + " " + m.written(o))
			if placed || from != FromFile {
				fmt.Fprintf(&b, " (%s:%v)", o.Name, o.place(m.item))
			}
			placed = true
		case o.Source == FromVariable:
			b.WriteString(o.Name + "=" + m.written(o))
		case settingNamed(m.name).Kind == Words:
			b.WriteString(m.name + " " + m.written(o))
		default:
			b.WriteString("--" + m.name + " " + m.written(o))
		}
	}
	return &Error{From: from, text: b.String(), at: at}
}

// longest is how much of a wrong value is shown, in bytes.
const longest = 200

func (m mention) written(o Origin) string {
	value := m.value
	if m.item < len(o.written) && !m.spelt {
		value = o.written[m.item]
	}
	if m.quoted || value == "" || strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) || len(value) > longest {
		return quote(value)
	}
	return value
}

func quote(value string) string {
	if len(value) > longest {
		return strconv.Quote(value[:longest]) + "…"
	}
	return strconv.Quote(value)
}

// either is "a, b or c".
func either(words []string) string {
	last := len(words) - 1
	if last <= 0 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// Source is where a value comes from, the weakest first.
type Source int

// The sources of values.
const (
	FromDefault Source = iota
	FromFile
	FromVariable
	FromFlag
)

// Origin is where the value of a setting comes from.
type Origin struct {
	Source Source
	Name   string // of the flag or the variable; the path of the file
	Line   int    // in the file, from 1

	written []string // the value
	places  []place  // in the file, of each item
}

// place is a line and a column of the file, both from 1.
type place struct{ line, column int }

func (p place) String() string { return fmt.Sprintf("%d:%d", p.line, p.column) }

// String is --threads, CLUSTER_THREADS, cluster.yaml:3 or default.
func (o Origin) String() string {
	switch o.Source {
	case FromFile:
		return o.Name + ":" + strconv.Itoa(o.Line)
	case FromDefault:
		return "default"
	}
	return o.Name
}

// place is that of one item of a list.
func (o Origin) place(item int) place { return o.places[min(item, len(o.places)-1)] }
