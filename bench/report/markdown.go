package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/suite"
)

// Markdown writes the tables of the suites of which there are trials. It fails if a table names what there is not, or if w does.
func Markdown(w io.Writer, run record.Run, trials []record.Trial, suites []suite.Suite) error {
	v, err := build(run, trials, suites)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString("# Benchmarks\n\n")
	var rows [][]string
	for _, fact := range v.Facts {
		rows = append(rows, []string{fact[0], fact[1]})
	}
	markdownTable(&b, []string{"", ""}, rows, 2)
	for _, text := range append(v.Notes, v.Legend...) {
		fmt.Fprintf(&b, "\n%s\n", text)
	}
	for _, s := range v.Sections {
		fmt.Fprintf(&b, "\n## %s\n\n%s (Rounds: %d.)\n", s.Name, s.Question, s.Rounds)
		for _, t := range s.Tables {
			fmt.Fprintf(&b, "\n### %s\n\n", t.Title)
			if t.About != "" {
				fmt.Fprintf(&b, "%s\n\n", t.About)
			}
			markdownTable(&b, t.Head, t.Rows, 1)
			list(&b, t.Notes)
		}
		if len(s.Failed) > 0 {
			b.WriteString("\nNot everything worked:\n")
			list(&b, s.Failed)
		}
	}
	_, err = w.Write(b.Bytes())
	return err
}

func list(b *bytes.Buffer, lines []string) {
	if len(lines) > 0 {
		b.WriteByte('\n')
	}
	for _, line := range lines {
		fmt.Fprintf(b, "- %s\n", markdownText.Replace(line))
	}
}

// markdownText keeps what programs say from being taken for marks, and in one line.
var markdownText = strings.NewReplacer("\n", " ", "|", `\|`, "<", "&lt;", "*", `\*`, "`", "'")

// markdownTable writes columns of equal width, so that it can be read in a terminal, too. The first are names, the others
// numbers.
func markdownTable(b *bytes.Buffer, head []string, rows [][]string, names int) {
	width := make([]int, len(head))
	lines := make([][]string, 0, 1+len(rows))
	for _, row := range append([][]string{head}, rows...) {
		line := make([]string, len(row))
		for i, text := range row {
			line[i] = markdownText.Replace(text)
			width[i] = max(width[i], utf8.RuneCountInString(line[i]), 3)
		}
		lines = append(lines, line)
	}
	for i, line := range lines {
		for column, text := range line {
			fill := strings.Repeat(" ", width[column]-utf8.RuneCountInString(text))
			if column >= names {
				text, fill = fill, text
			}
			fmt.Fprintf(b, "| %s%s ", text, fill)
		}
		b.WriteString("|\n")
		if i > 0 {
			continue
		}
		for column, n := range width {
			if column >= names {
				fmt.Fprintf(b, "| %s: ", strings.Repeat("-", n-1))
			} else {
				fmt.Fprintf(b, "| %s ", strings.Repeat("-", n))
			}
		}
		b.WriteString("|\n")
	}
}
