package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestControlOf(t *testing.T) {
	for name, test := range map[string]struct {
		file    string // - for none
		flags   map[string]string
		env     map[string]string
		name    string
		control string
		err     string
	}{
		"nothing":              {file: "-", name: "cluster"},
		"an empty file":        {file: "", name: "cluster"},
		"the file":             {file: "name: blog\n", name: "blog"},
		"a path of the file":   {file: "control: c.sock\n", name: "cluster", control: "c.sock"},
		"the environment":      {file: "name: blog\n", env: map[string]string{"CLUSTER_NAME": "shop"}, name: "shop"},
		"an empty variable":    {file: "name: blog\n", env: map[string]string{"CLUSTER_NAME": ""}, name: "blog"},
		"a flag":               {file: "name: blog\n", env: map[string]string{"CLUSTER_NAME": "shop"}, flags: map[string]string{"name": "wiki"}, name: "wiki"},
		"an empty flag":        {file: "control: c.sock\n", flags: map[string]string{"control": ""}, name: "cluster", control: "c.sock"},
		"a flag for the path":  {file: "control: c.sock\n", flags: map[string]string{"control": "d.sock"}, name: "cluster", control: "d.sock"},
		"errors elsewhere":     {file: "wrokers: 2\nthreads: many\nname: blog\nbind: [{}]\n", env: map[string]string{"CLUSTER_THREADS": "x"}, name: "blog"},
		"a name of wrong form": {file: "name: [blog]\ncontrol:\n", name: "cluster"},
		"no YAML":              {file: "name: blog\n\tthreads: 2\n", name: "cluster", err: "cluster.yaml:2:1: a tab"},
		"no YAML, but a flag":  {file: "{", flags: map[string]string{"name": "wiki"}, name: "wiki", err: "cluster.yaml:"},
		"a file that is named": {file: "-", env: map[string]string{"CLUSTER_CONFIG": "gone.yaml"}, name: "cluster", err: "configuration file gone.yaml: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if test.file != "-" {
				if err := os.WriteFile(DefaultFile, []byte(test.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := Sources{Flags: map[string][]string{}, Lookup: func(v string) (string, bool) { value, ok := test.env[v]; return value, ok }}
			for flag, value := range test.flags {
				s.Flags[flag] = []string{value}
			}
			name, control, err := ControlOf(s)
			if name != test.name || control != test.control {
				t.Errorf("%q and %q, want %q and %q", name, control, test.name, test.control)
			}
			if (err == nil) != (test.err == "") || err != nil && !strings.HasPrefix(err.Error(), test.err) {
				t.Errorf("error %v, want %q", err, test.err)
			}
		})
	}
}

// A file that is named and there is the one that counts.
func TestControlOfNamedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.yaml")
	if err := os.WriteFile(path, []byte("name: other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if name, _, err := ControlOf(Sources{File: path}); name != "other" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
}
