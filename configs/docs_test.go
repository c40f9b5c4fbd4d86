package configs

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

const docs = "../docs/configuration.md"

// docs/configuration.md is what the schema says.
func TestDocs(t *testing.T) {
	want := configurationDocument(t)
	if *update {
		if err := os.WriteFile(docs, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(want, "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		line := func(lines []string) string { return strings.Join(lines[min(i, len(lines)):min(i+1, len(lines))], "") }
		if line(gotLines) != line(wantLines) {
			t.Fatalf("%s:%d is not what the schema says (go test ./configs -run TestDocs -update)\n%s\nwant\n%s", docs, i+1, line(gotLines), line(wantLines))
		}
	}
}

func configurationDocument(t *testing.T) string {
	var b strings.Builder
	b.WriteString(`<!-- Made from configs/schema.go by go test ./configs -run TestDocs -update; do not edit. -->
# Configuration

Each setting of ` + "`cluster start`" + ` is a flag, a variable of the environment and a key of a YAML file. The flag
` + "`--drain-timeout 20s`" + `, the variable ` + "`CLUSTER_DRAIN_TIMEOUT=20s`" + ` and the line ` + "`drain-timeout: 20s`" + ` say the same.

` + "```" + `
cluster config init [PATH]    a file with every setting at its default, commented out (./cluster.yaml; - for standard output)
cluster config check          everything that is wrong with the file, with line and column; exit 3 if something is
cluster config show [--json]  what counts here, and where each value comes from
` + "```" + `

## Which value counts

1. the flag; for the program, what follows ` + "`--`" + `
2. ` + "`CLUSTER_…`" + `
3. ` + "`WEB_CONCURRENCY`" + ` for workers, ` + "`MAX_THREADS`" + ` for threads, which other programs know too
4. the file: that of ` + "`--config`, `-C` or `CLUSTER_CONFIG`" + `, which must be there, else ` + "`./cluster.yaml`" + ` if it is there (` + "`-C /dev/null`" + ` reads none)
5. the default

A flag or a variable that is empty counts as not given. A list from a stronger source replaces that of a weaker one. What
cannot be read in the file is an error even where a flag overrules it. A wrong flag or variable ends ` + "`start`" + ` with exit code 2,
a wrong file with 3.

## What a change needs

A reload takes a change over as its setting allows:

| | |
| --- | --- |
| at once | the cluster goes on with the new value, no worker is replaced |
| replaces workers | the workers are replaced one by one, as in a rolling restart |
| needs a new start | the value of the running master stays; only another one has it |

## Settings

How values are written: a number in decimal digits. A size in bytes, or with KiB, MiB, GiB (1024) or KB, MB, GB (1000). A
duration with units: ` + "`500ms`, `10s`, `1m30s`" + `. A switch as true or false; the flag alone is true.
`)
	for _, group := range Groups() {
		fmt.Fprintf(&b, "\n### %s\n\n| setting | default | what it does | a change |\n| --- | --- | --- | --- |\n", group)
		for _, s := range Settings() {
			if s.Group == group {
				fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", names(&s), shownDefault(&s), effect(&s), s.Changes())
			}
		}
	}
	b.WriteString(`
## The file

A key and a value a line; addresses and the program are lists:

` + "```yaml" + `
workers: auto
bind:
  - tcp://127.0.0.1:9292
  - tcp://[::1]:9292
drain-timeout: 20s
program: [./app, --verbose]
` + "```" + `

- Keys are the flags without the dashes. A key that is unknown, or given twice, is an error; so is a key without a value.
- Blanks, no tabs, before the dash of a list; nothing before a key.
- Quote a value that begins with one of ` + "``[ ] { } * & ! | > ' \" % @ ` ``" + `, or has a colon and a blank in it: ` + "`bind: '[::]:9292'`" + `.
- One document a file, at most 1 MiB.
- Paths are relative to the directory that the master is started in, not to that of the file.

## Samples

Files to begin with, in [configs/samples](../configs/samples):

| file | |
| --- | --- |
`)
	for _, path := range samples(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		base := filepath.Base(path)
		fmt.Fprintf(&b, "| [%s](../configs/samples/%s) | %s |\n", base, base, cell(strings.TrimPrefix(first, "# ")))
	}
	return b.String()
}

func names(s *Setting) string {
	all := s.Spellings()
	name := "`" + all[0] + "`"
	if s.Kind == Words {
		return "`" + s.Name + "` (" + strings.ReplaceAll(all[0], "--", "`--`") + ")"
	}
	for _, other := range all[1:] {
		if other != VariableName(s.Name) { // each has one
			name += ", `" + other + "`"
		}
	}
	return name
}

func shownDefault(s *Setting) string {
	switch {
	case s.Default() == "":
		return cell(s.DefaultForPeople())
	case s.Kind == Switch && s.Default() == "false":
		return "off"
	}
	return "`" + cell(s.DefaultForPeople()) + "`"
}

func effect(s *Setting) string {
	text := s.Usage
	if slices.Contains([]Kind{Number, Size}, s.Kind) {
		text += "; " + s.Range()
	}
	if s.Kind == Duration && s.low > 0 {
		text += "; at least " + s.format(s.low)
	}
	return cell(text)
}

func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "--", "`--`").Replace(text)
}
