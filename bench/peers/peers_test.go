package peers

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func embeddedSet(t *testing.T) *Set {
	t.Helper()
	s, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// folder makes a folder of descriptions.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// minimal is a description, whose argv begins in line 4.
const minimal = `name: mine
about: a server of mine
install: make install
argv: [sh, -c, "echo {{.Addr}} {{.Workers}}"]
ready: /
paths: [/plaintext, /io]
`

func with(lines ...string) string { return minimal + strings.Join(lines, "\n") + "\n" }

func TestEmbedded(t *testing.T) {
	s := embeddedSet(t)
	if wanted := []string{"gunicorn", "nginx", "node", "puma", "puma-yjit"}; !slices.Equal(s.Names(), wanted) {
		t.Fatalf("names %v, want %v", s.Names(), wanted)
	}
	for _, name := range s.Names() {
		p, err := s.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if p.Name != name || p.About == "" || !strings.HasPrefix(p.Install, "apt-get install ") || len(p.needs) == 0 || len(p.version) == 0 || p.masterServes {
			t.Errorf("%+v", p)
		}
		if !p.Serves("/plaintext") || !p.Serves("/10k") || p.Serves("/nowhere") || p.Serves("/cpu?n=1") != (name != "nginx") {
			t.Errorf("%s serves %v", name, p.Paths)
		}
		texts := slices.Concat(p.argv, p.env)
		for _, file := range p.files {
			texts = append(texts, file)
		}
		for _, size := range []Params{{Workers: 8, Threads: 3}, {Workers: 1, Threads: 1}} {
			size.Host, size.Port, size.Addr, size.Dir = "127.0.0.7", 4242, "127.0.0.7:4242", "/trial"
			all, err := rendered(texts, size)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if whole := strings.Join(all, "\n"); strings.Contains(whole, "{{") || !strings.Contains(whole, "127.0.0.7") || !strings.Contains(whole, "4242") {
				t.Errorf("%s renders as %s", name, whole)
			}
		}
	}
}

// One script installs them all.
func TestInstallScript(t *testing.T) {
	script, err := os.ReadFile("../../scripts/peers/install.sh")
	if err != nil {
		t.Fatal(err)
	}
	s := embeddedSet(t)
	for _, name := range s.Names() {
		p, _ := s.Lookup(name)
		if debian := strings.TrimPrefix(p.Install, "apt-get install "); !slices.Contains(strings.Fields(string(script)), debian) {
			t.Errorf("%s is installed by %q, but not by the script", name, p.Install)
		}
	}
}

func TestLookup(t *testing.T) {
	for given, wanted := range map[string]string{
		"pumma": `unknown peer "pumma" (did you mean puma?); the peers are gunicorn, nginx, node, puma, puma-yjit`,
		"iis":   `unknown peer "iis"; the peers are gunicorn, nginx, node, puma, puma-yjit`,
	} {
		if _, err := embeddedSet(t).Lookup(given); err == nil || err.Error() != wanted {
			t.Errorf("%v, want %s", err, wanted)
		}
	}
}

// A user's peers are beside the embedded ones, or in their place, and may be like any.
func TestAdd(t *testing.T) {
	s := embeddedSet(t)
	dir := folder(t, map[string]string{
		"a.yaml":    "name: faster\nlike: mine\nenv: [FAST=1]\n",
		"b.yml":     minimal,
		"c.yaml":    "name: nginx\nlike: nginx\nabout: nginx as I like it\nstop: QUIT\nmaster-serves: true\n",
		"d.yaml":    with("name: other")[len("name: mine\n"):],
		"notes.txt": "no description",
	})
	if err := s.Add(dir); err != nil {
		t.Fatal(err)
	}
	if names := strings.Join(s.Names(), " "); names != "faster gunicorn mine nginx node other puma puma-yjit" {
		t.Errorf("names %s", names)
	}
	params := Params{Addr: "127.0.0.1:9", Workers: 8, Dir: t.TempDir()}
	faster, _ := s.Lookup("faster")
	c, err := faster.Command(params)
	if err != nil || !filepath.IsAbs(c.Argv[0]) || !slices.Equal(c.Argv[1:], []string{"-c", "echo 127.0.0.1:9 8"}) || !slices.Equal(c.Env, []string{"FAST=1"}) {
		t.Errorf("%+v, %v", c, err)
	}
	if c.Dir != params.Dir || c.Ready != "/" || c.Stop != syscall.SIGTERM || c.MasterServes {
		t.Errorf("%+v", c)
	}
	if mine, _ := s.Lookup("mine"); mine.env != nil {
		t.Error("a peer has changed the one that it is like")
	}
	nginx, _ := s.Lookup("nginx")
	if nginx.About != "nginx as I like it" || len(nginx.files) != 1 || nginx.stop != syscall.SIGQUIT || !nginx.masterServes {
		t.Errorf("%+v", nginx)
	}
}

// The document's example is a description, and its table has every key.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/peers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, rest, _ := strings.Cut(rest, "```\n")
	s := embeddedSet(t)
	if err := s.Add(folder(t, map[string]string{"caddy.yaml": example})); err != nil {
		t.Error(err)
	}
	for _, k := range keys {
		if !strings.Contains(rest, "\n| `"+k.name+"` |") {
			t.Errorf("the key %s is not explained", k.name)
		}
	}
	for _, name := range embeddedSet(t).Names() {
		if !strings.Contains(string(text), "\n| `"+name+"` |") {
			t.Errorf("the peer %s is not explained", name)
		}
	}
}

