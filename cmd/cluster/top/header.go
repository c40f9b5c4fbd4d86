package top

import (
	"fmt"
	"time"

	"github.com/prefork/cluster/cmd/cluster/wording"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/metrics/rates"
)

// leastShare is the smallest part of the time of requests that is named.
const leastShare = 0.005

func (m *model) header(height int) []line {
	lines := []line{m.stateLine()}
	add := func(from int, l line) {
		if height >= from && l != nil {
			lines = append(lines, l)
		}
	}
	add(troubleFrom, m.troubleLine())
	add(ratesFrom, m.ratesLine())
	add(splitFrom, m.splitLine())
	add(sparkFrom, m.sparkLine())
	if height >= spaceFrom {
		lines = append(lines, nil)
	}
	return lines
}

// stateLine is the one line that every screen has.
func (m *model) stateLine() line {
	s := m.status
	var pieces []span
	add := func(c code, format string, args ...any) {
		pieces = append(pieces, span{fmt.Sprintf(format, args...), c})
	}
	is := "is"
	if d := m.silence(); d > 0 {
		add(red, "no answer for %s", whole(d))
		is = "was"
	}
	if m.paused {
		add(yellow, "paused")
	}
	c := green
	if s.State != "ready" {
		c = yellow
	}
	add(c, "%s %s %s", s.Name, is, s.State)
	together := ""
	if s.InProcess() {
		together = " in one process"
	}
	add("", "%d workers × %d threads%s", s.Workers, s.Threads, together)
	add("", "generation %d", s.Generation)
	add("", "up %s", whole(m.now.Sub(s.Started)))
	add("", "master %d", s.PID)
	return m.fitting(m.cells(), pieces...)
}

// whole is a duration without the tenths of seconds that would only flicker.
func whole(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	}
	return wording.Span(d.Seconds())
}

// restartShown is how long the outcome of a restart stays in the header.
const restartShown = time.Minute

// troubleLine is what needs attention: why there is no answer, else how the restart goes, else what is wrong for long.
func (m *model) troubleLine() line {
	s := m.status
	if m.err != nil {
		return line{{text: "trying again: " + m.err.Error(), code: red}}
	}
	if r := s.Restart; r != nil && (r.Ended.IsZero() || m.now.Sub(r.Ended) < restartShown) {
		switch r.Outcome {
		case plan.Running:
			return line{{text: fmt.Sprintf("restart to generation %d: %s %d of %d replaced", r.Generation, progressBar(r.Replaced, s.Workers, 16), r.Replaced, s.Workers), code: yellow}}
		case plan.Returning:
			return line{{text: fmt.Sprintf("restart failed (%s), returning to generation %d: %s", r.Reason, r.From, r.Detail), code: red}}
		case plan.Aborted:
			return line{{text: fmt.Sprintf("restart aborted (%s), every slot is on generation %d: %s", r.Reason, r.From, r.Detail), code: red}}
		case plan.Done:
			return line{{text: fmt.Sprintf("restart done: all workers are of generation %d", r.Generation), code: green}}
		}
	}
	if s.KeysError != "" {
		return line{{text: "certificates cannot be read, the old ones stay in use: " + s.KeysError, code: red}}
	}
	return nil
}

func (m *model) ratesLine() line {
	s := m.status
	var pieces []span
	add := func(c code, format string, args ...any) {
		pieces = append(pieces, span{fmt.Sprintf(format, args...), c})
	}
	if r := s.Rates; r.Window > 0 {
		c := code("")
		if r.Errors > 0 {
			c = red
		}
		add("", "%s req/s", wording.Rate(r.Requests))
		add("", "p50 %s p99 %s", wording.Latency(r.Duration.P50), wording.Latency(r.Duration.P99))
		add(c, "%s errors/s", wording.Rate(r.Errors))
		add("", "queue p99 %s", wording.Latency(r.Wait.P99))
		add("", "%.1f CPUs", r.CPUs)
	} else {
		add("", "no rates yet")
	}
	busy, threads, waiting, backlog := 0, 0, int64(0), 0
	for _, k := range s.Slots {
		busy, threads, waiting = busy+k.Busy, threads+k.Threads, waiting+k.Waiting
	}
	for _, b := range s.Backlogs {
		backlog += b.Waiting
	}
	add("", "%d/%d busy", busy, threads)
	add("", "%d waiting", waiting)
	add("", "backlog %d", backlog)
	return m.fitting(m.cells(), pieces...)
}

// splitLine is where the time of requests went: a bar, and the same in words, the largest first.
func (m *model) splitLine() line {
	r := m.status.Rates
	parts := largestFirst(r.Time.Parts)
	if r.Window == 0 {
		return nil
	}
	if len(parts) == 0 {
		return text("time of requests: there was none")
	}
	cells := min(40, max(10, m.cells()/4))
	l := text("time [" + fmt.Sprintf("%-*s", cells, splitBar(parts, cells)) + "] ")
	pieces := []span{}
	for i, p := range parts {
		if p.Share < leastShare {
			continue
		}
		c := code("")
		if i == 0 {
			c = bold
		}
		pieces = append(pieces, span{partText(p), c})
	}
	return append(l, m.fitting(m.cells()-cells-len("time [] "), pieces...)...)
}

func partText(p rates.Part) string { return fmt.Sprintf("%.0f%% %s", 100*p.Share, p.Name) }

// sparkLine is how requests a second and the p99 have been; nothing for as long as nothing is known.
func (m *model) sparkLine() line {
	if m.width == 0 {
		return nil
	}
	cells := min(60, (m.width-len("req/s  max 99999   p99  max 9999ms"))/2)
	requests := m.history.last(m.now, cells, func(b bucket) float64 { return b.requests })
	p99 := m.history.last(m.now, cells, func(b bucket) float64 { return b.p99 })
	if len(requests) == 0 {
		return nil
	}
	return text(fmt.Sprintf("req/s %s max %s   p99 %s max %s", sparkline(requests), wording.Rate(largest(requests)), sparkline(p99), wording.Latency(largest(p99))))
}

func largest(values []float64) float64 {
	top := 0.0
	for _, v := range values {
		if v > top { // never NaN
			top = v
		}
	}
	return top
}
