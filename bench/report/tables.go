package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/stats"
	"github.com/prefork/cluster/bench/suite"
)

// table is one as it is printed: the first column of each row is the cell.
type table struct {
	Title, About string
	Head         []string
	Rows         [][]string
	Notes        []string
	Pictures     []picture
}

// layout is what the tables of a definition have in common.
type layout struct {
	data
	suite   string
	def     suite.Table
	figures []Figure
	compare Figure
}

// tables are those of a definition: one for each step, or one across them.
func (d data) tables(s suite.Suite, def suite.Table) ([]table, error) {
	l := layout{data: d, suite: s.Name, def: def}
	err := l.check(s)
	if err != nil {
		return nil, err
	}
	if l.figures, err = lookupAll(def.Figures); err != nil {
		return nil, err
	}
	if def.Base != "" {
		compare, err := lookupAll([]string{def.Compare})
		if err != nil {
			return nil, fmt.Errorf("compared with %s: %w", def.Base, err)
		}
		l.compare = compare[0]
	}
	if def.Across && len(def.Figures) != 1 {
		return nil, fmt.Errorf("it goes across the steps, so it needs one figure, and has %d", len(def.Figures))
	}
	steps := l.steps(s)
	if def.Across {
		return l.measured(table{Title: def.Title, About: def.About}, l.cells(s, steps), steps)
	}
	var all []table
	for i, step := range steps {
		t := table{Title: def.Title}
		if i == 0 {
			t.About = def.About
		}
		if len(steps) > 1 {
			t.Title += ": " + step
		}
		tables, err := l.measured(t, l.cells(s, []string{step}), []string{step})
		if err != nil {
			return nil, err
		}
		all = append(all, tables...)
	}
	return all, nil
}

// check finds names that the suite does not have.
func (l layout) check(s suite.Suite) error {
	cells, steps := l.def.Cells, stepsOf(s)
	if l.def.Base != "" {
		cells = append(slices.Clone(cells), l.def.Base)
	}
	for _, name := range cells {
		if !slices.ContainsFunc(s.Cells, func(c suite.Cell) bool { return c.Name == name }) {
			return fmt.Errorf("the suite has no cell %q", name)
		}
	}
	for _, name := range l.def.Steps {
		if !slices.Contains(steps, name) {
			return fmt.Errorf("the suite has no step %q", name)
		}
	}
	return nil
}

func lookupAll(names []string) ([]Figure, error) {
	var all []Figure
	for _, name := range names {
		f, ok := Lookup(name)
		if !ok {
			return nil, fmt.Errorf("there is no figure %q", name)
		}
		all = append(all, f)
	}
	return all, nil
}

// steps are those that the definition names, else all of the suite, in order.
func (l layout) steps(s suite.Suite) []string {
	if len(l.def.Steps) > 0 {
		return l.def.Steps
	}
	return stepsOf(s)
}

func stepsOf(s suite.Suite) []string {
	var steps []string
	for _, cell := range s.Cells {
		for _, step := range cell.Steps {
			if !slices.Contains(steps, step.Name) {
				steps = append(steps, step.Name)
			}
		}
	}
	return steps
}

// cells are the rows: of those that the definition names, else of all, the ones that go through one of the steps.
func (l layout) cells(s suite.Suite, steps []string) []string {
	var cells []string
	for _, cell := range s.Cells {
		goes := slices.ContainsFunc(cell.Steps, func(step suite.Step) bool { return slices.Contains(steps, step.Name) })
		if goes && (len(l.def.Cells) == 0 || slices.Contains(l.def.Cells, cell.Name)) {
			cells = append(cells, cell.Name)
		}
	}
	return cells
}

func (l layout) group(cell, step string) group {
	return l.groups[record.Key{Suite: l.suite, Cell: cell, Step: step}]
}

// gather is the trials of a row, under all the steps.
func (l layout) gather(cell string, steps []string, again bool) []record.Trial {
	var trials []record.Trial
	for _, step := range steps {
		g := l.group(cell, step)
		if again {
			trials = append(trials, g.again...)
		} else {
			trials = append(trials, g.trials...)
		}
	}
	return trials
}