func TestBadFolders(t *testing.T) {
	for _, test := range []struct {
		files  map[string]string
		wanted string
	}{
		{nil, `^DIR has no descriptions of peers: their names end in \.yaml$`},
		{map[string]string{"a.yaml": minimal, "b.yaml": minimal}, `^DIR/b\.yaml: DIR/a\.yaml describes a peer mine, too$`},
		{map[string]string{"a.yaml": "name: a\nlike: pumma\n"}, `^DIR/a\.yaml:2: like: there is no peer "pumma" \(did you mean puma\?\)$`},
		{map[string]string{"a.yaml": "name: a\nlike: b\n", "b.yaml": "name: b\nlike: a\n"}, `^DIR/a\.yaml: a is like b, and that is in turn like it$`},
		{map[string]string{"a.yaml": "name: a\nlike: a\n"}, `^DIR/a\.yaml:2: like: there is no peer "a"$`},
		{map[string]string{"a.yaml": "name: A\n", "b.yaml": "nam: b\n"}, `(?s)^DIR/a\.yaml:1: name: .*\nDIR/b\.yaml:1: unknown key "nam" \(did you mean name\?\)`},
	} {
		s := embeddedSet(t)
		dir := folder(t, test.files)
		err := s.Add(dir)
		if err == nil || !regexp.MustCompile(strings.ReplaceAll(test.wanted, "DIR", regexp.QuoteMeta(dir))).MatchString(err.Error()) {
			t.Errorf("%v: %v, want %s", test.files, err, test.wanted)
		}
		if len(s.Names()) != 5 {
			t.Errorf("after %v: %v", err, s.Names())
		}
	}
	if err := embeddedSet(t).Add(filepath.Join(t.TempDir(), "nowhere")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestBadDescriptions(t *testing.T) {
	const allKeys = "; the keys are name, like, about, install, needs, check, version, files, argv, env, ready, stop, paths, master-serves"
	const there = " (there are .Host, .Port, .Addr, .Workers, .Threads and .Dir)"
	for text, wanted := range map[string]string{
		"":                                "this is no description of a peer: give a line `key: value` for each of " + strings.TrimPrefix(allKeys, "; the keys are "),
		"- puma\n":                        "this is no description of a peer: give a line `key: value` for each of " + strings.TrimPrefix(allKeys, "; the keys are "),
		"name: [\n":                       "line 1: did not find expected node content",
		minimal + "---\nname: b\n":        "a second document begins: a file describes one peer",
		with("argvs: [a]"):                `7: unknown key "argvs" (did you mean argv?)` + allKeys,
		with("colour: red"):               `7: unknown key "colour"` + allKeys,
		with("name: yours"):               "7: name is given twice, first in line 1",
		with("needs: sh"):                 "7: needs: give a list such as [a, b]",
		with("needs: [sh, [a]]"):          "7: needs: item 2: give a text",
		with("check: {a: b}"):             "7: check: give a list such as [a, b]",
		with("env: [A=1, B]"):             `7: env: item 2: "B" is no NAME=VALUE`,
		with("env: ['A={{.Colour}}']"):    `7: env: item 1:1:4: executing "item 1" at <.Colour>: can't evaluate field Colour in type peers.Params` + there,
		with("stop: KILL"):                `7: stop: "KILL" is no signal that ends a server: give TERM, INT or QUIT`,
		with("master-serves: perhaps"):    "7: master-serves: give true or false",
		with("files: [a]"):                "7: files: give a map of names and texts",
		with("files: {../a: b}"):          `7: files: "../a" is outside the folder that the files are for`,
		with("files: {/etc/passwd: b}"):   `7: files: "/etc/passwd" is outside the folder that the files are for`,
		with("files: {a: [b]}"):           "7: files: a: give a text",
		with("files: {a: '{{if}}'}"):      "7: files: a:1: missing value for if" + there,
		with("like:"):                     "7: like: give a text",
		with("like: Puma"):                `7: like: "Puma" is no name: use small letters, digits and -`,
		"name: a\n":                       "about is missing|install is missing|argv is missing|ready is missing|paths is missing",
		"like: puma\n":                    "name is missing",
		"name: a\nlike: puma\nargv: []\n": "3: argv: the list is empty: begin it with a program",
		"name: a\nlike: puma\npaths: []":  "3: paths: the list is empty: nothing could be measured",
		"name: a\nlike: puma\npaths: [a]": `3: paths: "a" is no path: begin it with /`,
		"name: a\nlike: puma\nready: a":   `3: ready: "a" is no path: begin it with /`,
	} {
		var lines []string
		for line := range strings.SplitSeq(wanted, "|") {
			colon := ": "
			if line[0] >= '0' && line[0] <= '9' {
				colon = ":"
			}
			lines = append(lines, "x.yaml"+colon+line)
		}
		if _, err := read("x.yaml", []byte(text)); err == nil || err.Error() != strings.Join(lines, "\n") {
			t.Errorf("%s:\n%v\nwant\n%s", text, err, strings.Join(lines, "\n"))
		}
	}
}

func TestInstalled(t *testing.T) {
	for more, wanted := range map[string]string{
		"needs: [sh, /bin/sh]":                    "",
		"needs: [sh, no-such-server]":             "peer mine: the program no-such-server is not installed; install it with: make install",
		"needs: [/no/such/server]":                "peer mine: the program /no/such/server is not installed; install it with: make install",
		"check: ['true']":                         "",
		"check: [sh, -c, 'echo too old; exit 3']": "peer mine cannot run here: too old; it is installed with: make install",
		"check: ['false']":                        "peer mine cannot run here: exit status 1; it is installed with: make install",
	} {
		s := embeddedSet(t)
		if err := s.Add(folder(t, map[string]string{"a.yaml": with(more)})); err != nil {
			t.Fatal(err)
		}
		p, _ := s.Lookup("mine")
		got := ""
		if err := p.Installed(); err != nil {
			got = err.Error()
		}
		if got != wanted {
			t.Errorf("%s: %q, want %q", more, got, wanted)
		}
	}
}

func TestVersion(t *testing.T) {
	for more, wanted := range map[string]string{
		"": "unknown",
		"version: [sh, -c, 'echo mine 1; echo b 2 >&2']": "mine 1, b 2",
		"version: [sh, -c, 'echo oh; exit 1']":           "unknown",
		"version: [no-such-server]":                      "unknown",
	} {
		s := embeddedSet(t)
		if err := s.Add(folder(t, map[string]string{"a.yaml": with(more)})); err != nil {
			t.Fatal(err)
		}
		p, _ := s.Lookup("mine")
		if got := p.Version(context.Background()); got != wanted {
			t.Errorf("%s: %q, want %q", more, got, wanted)
		}
	}
}

func TestCommandRefuses(t *testing.T) {
	s := embeddedSet(t)
	err := s.Add(folder(t, map[string]string{
		"a.yaml": with("files: {etc/a.conf: '{{.Port}}'}"),
		"b.yaml": "name: missing\nlike: mine\nargv: [no-such-server]\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	mine, _ := s.Lookup("mine")
	dir := t.TempDir()
	if _, err := mine.Command(Params{Dir: dir, Port: 42}); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "etc", "a.conf")); string(text) != "42" {
		t.Errorf("the file is %q, %v", text, err)
	}
	file := filepath.Join(dir, "etc", "a.conf")
	if _, err := mine.Command(Params{Dir: file}); err == nil || !strings.HasPrefix(err.Error(), "peer mine: mkdir "+file) {
		t.Errorf("a folder that is a file: %v", err)
	}
	missing, _ := s.Lookup("missing")
	if _, err := missing.Command(Params{Dir: dir}); err == nil || !strings.HasPrefix(err.Error(), "peer missing: ") || !strings.HasSuffix(err.Error(), "; install it with: make install") {
		t.Errorf("a program that is missing: %v", err)
	}
}
