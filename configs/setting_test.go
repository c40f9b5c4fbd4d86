package configs

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// others are values that differ from the default and go with all others, as a person writes them, and as they come back.
var others = map[string]struct{ written, text string }{
	"mode":    {"inprocess", ""},
	"workers": {"7", ""}, "threads": {"9", ""}, "max-workers": {"99", ""}, "max-threads": {"40", ""},
	"dispatch": {"shared", ""}, "pool": {"queue", ""}, "engine": {"fasthttp", ""}, "gvl": {"true", ""}, "os-threads": {"true", ""}, "busy-poll": {"50000ns", "50µs"}, "batch": {"4", ""},
	"bind": {"tcp://127.0.0.1:8080", ""}, "backlog": {"128", ""}, "metrics": {"off", ""}, "metrics-token-file": {"token", ""}, "page": {"false", ""}, "name": {"blog", ""}, "control": {"/run/blog.sock", ""},
	"max-connections": {"1000", ""}, "max-requests-per-connection": {"100", ""}, "queue-depth": {"16", ""},
	"max-head": {"8KiB", ""}, "max-body": {"10MB", "10000000"}, "buffer-body": {"131072", "128KiB"}, "buffer-response": {"1024KiB", "1MiB"}, "memory": {"6GiB", ""},
	"queue-timeout": {"1500ms", "1.5s"}, "head-timeout": {"31s", ""}, "body-timeout": {"32s", ""}, "idle-timeout": {"120s", "2m"}, "write-timeout": {"33s", ""}, "request-timeout": {"34s", ""},
	"drain-timeout": {"3600s", "1h"}, "drain-idle": {"9s", ""}, "orphan-grace": {"11s", ""},
	"boot-timeout": {"12s", ""}, "heartbeat-timeout": {"13s", ""}, "settle": {"14s", ""}, "probation": {"15s", ""}, "surge": {"2", ""},
	"recycle-requests": {"100000", ""}, "recycle-age": {"24h", ""}, "recycle-memory": {"512MiB", ""}, "drain-delay": {"17s", ""},
	"on-ready": {"./ready", ""}, "on-crash": {"./crash", ""}, "on-restart": {"./restart", ""}, "hook-timeout": {"18s", ""},
	"log-format": {"json", ""}, "log-level": {"error", ""}, "quiet": {"true", ""}, "log-file": {"log", ""}, "log-requests": {"true", ""}, "log-requests-file": {"requests", ""},
	"program": {"./app", ""}, "chdir": {"/srv", ""}, "user": {"app", ""}, "group": {"web", ""}, "umask": {"022", ""}, "pidfile": {"pid", ""},
}

// needs are the settings that go with no default of another one.
var needs = map[string]string{"group": "user", "log-requests-file": "log-requests", "os-threads": "pool", "busy-poll": "pool", "batch": "pool"}

// Each row says all that is shown of it, has a field of its own, and no field is without a row.
func TestSchema(t *testing.T) {
	var c Config
	fields := map[any]string{}
	names := map[string]bool{}
	for _, s := range Settings() {
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(s.Name) || names[s.Name] {
			t.Errorf("%q: the name is taken or in no form for a flag", s.Name)
		}
		names[s.Name] = true
		if s.Short != "" && (len(s.Short) != 1 || s.Short == "C" || s.Short == "h" || names[s.Short]) {
			t.Errorf("%s: -%s is taken", s.Name, s.Short)
		}
		names[s.Short] = s.Short != ""
		if s.Usage == "" || strings.HasSuffix(s.Usage, ".") || strings.Contains(s.Usage, "\n") || len(s.Usage) > 110 {
			t.Errorf("%s: usage %q", s.Name, s.Usage)
		}
		if !slices.Contains(Groups(), s.Group) || !slices.Contains([]Change{Live, Restart, Fixed}, s.Change) {
			t.Errorf("%s: group %q, change %q", s.Name, s.Group, s.Change)
		}
		if s.Kind == Choice && len(s.Words) < 2 {
			t.Errorf("%s: a choice of %q", s.Name, s.Words)
		}
		if s.Kind == Text && s.DefaultForPeople() == "" {
			t.Errorf("%s: nothing says what an empty text means", s.Name)
		}
		if other := fields[s.field(&c)]; other != "" {
			t.Errorf("%s has the field of %s", s.Name, other)
		}
		fields[s.field(&c)] = s.Name
		if s.upTo != nil {
			fields[s.upTo(&c)] = s.Name
		}
	}
	for i := range reflect.TypeFor[Config]().NumField() {
		if fields[reflect.ValueOf(&c).Elem().Field(i).Addr().Interface()] == "" {
			t.Errorf("no setting reaches %s", reflect.TypeFor[Config]().Field(i).Name)
		}
	}
}

