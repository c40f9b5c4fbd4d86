// Package cluster_test holds the packages of this module to docs/architecture.md: who may import whom, what the
// library for applications may not pull in, and how large files and packages may grow.
package cluster_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/prefork/cluster"

// layout says what of this module each package may import outside its tests. A place that ends in /... stands for a
// folder and all below it, * for everything. The first matching row counts. A package without a row fails the test.
var layout = []struct {
	place string
	may   []string
}{
	{".", nil},
	{"ipc/scoreboard", nil},
	{"ipc", []string{"ipc/scoreboard"}},
	{"ipc/keys", []string{"ipc"}},
	{"ipc/profile", nil},
	{"ipc/inbox", []string{"ipc", "ipc/scoreboard"}},
	{"configs", nil},
	{"metrics/rates", []string{"ipc/scoreboard"}},
	{"metrics/merge", nil},
	{"metrics", []string{"ipc/...", "metrics/..."}},
	{"worker/internal/pool", []string{"ipc/scoreboard"}},
	{"worker/internal/engine", []string{"ipc", "ipc/scoreboard", "worker/internal/lines", "worker/internal/pool"}},
	{"worker/internal/kernel", nil},
	{"worker/internal/handoff", []string{"ipc", "ipc/inbox", "ipc/scoreboard", "worker/internal/kernel", "worker/internal/pool"}},
	{"worker/internal/nethttp", []string{"ipc", "ipc/scoreboard", "worker/internal/engine", "worker/internal/pool"}},
	{"worker/internal/metronome", nil},
	{"worker/internal/lines", []string{"worker/internal/metronome"}},
	{"worker/internal/publish", nil},
	{"worker", []string{"ipc/...", "worker/internal/..."}},
	{"worker/demo", []string{"ipc/...", "worker"}},
	{"worker/demo/fastdemo", []string{"worker/demo"}},
	{"worker/prommetrics", []string{"metrics/merge", "worker", "worker/internal/publish"}},
	{"worker/fasthttpworker", []string{"ipc/...", "worker", "worker/internal/..."}},
	{"master/plan", []string{"ipc", "configs"}},
	{"master/sockets", []string{"ipc", "configs"}},
	{"master/keyring", []string{"ipc", "ipc/keys", "configs"}},
	{"master/api", []string{"configs", "master/plan", "master/process", "metrics", "metrics/..."}},
	{"master/journal", nil},
	{"master/notify", nil},
	{"master/elastic", nil},
	{"master/control", []string{"ipc/profile", "master/api", "master/journal", "master/sockets"}},
	{"master/recycle", []string{"configs", "master/plan"}},
	{"master/page", nil},
	{"master/front", nil},
	{"master/hooks", []string{"master/journal", "master/process"}},
	{"master/logs", []string{"master/journal"}},
	{"master/inboxes", []string{"ipc", "ipc/inbox", "ipc/scoreboard"}},
	{"master/process", []string{"ipc"}},
	{"master/application", []string{"master/journal", "ipc", "metrics", "metrics/merge"}},
	{"master", []string{"ipc/...", "configs", "metrics/...", "master/..."}},
	{"bench/peers", []string{"configs"}},
	{"bench/stats", nil},
	{"bench/record", []string{"bench/load", "bench/suite", "bench/target"}},
	{"bench/report", []string{"bench/load", "bench/record", "bench/stats", "bench/suite", "bench/target"}},
	{"bench/load", nil},
	{"bench/...", []string{"bench/...", "configs"}},
	{"internal/handoffmodel", nil},
	{"internal/traffic", nil},
	{"internal/testcert", nil},
	{"internal/verify", []string{"internal/traffic"}},
	{"internal/verify/echo", []string{"internal/verify", "worker", "worker/fasthttpworker"}},
	{"internal/verify/trial", []string{"internal/verify", "master", "master/api"}},
	{"examples/...", []string{"worker", "worker/prommetrics"}},
	{"cmd/worker", []string{"worker", "worker/demo"}},
	{"cmd/cluster/front", []string{"ipc/..."}},
	{"cmd/cluster/rolling", []string{"master/api", "master/plan"}},
	{"cmd/cluster/reference", []string{"ipc", "master/plan", "worker/..."}},
	{"cmd/cluster/wording", nil},
	{"cmd/cluster/top", []string{"cmd/cluster/wording", "master/api", "master/journal", "master/plan", "metrics/rates"}},
	{"cmd/cluster", []string{"*"}},
	{"scripts/...", []string{"*"}},
}