// measured fills the table, if anything of it was measured.
func (l layout) measured(t table, cells, steps []string) ([]table, error) {
	var all []record.Trial
	for _, cell := range cells {
		all = append(all, l.gather(cell, steps, false)...)
		all = append(all, l.gather(cell, steps, true)...)
	}
	if len(all) == 0 {
		return nil, nil
	}
	columns := l.columns(all, steps)
	t.Head = []string{""}
	if l.def.Across {
		t.Head[0] = l.figures[0].Column()
	}
	for _, c := range columns {
		t.Head = append(t.Head, c.title)
	}
	var missing []string
	for _, cell := range cells {
		trials := l.gather(cell, steps, false)
		if len(trials) == 0 {
			missing = append(missing, cell)
		}
		t.Rows = append(t.Rows, row(name(cell, cell == l.def.Base, trials), columns, cell, false))
		if again := l.gather(cell, steps, true); cell == l.def.Base && len(again) > 0 {
			t.Rows = append(t.Rows, row(name(cell+", again (A/A)", false, again), columns, cell, true))
		}
	}
	if len(missing) > 0 {
		t.Notes = append(t.Notes, "No measurement: "+strings.Join(missing, ", ")+".")
	}
	t.Notes = append(t.Notes, l.notes(cells, steps, all, columns)...)
	var err error
	t.Pictures, err = l.pictures(cells, steps)
	return []table{t}, err
}

func row(name string, columns []column, cell string, again bool) []string {
	texts := []string{name}
	for _, c := range columns {
		texts = append(texts, c.text(cell, again))
	}
	return texts
}

func name(cell string, base bool, trials []record.Trial) string {
	if base {
		cell += " (base)"
	}
	if some(trials, bottleneck) > 0 {
		cell += " †"
	}
	return cell
}

func bottleneck(t record.Trial) bool { return t.Result != nil && t.Result.Bottleneck }

// column of a table, without the one of the cells.
type column struct {
	title  string
	figure Figure
	text   func(cell string, again bool) string
}

func (l layout) columns(all []record.Trial, steps []string) []column {
	var columns []column
	add := func(title string, f Figure, text func(string, bool) string) {
		columns = append(columns, column{title, f, text})
	}
	compared := false
	versus := func() {
		add(l.compare.Header+" ÷ base", l.compare, func(cell string, again bool) string { return l.versus(cell, steps[0], again) })
		compared = true
	}
	switch {
	case l.def.Across:
		f := l.figures[0]
		for _, step := range steps {
			add(step, f, func(cell string, again bool) string {
				text := f.text(l.gather(cell, []string{step}, again))
				if ratio := l.versus(cell, step, again); l.def.Base != "" && ratio != unknown {
					text += ", ×" + ratio
				}
				return text
			})
		}
	default:
		for _, f := range l.figures {
			add(f.Column(), f, func(cell string, again bool) string { return f.text(l.gather(cell, steps, again)) })
			if l.def.Base != "" && f.Name == l.def.Compare {
				versus()
			}
		}
		if l.def.Base != "" && !compared {
			versus()
		}
	}
	if losses, _ := Lookup("lost"); !slices.Contains(l.def.Figures, "lost") && sum(losses.values(all)) > 0 {
		add(losses.Column(), losses, func(cell string, again bool) string { return losses.text(l.gather(cell, steps, again)) })
	}
	return columns
}

// versus is the ratio of a cell to the base, and for the base again the noise. The base itself has none.
func (l layout) versus(cell, step string, again bool) string {
	base := l.group(l.def.Base, step)
	switch {
	case again:
		return median(l.compare.ratio(nil, base).Noise, 3)
	case cell == l.def.Base || l.def.Base == "":
		return unknown
	default:
		return against(l.compare.ratio(l.group(cell, step).trials, base))
	}
}

// enough says whether there are rounds for an interval of the figure under each of the steps.
func (l layout) enough(cell string, steps []string) bool {
	for _, step := range steps {
		if n := len(l.group(cell, step).trials); 0 < n && n < stats.Enough {
			return false
		}
	}
	return true
}
