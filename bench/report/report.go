// Package report makes tables, pictures and comparisons of the raw results of benchmarks.
//
// Invariant: a report is a view. It prints only what is in the trials, leaves out none of them without saying so, and shows
// a loss even where nobody asked for it.
package report

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/suite"
)

// legend says how to read the tables.
var legend = []string{
	"Each value is the median over the rounds, ± the farther end of the median's 95% interval, or with both ends in brackets. " +
		"Counts (ok, lost) are those of all rounds together.",
	"A ratio compares a cell with the base of the same round. better, worse: the interval of the ratios' median does not include 1 and " +
		"does not lie wholly within the interval of the base against itself (A/A), which is the noise of the machine. ~: no difference shown, " +
		"which is no proof that there is none.",
	"Latency counts from the time at which a request was to be sent. PSS is memory with each shared page divided among its " +
		"processes; a MiB is 2²⁰ bytes.",
}

// view is what all reports of a run show.
type view struct {
	Facts    [][2]string
	Legend   []string
	Sections []section
	Notes    []string
}

// section is a suite.
type section struct {
	Name, Question string
	Rounds         int
	Tables         []table
	Failed         []string // what is no measurement, and why
}

func build(run record.Run, trials []record.Trial, suites []suite.Suite) (view, error) {
	v := view{Facts: facts(run), Legend: legend}
	d := sorted(trials)
	known := map[record.Key]bool{}
	for _, s := range suites {
		for _, cell := range s.Cells {
			for _, step := range cell.Steps {
				known[record.Key{Suite: s.Name, Cell: cell.Name, Step: step.Name}] = true
			}
		}
		if !slices.ContainsFunc(trials, func(t record.Trial) bool { return t.Suite == s.Name }) {
			continue
		}
		part := section{Name: s.Name, Question: s.Question, Rounds: d.rounds[s.Name], Failed: failures(trials, s.Name)}
		for _, def := range s.Tables {
			tables, err := d.tables(s, def)
			if err != nil {
				return v, fmt.Errorf("suite %s, table %q: %w", s.Name, def.Title, err)
			}
			part.Tables = append(part.Tables, tables...)
		}
		v.Sections = append(v.Sections, part)
	}
	v.Notes = append(v.Notes, run.Notes...)
	if run.Options.Quick {
		v.Notes = append(v.Notes, "This was a quick run, of fewer cells and short loads: a first look, no result.")
	}
	if n := countUnknown(trials, known); n > 0 {
		v.Notes = append(v.Notes, fmt.Sprintf("%d trials are of suites, cells or steps that this version does not have; they are in no table.", n))
	}
	return v, nil
}

func countUnknown(trials []record.Trial, known map[record.Key]bool) (n int) {
	for _, t := range trials {
		if t.Failed == "" && !known[t.Key()] { // failures are listed, also those of starting and stopping
			n++
		}
	}
	return n
}

func facts(run record.Run) [][2]string {
	list := [][2]string{
		{"date", run.Started.UTC().Format("2006-01-02 15:04 MST")},
		{"cluster", strings.TrimSpace(run.Version + " " + run.Commit)},
		{"Go", run.Go},
		{"system", run.Host},
		{"kernel", run.Kernel},
		{"CPU", run.CPU},
		{"CPUs", strconv.Itoa(run.CPUs)},
		{"memory", memorySize(run)},
		{"command", strings.Join(run.Command, " ")},
		{"seed", strconv.FormatUint(run.Seed, 10)},
	}
	for _, name := range slices.Sorted(maps.Keys(run.Sysctls)) {
		list = append(list, [2]string{name, run.Sysctls[name]})
	}
	return slices.DeleteFunc(list, func(fact [2]string) bool { return fact[1] == "" })
}

func memorySize(run record.Run) string {
	if run.Memory == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f GiB", float64(run.Memory)/(1<<30))
}

// failures lists the failed trials and events of a suite, those for the same reason in one line.
func failures(trials []record.Trial, suite string) []string {
	type reason struct {
		key  record.Key
		text string
	}
	var order []reason
	rounds := map[reason][]string{}
	add := func(t record.Trial, text string) {
		r := reason{t.Key(), text}
		if rounds[r] == nil {
			order = append(order, r)
		}
		round := strconv.Itoa(t.Round)
		if t.Again {
			round += " (again)"
		}
		rounds[r] = append(rounds[r], round)
	}
	for _, t := range trials {
		if t.Suite != suite {
			continue
		}
		if t.Failed != "" {
			add(t, "no measurement: "+t.Failed)
		}
		for _, e := range t.Events {
			if e.Error != "" {
				add(t, fmt.Sprintf("%s failed: %s", e.What, e.Error))
			}
		}
	}
	var lines []string
	for _, r := range order {
		word := "round"
		if len(rounds[r]) > 1 {
			word = "rounds"
		}
		lines = append(lines, fmt.Sprintf("%s, %s, %s %s: %s", r.key.Cell, r.key.Step, word, strings.Join(rounds[r], ", "), r.text))
	}
	return lines
}
