package top

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/prefork/cluster/cmd/cluster/wording"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

// row is a worker, or a slot that waits for one.
type row struct {
	*api.WorkerStatus
	label   string
	backlog int // -1: its listeners are shared, or cannot be asked
}

func (r row) place() place { return place{r.Slot, r.Seat, -1} }

// state is how the worker stands in a word, how much that asks for attention, and its colour.
func (r row) state() (word string, urgency int, c code) {
	switch {
	case r.Stalled:
		return "stalled", 4, red
	case r.State == plan.Waiting.String():
		return r.State, 3, red
	case r.State == plan.Ready.String():
		return r.State, 0, green
	case r.State == plan.Draining.String():
		return r.State, 1, yellow
	}
	return r.State, 2, yellow
}

// private is the memory that only this worker has; shared its part of what it has together with others.
func (r row) private() int64 { return r.Memory.Anonymous }
func (r row) shared() int64  { return r.Memory.PSS - r.Memory.Anonymous }

func (r row) backlogText() string {
	if r.backlog < 0 {
		return "-"
	}
	return strconv.Itoa(r.backlog)
}

// column is a figure of a worker. The keys s and S sort by it.
type column struct {
	head  string
	width int    // at least, so that columns do not jump
	keep  int    // the columns with the smallest are left out first
	of    source // what must be there for the figure to be known
	cell  func(r row) string
	order func(r row) float64
}

// source is where a figure comes from.
type source int

const (
	always   source = iota
	process         // only a process has it
	measured        // and it takes a window of time to know
	sampled         // memory: it is read now and then
)

// columns has nothing that must be computed when the program starts: a worker of the reference application is the same
// program.
var columns = []column{
	{"SLOT", 4, 99, always, func(r row) string { return r.label }, func(r row) float64 { return float64(r.Slot) }},
	{"GEN", 3, 5, process, func(r row) string { return strconv.Itoa(r.Generation) }, func(r row) float64 { return float64(r.Generation) }},
	{"PID", 6, 8, process, func(r row) string { return strconv.Itoa(r.PID) }, func(r row) float64 { return float64(r.PID) }},
	{stateHead, 8, 98, always, func(r row) string { word, _, _ := r.state(); return word }, func(r row) float64 { _, n, _ := r.state(); return float64(n) }},
	{"UP", 6, 4, process, func(r row) string { return wording.Span(r.Uptime) }, func(r row) float64 { return r.Uptime }},
	{"BUSY", 4, 97, process, func(r row) string { return fmt.Sprintf("%d/%d", r.Busy, r.Threads) }, func(r row) float64 { return float64(r.Busy) }},
	{"WAIT", 4, 12, process, func(r row) string { return strconv.FormatInt(r.Waiting, 10) }, func(r row) float64 { return float64(r.Waiting) }},
	{"BACKL", 5, 6, always, row.backlogText, func(r row) float64 { return float64(r.backlog) }},
	{"CONNS", 5, 7, process, func(r row) string { return strconv.FormatInt(r.Open, 10) }, func(r row) float64 { return float64(r.Open) }},
	{"REQ/S", 5, 14, measured, func(r row) string { return wording.Rate(r.Rates.Requests) }, func(r row) float64 { return r.Rates.Requests }},
	{"P99", 5, 13, measured, func(r row) string { return wording.Latency(r.Rates.Duration.P99) }, func(r row) float64 { return r.Rates.Duration.P99 }},
	{"CPU", 4, 11, measured, func(r row) string { return strconv.FormatFloat(r.Rates.CPUs, 'f', 2, 64) }, func(r row) float64 { return r.Rates.CPUs }},
	{"PRIV", 6, 3, sampled, func(r row) string { return wording.Size(r.private()) }, func(r row) float64 { return float64(r.private()) }},
	{"SHARED", 6, 2, sampled, func(r row) string { return wording.Size(r.shared()) }, func(r row) float64 { return float64(r.shared()) }},
}

// stateHead is the column that is aligned to the left, and coloured.
const stateHead = "STATE"

// text is the cell of a row, a dash if nothing is known.
func (c column) text(r row) string {
	if c.of >= process && r.PID == 0 || c.of == measured && r.Rates.Window == 0 || c.of == sampled && r.Memory.PSS == 0 {
		return "-"
	}
	return c.cell(r)
}

// aligned fills text up to the width of its column.
func (c column) aligned(s string, cells int) string {
	pad := strings.Repeat(" ", max(0, cells-wording.Width(s)))
	if c.head == stateHead {
		return s + pad
	}
	return pad + s
}

// largestFirst is the order that one looks for: the busiest on top, but slots and pids as they are numbered.
func (c column) largestFirst() bool { return c.head != "SLOT" && c.head != "PID" }

