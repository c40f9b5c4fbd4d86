package configs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// written is the path of a file with the text.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrecedence(t *testing.T) {
	t.Chdir(t.TempDir())
	flag := []string{"5"}
	all := environment{"CLUSTER_THREADS": "6", "MAX_THREADS": "7"}
	file := "threads: 8\n"
	for _, test := range []struct {
		name string
		flag []string
		env  environment
		file string
		want int
		from string
	}{
		{"all", flag, all, file, 5, "--threads"},
		{"no flag", nil, all, file, 6, "CLUSTER_THREADS"},
		{"an empty flag", []string{""}, all, file, 6, "CLUSTER_THREADS"},
		{"of others", nil, environment{"MAX_THREADS": "7"}, file, 7, "MAX_THREADS"},
		{"an empty variable", nil, environment{"CLUSTER_THREADS": "", "MAX_THREADS": "7"}, file, 7, "MAX_THREADS"},
		{"empty variables", nil, environment{"CLUSTER_THREADS": "", "MAX_THREADS": ""}, file, 8, "FILE:1"},
		{"file", nil, nil, file, 8, "FILE:1"},
		{"nothing", nil, nil, "# nothing\n", 3, "default"},
		{"an empty file", nil, nil, "", 3, "default"},
		{"a variable that is wrong does not count behind a flag", flag, environment{"CLUSTER_THREADS": "x"}, file, 5, "--threads"},
	} {
		path := written(t, test.file)
		l, err := Load(Sources{Flags: map[string][]string{"threads": test.flag}, Lookup: test.env.lookup, File: path})
		from := strings.ReplaceAll(l.Origins["threads"].String(), path, "FILE")
		if err != nil || l.Config.Threads != test.want || from != test.from || l.File != path {
			t.Errorf("%s: %d from %s in %s, %v; want %d from %s", test.name, l.Config.Threads, from, l.File, err, test.want, test.from)
		}
	}
}