// An application that imports worker must not get any of these with it.
var heavy = []string{"github.com/urfave/cli", "github.com/prometheus", "github.com/valyala/fasthttp"}

var emptyNames = []string{"util", "common", "types", "helpers"}

const (
	maxLines = 400 // of a file that is not a test
	maxFiles = 16  // of a package, without its tests
)

type goPackage struct {
	ImportPath string
	Name       string
	Imports    []string
	Deps       []string
}

func TestArchitectureImports(t *testing.T) {
	for _, p := range packages(t) {
		place, ok := within(p.ImportPath)
		if !ok {
			continue
		}
		may, known := allowed(place)
		if !known {
			t.Errorf("package %s has no row in the layout table of architecture_test.go", place)
			continue
		}
		for _, path := range p.Imports {
			imported, ours := within(path)
			if ours && !slices.ContainsFunc(may, func(pattern string) bool { return matches(pattern, imported) }) {
				t.Errorf("%s imports %s; of this module it may import only %q", place, imported, may)
			}
		}
	}
}

func TestArchitectureWorkerIsLight(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != module+"/worker" {
			continue
		}
		for _, dependency := range p.Deps {
			for _, name := range heavy {
				if strings.HasPrefix(dependency, name) {
					t.Errorf("worker pulls in %s, and every application that imports it would too", dependency)
				}
			}
		}
	}
}

func TestArchitectureNames(t *testing.T) {
	for _, p := range packages(t) {
		place, ours := within(p.ImportPath)
		if ours && (slices.Contains(emptyNames, p.Name) || slices.Contains(emptyNames, path.Base(place))) {
			t.Errorf("package %s: the name does not say what it is about", place)
		}
	}
}

// The files are found by walking, not by go list, so that those for other systems count too, and so that a cached
// result is not used after a file changed.
func TestArchitectureSizes(t *testing.T) {
	files := map[string]int{}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); base == "testdata" || base != "." && strings.HasPrefix(base, ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		files[filepath.Dir(name)]++
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if lines := bytes.Count(text, []byte("\n")); lines > maxLines {
			t.Errorf("%s has %d lines, more than %d: divide it by subject", name, lines, maxLines)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for folder, n := range files {
		if n > maxFiles {
			t.Errorf("package %s has %d files without its tests, more than %d", folder, n, maxFiles)
		}
	}
}

func TestArchitectureTable(t *testing.T) {
	tests := []struct {
		pattern, place string
		want           bool
	}{
		{"ipc", "ipc", true},
		{"ipc", "ipc/scoreboard", false},
		{"ipc/...", "ipc", true},
		{"ipc/...", "ipc/scoreboard", true},
		{"ipc/...", "ipcx", false},
		{"*", "master", true},
	}
	for _, test := range tests {
		if got := matches(test.pattern, test.place); got != test.want {
			t.Errorf("matches(%q, %q) = %v, want %v", test.pattern, test.place, got, test.want)
		}
	}
}

// within is the place of a package in this module, and whether it is one of its packages.
func within(path string) (place string, ours bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

func allowed(place string) (may []string, known bool) {
	for _, row := range layout {
		if matches(row.place, place) {
			return row.may, true
		}
	}
	return nil, false
}

func matches(pattern, place string) bool {
	if folder, ok := strings.CutSuffix(pattern, "/..."); ok {
		return place == folder || strings.HasPrefix(place, folder+"/")
	}
	return pattern == "*" || pattern == place
}

// packages lists every package of the module and all that they import outside their tests.
func packages(t *testing.T) []goPackage {
	t.Helper()
	list := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Name,Imports,Deps", "./...")
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", list, err, stderr.Bytes())
	}
	var all []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s printed what is not JSON: %v", list, err)
		}
		all = append(all, p)
	}
}