// rows are the workers in the order asked for; those that are equal in it by slot.
func (m *model) rows() []row {
	s := m.status
	rows := make([]row, 0, len(s.Slots))
	for i := range s.Slots {
		r := row{WorkerStatus: &s.Slots[i], label: strconv.Itoa(s.Slots[i].Slot), backlog: -1}
		if s.InProcess() {
			r.label = "all"
		}
		for _, b := range s.Backlogs {
			if b.Slot == r.label {
				r.backlog = max(0, r.backlog) + b.Waiting
			}
		}
		rows = append(rows, r)
	}
	by := columns[m.sort]
	slices.SortStableFunc(rows, func(a, b row) int {
		order := cmp.Compare(by.order(a), by.order(b))
		if by.largestFirst() != m.reverse {
			order = -order
		}
		return cmp.Or(order, cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.Seat, b.Seat))
	})
	return rows
}

// tableLine is a line of the table and what it is about.
type tableLine struct {
	place place
	line  line
}

// grid is which columns have room, and how wide they are.
type grid struct {
	width []int // by column; 0: left out
	rows  []row
}

// margin is where the cursor stands.
const margin = 2

// shown leaves out columns until the others have room.
func (m *model) shown() grid {
	g := grid{rows: m.rows(), width: make([]int, len(columns))}
	sum := margin - 1
	var order []int
	for i, c := range columns {
		g.width[i] = max(c.width, len(c.head))
		for _, r := range g.rows {
			g.width[i] = max(g.width[i], m.Look.width(c.text(r)))
		}
		sum += 1 + g.width[i]
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(columns[a].keep, columns[b].keep) })
	for _, i := range order {
		if m.width == 0 || sum <= m.width {
			break
		}
		sum -= 1 + g.width[i]
		g.width[i] = 0
	}
	return g
}

// heading names the columns, in bold the one that the rows are sorted by, which the last line of the screen names as well.
func (m *model) heading(g grid) line {
	l := text(strings.Repeat(" ", margin-1))
	for i, c := range columns {
		if g.width[i] > 0 {
			s := span{text: " " + c.aligned(c.head, g.width[i])}
			if i == m.sort {
				s.code = bold
			}
			l = append(l, s)
		}
	}
	return l
}

// lines are the rows, each with its threads if it is expanded.
func (m *model) lines(g grid) []tableLine {
	var lines []tableLine
	for _, r := range g.rows {
		l := text(strings.Repeat(" ", margin-1))
		for i, c := range columns {
			if g.width[i] == 0 {
				continue
			}
			s := span{text: " " + c.aligned(m.clean(c.text(r)), g.width[i])}
			if c.head == stateHead {
				_, _, s.code = r.state()
			}
			l = append(l, s)
		}
		lines = append(lines, tableLine{r.place(), l})
		if m.expanded[r.Slot] {
			lines = append(lines, m.inside(g, r)...)
		}
	}
	return lines
}

// indent is in front of what belongs to a worker.
const indent = "       "

// inside is what an expanded row shows: what the columns have no room for, and its threads.
func (m *model) inside(g grid, r row) []tableLine {
	var pieces []span
	add := func(format string, args ...any) { pieces = append(pieces, span{text: fmt.Sprintf(format, args...)}) }
	if r.Reason != "" {
		add("%s: %s", r.State, r.Reason)
	}
	if r.Retry > 0 {
		add("the next start in %s", wording.Span(r.Retry))
	}
	for i, c := range columns {
		if t := c.text(r); g.width[i] == 0 && t != "-" {
			add("%s %s", strings.ToLower(c.head), t)
		}
	}
	if x := r.Rates; x.Window > 0 {
		add("p50 %s", wording.Latency(x.Duration.P50))
		add("queue p99 %s", wording.Latency(x.Wait.P99))
		for _, p := range largestFirst(x.Time.Parts) {
			if p.Share >= leastShare {
				add("%s", partText(p))
			}
		}
	}
	number := len(r.ThreadList) // the next number of a place
	var lines []tableLine
	if len(pieces) > 0 {
		lines = append(lines, tableLine{place{r.Slot, r.Seat, number}, append(text(indent), m.fitting(m.cells()-len(indent), pieces...)...)})
	}
	for i, t := range r.ThreadList {
		lines = append(lines, tableLine{place{r.Slot, r.Seat, i}, text(indent + m.thread(i, t))})
	}
	return lines
}

// thread is a thread in words. In process the threads of all workers have one number after the other.
func (m *model) thread(i int, t api.Thread) string {
	label := fmt.Sprintf("%3d", i)
	if m.status.InProcess() && m.status.Threads > 0 {
		label = fmt.Sprintf("worker %d thread %d", i/m.status.Threads, i%m.status.Threads)
	}
	text := fmt.Sprintf("%s  %-8s", label, t.State)
	if t.Method != "" || t.Path != "" || t.For > 0 {
		text += fmt.Sprintf("  %6s  %s %s", wording.Latency(t.For), t.Method, t.Path)
	}
	return text
}