// Whoever says how connections are dispatched to one process is told, whatever he says and wherever.
func TestDispatchInProcess(t *testing.T) {
	t.Chdir(t.TempDir())
	mode := map[string][]string{"mode": {"inprocess"}}
	path := written(t, "dispatch: reuseport\nmode: inprocess\n")
	for _, test := range []struct {
		name    string
		sources Sources
		want    string // empty: nothing is wrong
	}{
		{"the default", Sources{Flags: mode}, ""},
		{"a flag", Sources{Flags: map[string][]string{"mode": {"inprocess"}, "dispatch": {"shared"}}}, "--dispatch shared means nothing with --mode inprocess: one process takes all connections"},
		{"a variable", Sources{Flags: mode, Lookup: environment{"CLUSTER_DISPATCH": "reuseport"}.lookup}, "CLUSTER_DISPATCH=reuseport means nothing with --mode inprocess"},
		{"the file", Sources{File: path}, path + ":1:11: dispatch reuseport means nothing with mode inprocess"},
		{"the file and a flag", Sources{File: written(t, "dispatch: shared\n"), Flags: mode}, "means nothing with --mode inprocess"},
		{"a mode of its own", Sources{File: path, Flags: map[string][]string{"mode": {"prefork"}}}, ""},
		{"a wrong one", Sources{Flags: map[string][]string{"mode": {"inprocess"}, "dispatch": {"best"}}}, `--dispatch "best": give reuseport, shared, handoff, passed or copied`},
	} {
		_, err := Load(test.sources)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

// The list of a stronger source replaces that of a weaker one.
func TestLists(t *testing.T) {
	t.Chdir(t.TempDir())
	path := written(t, "bind:\n  - :81\n  - :82\nprogram: [./a, '', b c]\n")
	for _, test := range []struct {
		name    string
		flags   map[string][]string
		env     environment
		binds   string
		program []string
	}{
		{"file", nil, nil, "tcp://:81 tcp://:82", []string{"./a", "", "b c"}},
		{"variable", nil, environment{"CLUSTER_BIND": ":83, :84,", "CLUSTER_PROGRAM": "x"}, "tcp://:83 tcp://:84", []string{"./a", "", "b c"}},
		{"flags", map[string][]string{"bind": {":85", ":86,:87"}, "program": {"./d", ""}}, environment{"CLUSTER_BIND": ":83"}, "tcp://:85 tcp://:86 tcp://:87", []string{"./d", ""}},
	} {
		l, err := Load(Sources{Flags: test.flags, Lookup: test.env.lookup, File: path})
		if binds := settingNamed("bind").Text(&l.Config); err != nil || binds != test.binds || !slices.Equal(l.Config.Program, test.program) {
			t.Errorf("%s: %s %q %v", test.name, binds, l.Config.Program, err)
		}
	}
}

func TestWhichFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	named := written(t, "threads: 4\n")
	l, err := Load(Sources{})
	if err != nil || l.File != "" || l.Config.Threads != 3 {
		t.Errorf("without a file: %q %d %v", l.File, l.Config.Threads, err)
	}
	if err := os.WriteFile(DefaultFile, []byte("threads: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := environment{FileVariable: named}
	for _, test := range []struct {
		name    string
		sources Sources
		file    string
		threads int
	}{
		{"that of the directory", Sources{}, DefaultFile, 5},
		{"an empty variable", Sources{Lookup: environment{FileVariable: ""}.lookup}, DefaultFile, 5},
		{"variable", Sources{Lookup: env.lookup}, named, 4},
		{"flag", Sources{Lookup: env.lookup, File: DefaultFile}, DefaultFile, 5},
		{"none", Sources{File: os.DevNull}, os.DevNull, 3},
	} {
		if l, err := Load(test.sources); err != nil || l.File != test.file || l.Config.Threads != test.threads {
			t.Errorf("%s: %q %d %v", test.name, l.File, l.Config.Threads, err)
		}
	}
	for path, want := range map[string]string{
		"missing.yaml": "configuration file missing.yaml: no such file or directory",
		dir:            "configuration file " + dir + ": is a directory",
		"/dev/zero":    "configuration file /dev/zero: it is larger than 1MiB, which is no configuration",
	} {
		_, err := Load(Sources{File: path, Flags: map[string][]string{"drain-timeout": {"1s"}}})
		all, ok := errors.AsType[Errors](err)
		if !ok || err.Error() != want || all.From() != FromFile {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}

	// Read again, it may say something else.
	if err := os.WriteFile(DefaultFile, []byte("threads: 6\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := Load(Sources{}); err != nil || l.Config.Threads != 6 {
		t.Errorf("after a change: %d %v", l.Config.Threads, err)
	}
}

func TestAuto(t *testing.T) {
	t.Chdir(t.TempDir())
	cpus := Default().Workers
	for _, test := range []struct {
		flags map[string][]string
		file  string
		want  int
		auto  bool
	}{
		{nil, "", cpus, true},
		{nil, "workers: auto", cpus, true},
		{nil, "workers: 5", 5, false},
		{map[string][]string{"workers": {"auto"}}, "workers: 5", cpus, true},
		{map[string][]string{"max-workers": {"1"}}, "", 1, true}, // never a reason to refuse the start
	} {
		l, err := Load(Sources{Flags: test.flags, File: written(t, test.file)})
		if err != nil || l.Config.Workers != test.want || l.Auto() != test.auto {
			t.Errorf("%v %q: %d workers, auto %v, %v; want %d, %v", test.flags, test.file, l.Config.Workers, l.Auto(), err, test.want, test.auto)
		}
	}
}

// What a value is called, where it comes from, and who has to correct it. FILE stands for the path.
func TestWhoIsWrong(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, test := range []struct {
		name  string
		flags map[string][]string
		env   environment
		file  string
		from  Source
		want  string
	}{
		{
			"a flag",
			map[string][]string{"threads": {"0"}},
			nil, "", FromFlag,
			"--threads 0 is out of range: give 1 to 1024",
		},
		{
			"a variable", nil,
			environment{"MAX_THREADS": "0"},
			"", FromVariable,
			"MAX_THREADS=0 is out of range: give 1 to 1024",
		},
		{
			"a file", nil, nil, "\n  threads: 0", FromFile,
			"FILE:2:12: threads 0 is out of range: give 1 to 1024",
		},
		{
			"as it was written",
			map[string][]string{"settle": {"61m"}, "drain-timeout": {"100000h"}},
			nil, "buffer-body: 4096MiB", FromFlag,
			"FILE:1:14: buffer-body 4096MiB is out of range: give 0 to 1GiB\n--drain-timeout 100000h is too long: give at most a year (8760h)",
		},
		{
			"two of the file", nil, nil, "drain-idle: 9s\ndrain-timeout: 5s\n", FromFile,
			"FILE:1:13: drain-idle 9s is longer than drain-timeout 5s (FILE:2:16): a draining worker would be gone before it closes its silent connections",
		},
		{
			"one of the file and the default", nil, nil, "drain-timeout: 5s\n", FromFile,
			"FILE:1:16: drain-idle 10s (the default) is longer than drain-timeout 5s: a draining worker would be gone before it closes its silent connections",
		},
		{
			"one of the file and a flag",
			map[string][]string{"drain-timeout": {"5s"}},
			nil, "drain-idle: 9s\n", FromFlag,
			"drain-idle 9s (FILE:1:13) is longer than --drain-timeout 5s: a draining worker would be gone before it closes its silent connections",
		},
		{
			"one of the file and a variable", nil,
			environment{"WEB_CONCURRENCY": "9"},
			"max-workers: 8\n", FromVariable,
			"WEB_CONCURRENCY=9 is more than max-workers 8 (FILE:1:14): give 1 to 8, or raise --max-workers (at most 1024)",
		},
		{
			"what is to be done in the file", nil, nil, "workers: 65\n", FromFile,
			"FILE:1:10: workers 65 is more than max-workers 64 (the default): give 1 to 64, or raise max-workers (at most 1024)",
		},
		{
			"an item of a list", nil, nil, "bind:\n- :80\n- :81\n- :80\n", FromFile,
			"FILE:4:3: bind tcp://:80 is given twice",
		},
		{
			"in a row", nil,
			environment{"CLUSTER_BIND": ":80,x,:81"},
			"", FromVariable,
			`CLUSTER_BIND="x": it has no port; write`,
		},
		{
			"metrics on the second address", nil, nil, "metrics: 127.0.0.1:80\nbind:\n- :81\n- 127.0.0.1:080\n", FromFile,
			"FILE:1:10: metrics 127.0.0.1:80 is the address of bind tcp://127.0.0.1:80 (FILE:4:3) too",
		},
		{
			"in the order of the file, and then the rest",
			map[string][]string{"surge": {"0"}},
			nil, "settle: x\nworkers: y\nthreads: 0\n", FromFlag,
			"FILE:1:9: settle \"x\" is no duration: give a number with a unit, such as 500ms, 10s or 2m\nFILE:2:10: workers \"y\" is no whole number\nFILE:3:10: threads 0 is out of range: give 1 to 1024\n--surge 0 is out of range: give 1 to 1024",
		},
		{
			"wrong in the file, if it counts or not",
			map[string][]string{"threads": {"4"}},
			nil, "threads: x\n", FromFile,
			`FILE:1:10: threads "x" is no whole number`,
		},
		{
			"the rest is checked all the same",
			map[string][]string{"drain-timeout": {"5s"}},
			nil, "drain-timeout: 5\n", FromFlag,
			"FILE:1:16: drain-timeout \"5\" is no duration: give a number with a unit, such as 500ms, 10s or 2m\n--drain-idle 10s is longer than --drain-timeout 5s: a draining",
		},
		{
			"a program",
			map[string][]string{"program": {"./app", "x"}, "engine": {"fasthttp"}},
			nil, "", FromFlag,
			"--engine fasthttp is for the reference application: the engine of program ./app is what it calls",
		},
		{
			"what could not be read goes with everything", nil, nil, "drain-timeout: 5\ndrain-idle: 1h\nmax-workers: [8]\nworkers: 80\n", FromFile,
			"FILE:1:16: drain-timeout \"5\" is no duration: give a number with a unit, such as 500ms, 10s or 2m\nFILE:3:14: max-workers is a list: give a whole number",
		},
		{
			"nothing goes with a file that could not be read",
			map[string][]string{"drain-timeout": {"5s"}},
			nil, "- x\n", FromFile,
			"FILE:1:1: this is a list",
		},
		{
			"what cannot be shown",
			map[string][]string{"workers": {"a\nb"}, "settle": {strings.Repeat("x", 300)}},
			nil, "", FromFlag,
			"--workers \"a\\nb\" is no whole number\n--settle \"" + strings.Repeat("x", 200) + "\"… is no duration",
		},
		{
			"too much",
			map[string][]string{"workers": {"99999999999999999999"}},
			nil, "", FromFlag,
			"--workers 99999999999999999999 is out of range",
		},
	} {
		path := written(t, test.file)
		_, err := Load(Sources{Flags: test.flags, Lookup: test.env.lookup, File: path})
		all, ok := errors.AsType[Errors](err)
		if !ok {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got := strings.ReplaceAll(err.Error(), path, "FILE")
		if !strings.HasPrefix(got, test.want) || strings.Count(got, "\n") != strings.Count(test.want, "\n") || all.From() != test.from {
			t.Errorf("%s: from %d\n%s\nwant from %d\n%s", test.name, all.From(), got, test.from, test.want)
		}
	}
}
