package journal

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/events.md anew")

const docs = "../../docs/events.md"

// docs/events.md is what the table says.
func TestDocs(t *testing.T) {
	var b strings.Builder
	b.WriteString(`<!-- Made from master/journal/names.go by go test ./master/journal -run TestDocs -update; do not edit. -->
# Events

Each line of the master's log that tells of something that happened has the attribute ` + "`event`" + ` with one of these names. A name may
come with a new version; none changes or gets another meaning. The words of the message are for people and may change.

The master keeps the last 1,000 events, whatever the log level, and fewer if they are very large: ` + "`cluster events`" + ` prints them, with
` + "`--follow`" + ` new ones too, and ` + "`GET /v1/events`" + ` of the control socket gives them as JSON lines (` + "`?since=ID`" + ` those after it,
` + "`&follow=true`" + ` new ones too). A text is cut at 4 KiB. Those of workers carry ` + "`slot`, `seat`, `pid` and `generation`" + `; a
` + "`reason`" + ` is one of those that status and metrics know: [metrics.md](metrics.md).

| event | what has happened |
| --- | --- |
`)
	for _, row := range Names {
		fmt.Fprintf(&b, "| `%s` | %s |\n", row.Name, row.Meaning)
	}
	if *update {
		if err := os.WriteFile(docs, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(docs); err != nil || string(got) != b.String() {
		t.Fatalf("%s is not what the table says (go test ./master/journal -run TestDocs -update) %v", docs, err)
	}
}

// Every constant has a row in the table, every row a constant that the program uses, and every name looks alike.
func TestNames(t *testing.T) {
	names := map[string]string{} // constant → name
	for constant, value := range constants(t) {
		names[constant] = value
		if !slices.ContainsFunc(Names, func(row Name) bool { return row.Name == value }) {
			t.Errorf("%s = %q has no row in the table", constant, value)
		}
	}
	if len(Names) != len(names) {
		t.Errorf("%d rows for %d constants", len(Names), len(names))
	}
	used := map[string]bool{"EventsLost": true} // by this package
	sources(t, func(_ *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && fmt.Sprint(s.X) == "journal" {
				used[s.Sel.Name] = true
			}
			return true
		})
	})
	word := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for constant, name := range names {
		if !used[constant] {
			t.Errorf("nothing makes an event %s", name)
		}
		if !word.MatchString(name) {
			t.Errorf("%q is not in snake_case", name)
		}
	}
}

// What the master logs at info or above has a name.
func TestEveryLineHasAName(t *testing.T) {
	seen := 0
	sources(t, func(set *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !logs(call) {
				return true
			}
			seen++
			named := false
			ast.Inspect(call, func(n ast.Node) bool {
				literal, ok := n.(*ast.BasicLit)
				named = named || ok && literal.Value == strconv.Quote(Key)
				return true
			})
			if !named {
				t.Errorf("%s: a line of the log without %q", set.Position(call.Pos()), Key)
			}
			return true
		})
	})
	if seen < 40 {
		t.Errorf("only %d calls that log were found", seen)
	}
}

// logs says whether a call writes to the log: log.Info(…) or l.worker(slog.LevelInfo, …).
func logs(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch method.Sel.Name {
	case "Info", "Warn", "Error":
		switch receiver := method.X.(type) {
		case *ast.Ident:
			return receiver.Name == "log"
		case *ast.SelectorExpr:
			return receiver.Sel.Name == "log"
		}
	case "worker":
		return len(call.Args) > 2
	}
	return false
}

// sources parses the files of the master that are no tests.
func sources(t *testing.T, visit func(*token.FileSet, *ast.File)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err == nil {
			visit(set, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// constants are those of names.go.
func constants(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
				all[spec.Names[0].Name], _ = strconv.Unquote(literal.Value)
			}
		}
		return true
	})
	return all
}
