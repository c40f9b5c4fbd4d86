package configs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The lines that are commented out are the defaults, each in its place.
func TestSample(t *testing.T) {
	t.Chdir(t.TempDir())
	sample := Sample()
	if l, err := Load(Sources{File: written(t, sample)}); err != nil || len(fromFile(l)) > 0 {
		t.Errorf("as it is written, it changes %q, %v", fromFile(l), err)
	}
	l, err := Load(Sources{File: written(t, regexp.MustCompile(`(?m)^#([a-z])`).ReplaceAllString(sample, "$1"))})
	if err != nil {
		t.Fatal(err)
	}
	d := Default()
	if changed := Changed(&d, &l.Config); len(changed) > 0 {
		t.Errorf("without the marks, it changes %v", changed)
	}
	if got, want := len(fromFile(l)), len(Settings()); got != want {
		t.Errorf("%d settings of %d are in it", got, want)
	}
	for _, s := range Settings() {
		if !strings.Contains(strings.ToLower(sample), strings.ToLower("\n# "+s.Usage+"\n")) {
			t.Errorf("nothing says what %s is", s.Name)
		}
	}
}

// fromFile are the names of the settings whose values are from the file.
func fromFile(l Loaded) []string {
	var names []string
	for _, s := range Settings() {
		if l.Origins[s.Name].Source == FromFile {
			names = append(names, s.Name)
		}
	}
	return names
}

// samples are the paths of the files for people to begin with.
func samples(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("samples/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%q %v", paths, err)
	}
	return paths
}

func TestSamples(t *testing.T) {
	for _, path := range samples(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^# [^\n]{30,}`).Match(text) {
			t.Errorf("%s: its first line does not say what it is for", path)
		}
		l, err := Load(Sources{File: path})
		if err != nil {
			t.Errorf("%v", err)
		}
		if len(fromFile(l)) == 0 {
			t.Errorf("%s changes nothing", path)
		}
	}
}
