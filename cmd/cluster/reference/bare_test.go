package reference

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestCPUProfileCannotBeWritten(t *testing.T) {
	t.Setenv(EnvProfile, filepath.Join(t.TempDir(), "nowhere"))
	err := profiled(func() error { t.Error("it served"); return nil })
	if err == nil || !strings.Contains(err.Error(), EnvProfile+": open ") {
		t.Errorf("error %v", err)
	}
}

func TestBareFlags(t *testing.T) {
	for given, wanted := range map[string]string{
		"--engine puma":   `unknown --engine "puma": use nethttp or fasthttp`,
		"--prefork":       "--prefork is fasthttp's: add --engine fasthttp",
		"--processes 2":   "--processes is for --prefork: without it there is one process",
		"--processes=two": `invalid value "two" for --processes`,
		"--threads 3":     "unknown flag --threads",
		"--addr":          "no value for --addr",
		"now":             `it takes no argument "now"`,
		"--engine fasthttp --prefork --processes 0": "--processes 0: give 1 or more",
	} {
		if _, err := parseBare(strings.Fields(given)); err == nil || err.Error() != wanted {
			t.Errorf("%s: %v, want %s", given, err, wanted)
		}
	}
}
