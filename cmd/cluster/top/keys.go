package top

import (
	"context"
	"fmt"

	"github.com/prefork/cluster/master/plan"
)

// keys are what the help shows. The keys themselves are those that package bubbletea names.
var keys = [][2]string{
	{"up down j k", "move; PgUp PgDn Home End go far"},
	{"enter space", "show or hide the threads of a worker"},
	{"a", "show or hide all threads"},
	{"s", "sort by the next column"},
	{"S", "reverse the order"},
	{"r", "restart: replace every worker, new before old"},
	{"R", "replace the selected worker"},
	{"+ -", "one worker more, one less"},
	{"p", "pause, go on"},
	{"ctrl-z", "to the shell; fg comes back"},
	{"q ctrl-c", "quit; the cluster runs on"},
	{"? esc", "close this"},
}

// action is a change that was asked for by a key and waits for y or n.
type action struct {
	name     string // in front of a refusal
	question string // what will happen
	done     string // what to say when the master has agreed
	do       func(ctx context.Context, c Cluster) error
}

// key does what a key is for. Keys that mean nothing do nothing.
func (m *model) key(k string) {
	if k == "ctrl+c" {
		m.quit = true
		return
	}
	if m.question != nil {
		m.answerQuestion(k)
		return
	}
	m.note = note{}
	switch k {
	case "q":
		m.quit = true
	case "?", "h":
		m.help = !m.help
	case "esc":
		m.help = false
	case "p":
		m.paused = !m.paused
	case "s":
		m.sort, m.reverse = (m.sort+1)%len(columns), false
	case "S":
		m.reverse = !m.reverse
	case "a":
		m.expandAll()
	case "r":
		m.question = m.restartAll()
	case "R":
		m.question = m.restartOne()
	case "+":
		m.question = m.scale(+1)
	case "-":
		m.question = m.scale(-1)
	default:
		m.move(k)
	}
}

func (m *model) answerQuestion(k string) {
	switch k {
	case "y", "Y":
		if m.confirmed != nil {
			m.tell(yellow, m.question.name+": not done, the change before it still waits for the master")
			break
		}
		m.confirmed = m.question
		m.tell("", m.confirmed.name+": asking the master…")
	case "n", "N", "q", "esc":
		m.tell("", m.question.name+": not done")
	default:
		return // neither: the question stays
	}
	m.question = nil
}

// move moves the cursor over the lines of the table, or opens what it stands on.
func (m *model) move(k string) {
	lines := m.lines(m.shown())
	if len(lines) == 0 {
		return
	}
	i := m.find(lines)
	switch k {
	case "up", "k":
		i--
	case "down", "j":
		i++
	case "pgup":
		i -= max(1, m.height/2)
	case "pgdown":
		i += max(1, m.height/2)
	case "home", "g":
		i = 0
	case "end", "G":
		i = len(lines) - 1
	case "enter", "space":
		at := lines[i].place
		m.cursor = place{at.slot, at.seat, -1} // what it stands on may go
		m.expanded[at.slot] = !m.expanded[at.slot]
		return
	default:
		return
	}
	m.index = min(max(0, i), len(lines)-1)
	m.cursor = lines[m.index].place
}

// find is where the cursor is among the lines, of which there is one at least: its own line, or its worker's, or whichever
// has come in its place.
func (m *model) find(lines []tableLine) int {
	near := -1
	for i, l := range lines {
		if l.place == m.cursor {
			return i
		}
		if near < 0 && l.place.slot == m.cursor.slot {
			near = i
		}
	}
	if near < 0 {
		near = min(m.index, len(lines)-1)
	}
	return near
}

// expandAll shows the threads of all workers, or hides them if all are shown.
func (m *model) expandAll() {
	all := true
	for _, k := range m.status.Slots {
		all = all && m.expanded[k.Slot]
	}
	for _, k := range m.status.Slots {
		m.expanded[k.Slot] = !all
	}
	m.cursor.thread = -1
}

func (m *model) restartAll() *action {
	s := m.status
	what := fmt.Sprintf("replace all %d workers", s.Workers)
	if s.InProcess() {
		what = "replace the process"
	}
	question := "restart: " + what + ", new before old"
	if r := s.Restart; r != nil && r.Outcome == plan.Running {
		question = fmt.Sprintf("a restart to generation %d is under way: supersede it, %s", r.Generation, what)
	}
	return &action{
		name: "restart", question: question, done: "restart: begun",
		do: func(ctx context.Context, c Cluster) error { return c.Restart(ctx, nil) },
	}
}

// restartOne replaces the worker under the cursor. One process has all slots: it is replaced as by a restart.
func (m *model) restartOne() *action {
	lines := m.lines(m.shown())
	if len(lines) == 0 || m.status.InProcess() {
		return m.restartAll()
	}
	at := lines[m.find(lines)].place
	name := fmt.Sprintf("restart of slot %d", at.slot)
	question := fmt.Sprintf("restart: replace the worker of slot %d, new before old", at.slot)
	for _, k := range m.status.Slots {
		if k.Slot == at.slot && k.Seat == at.seat && k.PID != 0 {
			question = fmt.Sprintf("restart: replace the worker of slot %d (pid %d), new before old", k.Slot, k.PID)
		}
	}
	return &action{
		name: name, question: question, done: name + ": begun",
		do: func(ctx context.Context, c Cluster) error { return c.Restart(ctx, &at.slot) },
	}
}

// scale asks for a number of workers, not for a change: what the question says is what happens, whatever else changed it
// meanwhile.
func (m *model) scale(by int) *action {
	from, to := m.status.Workers, m.status.Workers+by
	if to < 1 {
		m.tell(yellow, "scale: this is the last worker; cluster stop ends the cluster")
		return nil
	}
	question := fmt.Sprintf("scale: start a worker, %d instead of %d", to, from)
	switch {
	case m.status.InProcess():
		question = fmt.Sprintf("scale: threads of %d workers instead of %d in the process", to, from)
	case by < 0:
		question = fmt.Sprintf("scale: drain the worker of the highest slot, %d instead of %d", to, from)
	}
	return &action{
		name: "scale", question: question, done: fmt.Sprintf("scale: %d workers wanted", to),
		do: func(ctx context.Context, c Cluster) error { return c.Scale(ctx, to) },
	}
}
