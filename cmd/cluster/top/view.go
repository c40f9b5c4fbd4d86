package top

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prefork/cluster/cmd/cluster/wording"
)

// From how many lines on a screen has a part; what matters more is there earlier.
const (
	lastLineFrom  = 2
	headingFrom   = 4
	troubleFrom   = 6
	ratesFrom     = 8
	splitFrom     = 10
	sparkFrom     = 14
	spaceFrom     = 20
	eventsFrom    = 16
	eventsAtLeast = 4 // lines for events before the table takes the rest
)

// screen is what is shown: at most height lines of at most width cells.
func (m *model) screen() []string {
	height := m.height
	if height == 0 {
		height = 1 << 16
	}
	top := m.header(height)
	var last []line
	switch {
	case m.height == 1 && (m.question != nil || m.noted()):
		top = []line{m.lastLine()}
	case m.height >= lastLineFrom:
		last = []line{m.lastLine()}
	}
	room := height - len(top) - len(last)
	var body []line
	if m.help {
		body = m.helpLines()
		body = body[:min(len(body), max(0, room))]
	} else {
		body = m.body(room, height)
	}
	if m.height > 0 {
		for len(body) < room { // the last line is at the bottom
			body = append(body, nil)
		}
	}
	var out []string
	for _, l := range slices.Concat(top, body, last)[:min(height, len(top)+len(body)+len(last))] {
		out = append(out, m.draw(l, m.cells()))
	}
	return out
}

// cells is how many there are for a line whose width nothing else limits.
func (m *model) cells() int {
	if m.width == 0 {
		return 1 << 16
	}
	return m.width
}

// body is the table and, below it, as many events as there is room for.
func (m *model) body(room, height int) []line {
	var out []line
	if room <= 0 {
		return nil
	}
	g := m.shown()
	if height >= headingFrom {
		out = append(out, m.heading(g))
		room--
	}
	reserved := 0
	if len(m.events) > 0 && height >= eventsFrom && m.height > 0 {
		reserved = min(len(m.events), eventsAtLeast-1) + 1
	}
	table := m.lines(g)
	first, visible := 0, min(len(table), max(0, room-reserved))
	at := -1
	if len(table) > 0 && m.height > 0 {
		at = m.find(table)
		first = min(max(0, at-visible/2), len(table)-visible)
	}
	for i, l := range table[first : first+visible] {
		switch {
		case first+i == at:
			l.line = marked(l.line, ">", bold)
		case i == 0 && first > 0:
			l.line = marked(l.line, "^", "")
		case i == visible-1 && first+visible < len(table):
			l.line = marked(l.line, "v", "")
		}
		out = append(out, l.line)
	}
	left := room - visible
	if m.height == 0 {
		left = eventsAtLeast * 3
	}
	if reserved > 0 || m.height == 0 && len(m.events) > 0 {
		out = append(out, m.eventLines(left)...)
	}
	return out
}

// marked has a sign in its margin: of the cursor, or that there are lines above or below.
func marked(l line, sign string, c code) line {
	l = slices.Clone(l)
	l[0].text = sign + strings.TrimPrefix(l[0].text, " ")
	for i := range l {
		if l[i].code == "" {
			l[i].code = c
		}
	}
	return l
}

// eventLines are the last events in so many lines, the newest at the bottom, below an empty line and a title if there is
// room for them.
func (m *model) eventLines(room int) []line {
	var out []line
	if room > eventsAtLeast {
		out = append(out, nil)
	}
	out = append(out, line{{"events", bold}})
	n := min(len(m.events), room-len(out))
	for _, e := range m.events[len(m.events)-max(0, n):] {
		c := code("")
		switch e.Level {
		case "error":
			c = red
		case "warn":
			c = yellow
		}
		what := e.Message
		for _, name := range fieldOrder(e.Fields) {
			what += fmt.Sprintf(" %s=%v", name, e.Fields[name])
		}
		out = append(out, line{{text: e.Time.Local().Format("15:04:05 ")}, {fmt.Sprintf("%-5s ", e.Level), c}, {text: e.Name + " " + what}})
	}
	return out
}

// fieldOrder has in front what tells events apart, since a line may have no room for all.
func fieldOrder(fields map[string]any) []string {
	first := []string{"generation", "pid", "err", "reason", "slot"} // backwards, so that those that are not named are last
	return slices.SortedFunc(maps.Keys(fields), func(a, b string) int {
		return cmp.Or(cmp.Compare(slices.Index(first, b), slices.Index(first, a)), cmp.Compare(a, b))
	})
}

// lastLine is the question that waits for an answer, or what became of the last one, or what the keys are.
func (m *model) lastLine() line {
	if m.question != nil {
		const answers = "? y/n"
		return line{{m.clean(wording.Cut(m.clean(m.question.question), m.cells()-len(answers), m.clean("…"))) + answers, bold}}
	}
	if m.noted() {
		return line{{m.note.text, m.note.code}}
	}
	order := ""
	if m.reverse {
		order = " reversed"
	}
	pieces := []span{{text: "? help"}, {text: "s sort: " + strings.ToLower(columns[m.sort].head) + order}}
	for _, t := range []string{"q quit", "enter threads", "r restart", "+ - scale", "p pause"} {
		pieces = append(pieces, span{text: t})
	}
	return m.fitting(m.cells(), pieces...)
}

func (m *model) helpLines() []line {
	lines := []line{}
	for _, k := range keys {
		lines = append(lines, line{{fmt.Sprintf("  %-13s", k[0]), bold}, {text: k[1]}})
	}
	return append(lines, nil,
		text("  the bar of time has the first letters: queue cpu scheduler run_queue gc io"),
		text("  PRIV memory of a worker alone, SHARED its share of what several have"),
		text("  columns that have no room are in the first line below a worker"))
}
