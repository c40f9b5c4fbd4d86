package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/stats"
)

// notes say below a table what its values cannot.
func (l layout) notes(cells, steps []string, all []record.Trial, columns []column) []string {
	var notes []string
	var few []string
	for _, cell := range cells {
		if !l.enough(cell, steps) {
			few = append(few, cell)
		}
	}
	if len(few) > 0 {
		who := ""
		if len(few) < len(cells) {
			who = " (" + strings.Join(few, ", ") + ")"
		}
		notes = append(notes, fmt.Sprintf("Fewer than %d rounds%s: medians without interval, and no verdict.", stats.Enough, who))
	}
	if n := some(all, bottleneck); n > 0 {
		notes = append(notes, fmt.Sprintf("† In %d of %d trials the load generator had no CPU time left: the server could perhaps do more.",
			n, len(all)))
	}
	notes = append(notes, l.gaps(cells, steps, columns)...)
	return append(notes, firstLosses(all)...)
}

// gaps say why values are unknown: of the columns what they need, and what the machine and the tools said.
func (l layout) gaps(cells, steps []string, columns []column) []string {
	var order, asides []string
	headers := map[string][]string{} // by what they need
	for _, c := range columns {
		for _, cell := range cells {
			trials := l.gather(cell, steps, false)
			if len(trials) == 0 || len(c.figure.values(trials)) > 0 {
				continue
			}
			needs := c.figure.Needs
			if headers[needs] == nil {
				order = append(order, needs)
			}
			if !slices.Contains(headers[needs], c.figure.Header) {
				headers[needs] = append(headers[needs], c.figure.Header)
			}
			for _, t := range trials {
				asides = append(asides, told(t)...)
			}
		}
	}
	var notes []string
	for _, needs := range order {
		notes = append(notes, fmt.Sprintf("“%s” for %s: %s.", unknown, strings.Join(headers[needs], ", "), needs))
	}
	slices.Sort(asides)
	for _, aside := range slices.Compact(asides) {
		if aside != "" {
			notes = append(notes, aside)
		}
	}
	return notes
}

// told is what the measurement itself said that it does not know.
func told(t record.Trial) []string {
	texts := []string{
		t.After.Serving.Note, t.After.Master.Note,
		t.Idle.Serving.Note, t.Idle.Master.Note, t.Loaded.Serving.Note, t.Loaded.Master.Note, t.Rest.Serving.Note, t.Rest.Master.Note,
	}
	if t.Result != nil && t.Result.Note != "" {
		tool := t.Load.Tool
		if tool == "" {
			tool = "the load generator"
		}
		texts = append(texts, fmt.Sprintf("%s: %s", tool, t.Result.Note))
	}
	return texts
}

// firstLosses are the first failures of the cells that lost requests.
func firstLosses(all []record.Trial) []string {
	var notes, seen []string
	for _, t := range all {
		if n, _ := lost(t); n == 0 || t.Result.First == "" || slices.Contains(seen, t.Cell) {
			continue
		}
		seen = append(seen, t.Cell)
		notes = append(notes, fmt.Sprintf("The first loss of %s (%s, round %d): %s", t.Cell, t.Step, t.Round, t.Result.First))
	}
	return notes
}
