// Package rolling shows a person how a rolling restart goes.
package rolling

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

// Line shows how a restart goes: on a terminal in one line that is written anew, elsewhere in a line for each change.
type Line struct {
	out      io.Writer
	terminal bool
	shown    api.RestartProgress
	last     string
	pace     pace
}

// NewLine finds out whether out is a terminal.
func NewLine(out io.Writer) *Line {
	_, terminal := width(out)
	return &Line{out: out, terminal: terminal}
}

// width is how many columns a terminal has; false: w is none, or one that cannot write a line anew.
func width(w io.Writer) (columns int, terminal bool) {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return 0, false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, false
	}
	return int(size.Col), true
}

// Show is called with each report.
func (l *Line) Show(p api.RestartProgress, now time.Time) {
	before := l.shown
	l.shown = p
	l.pace.note(p, now)
	switch {
	case !l.terminal:
		if line := describe(p); line != describe(before) || p.Final {
			fmt.Fprintln(l.out, line)
		}
	case p.Final:
		fmt.Fprintf(l.out, "\r\x1b[K%s\n", describe(p))
		l.last = ""
	default:
		l.Again(now)
	}
}

// Again writes the line anew: time has passed.
func (l *Line) Again(now time.Time) {
	if !l.terminal || l.shown.Generation == 0 {
		return
	}
	columns, _ := width(l.out)
	line := fit(liveText(l.shown, l.pace.left(l.shown, now)), columns)
	if line != l.last {
		fmt.Fprintf(l.out, "\r\x1b[K%s", line)
		l.last = line
	}
}

// Leave ends the line, so that others can be written.
func (l *Line) Leave() {
	if l.last != "" {
		fmt.Fprintln(l.out)
	}
}

// describe is a report for who reads line by line.
func describe(p api.RestartProgress) string {
	switch p.Outcome {
	case plan.Running:
		return fmt.Sprintf("generation %d: %d of %d workers replaced", p.Generation, p.Replaced, p.Workers)
	case plan.Returning:
		return fmt.Sprintf("generation %d failed (%s): returning to generation %d", p.Generation, p.Reason, p.From)
	case plan.Done:
		text := fmt.Sprintf("generation %d: all %d workers replaced in %v", p.Generation, p.Workers, p.Ended.Sub(p.Started).Round(100*time.Millisecond))
		if p.Drained {
			text += ", the old ones have left"
		}
		return text
	case plan.Aborted:
		return fmt.Sprintf("restart aborted: every slot is ready on generation %d", p.From)
	}
	return fmt.Sprintf("generation %d: %s", p.Generation, p.Outcome)
}

// fit cuts a line so that the terminal does not break it. 0 columns are those of a terminal that does not know its size.
func fit(line string, columns int) string {
	if columns == 0 {
		columns = 80
	}
	if utf8.RuneCountInString(line) < columns {
		return line
	}
	return string([]rune(line)[:max(0, columns-2)]) + "…"
}

// barSlots is how many slots there may be for each to have a character of its own.
const barSlots = 32

var barOf = map[string]string{api.SlotOld: ".", api.SlotStarting: "-", api.SlotSettling: "+", api.SlotReplaced: "#"}

// liveText is the line: how far the restart is, slot by slot, and how long it may yet take.
func liveText(p api.RestartProgress, left time.Duration) string {
	var parts []string
	switch p.Outcome {
	case plan.Running:
		parts = append(parts, fmt.Sprintf("generation %d: %d of %d replaced", p.Generation, p.Replaced, p.Workers))
	case plan.Returning:
		parts = append(parts, fmt.Sprintf("generation %d failed (%s): returning to generation %d", p.Generation, p.Reason, p.From))
	case plan.Done:
		return fmt.Sprintf("generation %d: all %d workers replaced · the old ones leave", p.Generation, p.Workers)
	default:
		return describe(p)
	}
	if n := len(p.Slots); n > 1 && n <= barSlots {
		bar := ""
		for _, state := range p.Slots {
			bar += barOf[state]
		}
		parts[0] += " [" + bar + "]"
	}
	for _, state := range []string{api.SlotSettling, api.SlotStarting} {
		if text := slotsIn(p, state); text != "" {
			parts = append(parts, text)
		}
	}
	if left > 0 {
		parts = append(parts, "about "+roughly(left)+" left")
	}
	return strings.Join(parts, " · ")
}

// slotsIn names the slots that are in a state: slot 3 settling; empty: none is.
func slotsIn(p api.RestartProgress, state string) string {
	const most = 4
	var slots []string
	for slot, s := range p.Slots {
		if s == state {
			slots = append(slots, strconv.Itoa(slot))
		}
	}
	switch n := len(slots); {
	case n == 0:
		return ""
	case len(p.Slots) == 1 && p.Workers > 1:
		return "the process " + state
	case n == 1:
		return "slot " + slots[0] + " " + state
	case n > most:
		return fmt.Sprintf("%d slots %s", n, state)
	}
	return "slots " + strings.Join(slots, ", ") + " " + state
}

// pace estimates how long a restart may yet take from how long its steps took: the first slot is replaced alone, after it
// surge slots are a step.
type pace struct {
	generation int
	done       int       // steps
	at         time.Time // when the last of them was done
}

func (e *pace) note(p api.RestartProgress, now time.Time) {
	if p.Generation != e.generation {
		*e = pace{generation: p.Generation}
	}
	if done := 1 + (p.Replaced-1)/max(1, p.Surge); p.Replaced > 0 && done > e.done {
		e.done, e.at = done, now
	}
}

// left is 0 while nothing is known of it. A step that takes longer than those before it holds the estimate at what
// follows it.
func (e *pace) left(p api.RestartProgress, now time.Time) time.Duration {
	surge := max(1, p.Surge)
	steps := 1 + (p.Workers-1+surge-1)/surge - e.done
	if p.Outcome != plan.Running || e.done == 0 || steps <= 0 {
		return 0
	}
	each := e.at.Sub(p.Started) / time.Duration(e.done)
	left := each*time.Duration(steps) - now.Sub(e.at)
	return max(left, each*time.Duration(steps-1), time.Second)
}

// roughly says a duration no more precisely than an estimate is.
func roughly(d time.Duration) string {
	up := func(unit time.Duration) time.Duration { return (d + unit - 1) / unit }
	switch {
	case d <= 10*time.Second:
		return fmt.Sprintf("%d s", up(time.Second))
	case d <= time.Minute:
		return fmt.Sprintf("%d s", 5*up(5*time.Second))
	case d <= 90*time.Minute:
		return fmt.Sprintf("%d min", up(time.Minute))
	}
	return fmt.Sprintf("%d h", up(time.Hour))
}