// Each source sets the field of the setting and no other, and is named as where it comes from.
func TestEachSettingFromEachSource(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, s := range Settings() {
		other, ok := others[s.Name]
		if !ok {
			t.Errorf("%s: give it a value in this test", s.Name)
			continue
		}
		want := other.text
		if want == "" {
			want = other.written
		}
		file := filepath.Join(t.TempDir(), "x.yaml")
		line := s.Name + ": " + other.written + "\n"
		if s.Kind == Words {
			line = s.Name + ": [" + other.written + "]\n"
		}
		if err := os.WriteFile(file, []byte("# first line\n"+line), 0o600); err != nil {
			t.Fatal(err)
		}
		sources := map[string]Sources{
			s.flag():    {Flags: map[string][]string{s.Name: {other.written}}},
			file + ":2": {File: file},
		}
		for _, variable := range s.Variables() {
			sources[variable] = Sources{Lookup: environment{variable: other.written}.lookup}
		}
		for from, source := range sources {
			if needed := needs[s.Name]; needed != "" {
				if source.Flags == nil {
					source.Flags = map[string][]string{}
				}
				source.Flags[needed] = []string{others[needed].written}
			}
			l, err := Load(source)
			if err != nil {
				t.Errorf("%s from %s: %v", s.Name, from, err)
				continue
			}
			if got := s.Text(&l.Config); got != want {
				t.Errorf("%s from %s: %q, want %q", s.Name, from, got, want)
			}
			if got := l.Origins[s.Name].String(); got != from {
				t.Errorf("%s from %s comes from %s", s.Name, from, got)
			}
			d := Default()
			for _, changed := range Changed(&d, &l.Config) {
				if changed.Name != s.Name && len(source.Flags[changed.Name]) == 0 {
					t.Errorf("%s from %s changes %s", s.Name, from, changed.Name)
				}
			}
		}
	}
}

func TestChanged(t *testing.T) {
	a, b := Default(), Default()
	if changed := Changed(&a, &b); len(changed) > 0 {
		t.Errorf("%v", changed)
	}
	a.Program, b.Program = []string{"a b"}, []string{"a", "b"} // the same for a person
	b.Binds = []Bind{{Scheme: "tcp", Address: "127.0.0.1:9292", Proxy: true}}
	b.Settle = 2 * time.Second
	var names []string
	for _, s := range Changed(&a, &b) {
		names = append(names, s.Name)
	}
	if want := []string{"bind", "settle", "program"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func TestMeasuring(t *testing.T) {
	c := Default()
	c.Pool, c.GVL, c.Dispatch = "queue", true, "shared"
	if got := c.Measuring(); got != nil {
		t.Errorf("%q without any", got)
	}
	c.BusyPoll = time.Microsecond
	c.OSThreads = true
	c.Batch = 2
	c.Dispatch = "passed"
	if got, want := c.Measuring(), []string{"dispatch=passed", "os-threads", "busy-poll", "batch"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for pool, want := range map[string][]string{"lease": nil, "queue": nil, "lanes": {"pool=lanes"}, "unbounded": {"pool=unbounded"}} {
		c := Default()
		c.Pool = pool
		if got := c.Measuring(); !slices.Equal(got, want) {
			t.Errorf("pool %s: %q, want %q", pool, got, want)
		}
	}
}

func TestVariables(t *testing.T) {
	for name, want := range map[string][]string{
		"drain-timeout": {"CLUSTER_DRAIN_TIMEOUT"},
		"workers":       {"CLUSTER_WORKERS", "WEB_CONCURRENCY"},
		"threads":       {"CLUSTER_THREADS", "MAX_THREADS"},
		"program":       nil,
	} {
		if got := settingNamed(name).Variables(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// environment is one of a test's own.
type environment map[string]string

func (e environment) lookup(name string) (string, bool) {
	value, ok := e[name]
	return value, ok
}
