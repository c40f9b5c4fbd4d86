package configs

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestFileErrors(t *testing.T) {
	const (
		noColon  = "a colon where no key can be"
		noBegin  = "a value cannot begin with this character: quote it"
		noEnd    = "a key, a list or a quote has no proper end here or before"
		noPair   = "this is no `key: value`"
		tab      = "a tab: YAML wants blanks before a key and before the dash of a list"
		wantKeys = ": give a line `key: value` for each setting"
	)
	for _, test := range []struct{ name, file, want string }{
		{"a near key", "threads: 3\nthread: 3\n", `FILE:2:1: unknown key "thread" (did you mean threads?)`},
		{"an underscore", "drain_idle: 3s\n", `FILE:1:1: unknown key "drain_idle" (did you mean drain-idle?)`},
		{"a key of nothing", "  timers: 3\n", "FILE:1:3: unknown key \"timers\"; `cluster config init -` prints all keys"},
		{"an alias of a flag", "w: 3\n", `FILE:1:1: unknown key "w"`},
		{"a key that cannot be shown", "\"a\\n\": 3\n", `FILE:1:1: unknown key "a\n"`},
		{"twice", "threads: 3\n\nthreads: 4\n", "FILE:3:1: threads is given twice, first in line 1"},
		{"unknown and twice", "x1: 3\nx1: 4\n", "FILE:1:1: unknown key \"x1\"; `cluster config init -` prints all keys\nFILE:2:1: \"x1\" is given twice, first in line 1"},
		{"merged", "<<: {threads: 3}\n", `FILE:1:1: unknown key "<<"`},
		{"a key that is a list", "? [a]\n: 1\n", "FILE:1:3: a key is a list: give the name of a setting"},

		{"a map for a number", "threads: {a: b}\n", "FILE:1:10: threads is a map: give a whole number"},
		{"a list for a number", "threads:\n  - 3\n", "FILE:2:3: threads is a list: give a whole number"},
		{"a list for a choice", "pool: [lease]\n", "FILE:1:7: pool is a list: give lease, queue, lanes or unbounded"},
		{"a list for workers", "workers: []\n", "FILE:1:10: workers is a list: give a whole number or auto"},
		{"a map for a duration", "settle: {}\n", "FILE:1:9: settle is a map: give a duration such as 500ms, 10s or 2m"},
		{"a map for a size", "max-body: {}\n", "FILE:1:11: max-body is a map: give a size such as 64KiB"},
		{"a map for a text", "name:\n  first: a\n", "FILE:2:3: name is a map: give a text"},
		{"a map for a switch", "quiet: {}\n", "FILE:1:8: quiet is a map: give true or false"},
		{"a map for an address", "bind: {tcp: 80}\n", "FILE:1:7: bind is a map: give an address such as tcp://127.0.0.1:9292, or a list of them"},
		{"a map in a list", "bind:\n  - :80\n  - tcp: 81\n", "FILE:3:5: bind has a map in its list: give an address"},
		{"a list in itself", "bind: &a [*a]\n", "FILE:1:7: bind has a list in its list: give an address"},
		{"a text for a list", "program: ./app --verbose\n", `FILE:1:10: program is the text "./app --verbose": give a list such as [./app, --verbose]`},

		{"no value", "threads:\n", "FILE:1:9: threads has no value: give a whole number, or remove the line"},
		{"nothing", "name: ~\n", "FILE:1:7: name has no value: give a text, or remove the line"},
		{"no program", "program:\n", "FILE:1:9: program has no value: give a list"},
		{"no word", "program:\n  - ./a\n  -\n", "FILE:3:4: program has no value: give a list"},
		{"no address", "bind: []\n", "FILE:1:7: bind is empty: give an address"},
		{"an empty address", "bind: ''\n", "FILE:1:7: bind is empty: give an address"},
		{"an empty address in a list", "bind: [':80', '']\n", "FILE:1:15: bind is empty: give an address"},
		{"addresses in a row", "bind: :80,:81\n", `FILE:1:7: bind ":80,:81": an IPv6 address is written in brackets`},

		{"number", "threads: many\n", `FILE:1:10: threads "many" is no whole number`},
		{"a fraction", "threads: 1.5\n", `FILE:1:10: threads "1.5" is no whole number`},
		{"in other digits", "threads: 0x10\n", `FILE:1:10: threads "0x10" is no whole number`},
		{"auto is of workers", "threads: auto\n", `FILE:1:10: threads "auto" is no whole number`},
		{"size", "max-body: 10MBytes\n", `FILE:1:11: max-body "10MBytes" is no size: give a whole number of bytes, or one with a unit: KiB, MiB, GiB, KB, MB or GB`},
		{"duration", "settle: 5\n", `FILE:1:9: settle "5" is no duration: give a number with a unit, such as 500ms, 10s or 2m`},
		{"switch", "quiet: maybe\n", `FILE:1:8: quiet "maybe": give true or false`},
		{"choice", "pool: Lease\n", `FILE:1:7: pool "Lease": give lease, queue, lanes or unbounded`},
		{"bind", "bind: example.com:80\n", `FILE:1:7: bind "example.com:80": "example.com" is no IP address; write tcp://HOST:PORT`},
		{"a zero byte", "pidfile: \"a\\0\"\n", `FILE:1:10: pidfile "a\x00" has a zero byte`},
		{"a zero byte in an argument", "program: [a, \"b\\0\"]\n", `FILE:1:14: program "b\x00" has a zero byte`},

		{"a list of settings", "- threads: 3\n", "FILE:1:1: this is a list" + wantKeys},
		{"a text", "threads\n", `FILE:1:1: this is the text "threads"` + wantKeys},
		{"two documents", "threads: 3\n---\nworkers: 4\n", "FILE:2:1: a second document begins here: a configuration is one"},
		{"a second document that is wrong", "threads: 3\n---\n[\n", "FILE:3: " + noEnd},
		{"a tab", "bind:\n\t- :80\n", "FILE:2:1: " + tab},
		{"a tab behind blanks", "bind:\n  \t- :80\n", "FILE:2:3: " + tab},
		{"a map in a line", "name: a: b\n", "FILE:1: " + noColon},
		{"moved in", "threads: 3\n  workers: 4\n", "FILE:2: " + noColon},
		{"no pair", "threads: 3\nworkers\n", "FILE:2: " + noPair},
		{"an at", "threads: 3\nname: @x\n", "FILE:2: " + noBegin},
		{"a grave", "name: `x`\n", "FILE:1: " + noBegin},
		{"an address that looks like a list", "bind: [::]:80\n", "FILE:1: " + noEnd},
		{"an address that looks like an anchor", "name: *\n", "FILE:1: " + noEnd},
		{"an anchor of nothing", "name: *x\n", "FILE:1: an anchor that is nowhere: quote a value that begins with *"},
		{"an escape", "name: \"a\\qb\"\n", "FILE:1: unknown escape in double quotes"},
		{"an open quote", "name: 'abc\n", "FILE:2: the file ends in the middle of a quoted text"},
		{"a control character", "name: \x01\n", "FILE:1: a control character: a configuration is plain text"},
		{"bytes", "name: \xff\n", "FILE:1: this is not text in UTF-8"},
	} {
		path := written(t, test.file)
		_, err := Load(Sources{File: path})
		all, ok := errors.AsType[Errors](err)
		if !ok || all.From() != FromFile {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got := strings.ReplaceAll(err.Error(), path, "FILE")
		if !strings.HasPrefix(got, test.want) || strings.Count(got, "\n") != strings.Count(test.want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", test.name, got, test.want)
		}
	}
}

func TestFileIsFine(t *testing.T) {
	for _, test := range []struct {
		file, setting, want string
	}{
		{"", "threads", "3"},
		{"\n# only a comment\n", "threads", "3"},
		{"---\n", "threads", "3"},
		{"---\nthreads: 4\n...\n", "threads", "4"},
		{"\ufeffthreads: 4\r\nworkers: 2\r\n", "threads", "4"},
		{"{threads: 4, workers: 2}", "workers", "2"},
		{"\"threads\": '4'", "threads", "4"},
		{"threads: !!str 4", "threads", "4"},
		{"surge: &n 4\nthreads: *n", "threads", "4"},
		{"name: 123", "name", "123"},
		{"name: true", "name", "true"},
		{"metrics: off", "metrics", "off"},
		{"umask: 0027", "umask", "0027"},
		{"log-file: \"\"", "log-file", ""},
		{"quiet: yes", "quiet", "true"},
		{"bind: tcp://[::]:9292", "bind", "tcp://[::]:9292"},
		{"bind: [':80', \":81\"]", "bind", "tcp://:80 tcp://:81"},
		{"program: []", "program", ""},
		{"program: [./app, 3, '']", "program", "./app 3 "},
		{"drain-timeout: 90s", "drain-timeout", "1m30s"},
	} {
		l, err := Load(Sources{File: written(t, test.file)})
		if err != nil {
			t.Errorf("%q: %v", test.file, err)
			continue
		}
		if got := settingNamed(test.setting).Text(&l.Config); got != test.want {
			t.Errorf("%q: %s is %q, want %q", test.file, test.setting, got, test.want)
		}
	}
}

// Whatever a file holds, it is taken, or refused with a place in each line; it never ends the program.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "threads: 3\n", "bind: [tcp://:80, ':81']\nworkers: auto\n", "program: [a, b]\nengine: fasthttp\n", "a: &a [*a]\n", "---\n---\n",
		"max-body: 10MB\nbuffer-body: 1GiB\n", "settle: -1s\ndrain-idle: 1h\n", "threads:\n\t3", "? {a: b}\n: c\n", "name: \"\\0\"\nname: 2\n", Sample(),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, wrong := parseFile("FILE", data)
		for _, e := range wrong {
			if !strings.HasPrefix(e.text, "FILE:") || e.From != FromFile || e.at.line < 1 {
				t.Errorf("%q: no place in %q", data, e.text)
			}
		}
		c := Default()
		for name, o := range entries {
			if o.written == nil {
				continue
			}
			s := settingNamed(name)
			for _, f := range s.set(&c, o.written) {
				problem{mention{name: name, item: f.item, quoted: !f.bare}, f.why}.tell(entries)
			}
			if slices.Equal(o.written, []string{s.Text(&c)}) && o.place(0).line < o.Line {
				t.Errorf("%q: the value of %s is before its key", data, name)
			}
		}
		c.Metrics = "off" // else a host of it is looked up
		for _, p := range c.problems() {
			e := p.tell(entries)
			if e.From == FromFile != strings.HasPrefix(e.text, "FILE:") || strings.ContainsAny(e.text, "\n\x00") {
				t.Errorf("%q: %q", data, e.text)
			}
		}
	})
}
