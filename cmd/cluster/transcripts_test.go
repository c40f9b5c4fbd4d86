package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

// transcript is a command of a document and what it prints there.
type transcript struct {
	command string
	output  string
}

// transcripts are the commands of all blocks that are marked as console.
func transcripts(document string) []transcript {
	var all []transcript
	inside := false
	for line := range strings.Lines(document) {
		line = strings.TrimRight(line, "\n")
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case inside && isCommand:
			all = append(all, transcript{command: command})
		case inside:
			last := &all[len(all)-1]
			last.output += line + "\n"
		}
	}
	return all
}

var volatile = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`(time|took|version|control)=\S+`), "$1=…"},
	{regexp.MustCompile(`limits core=.*`), "limits of this machine"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`serving \S+ on`), "serving PROGRAM on"},
	{regexp.MustCompile(`\b(\d+(\.\d+)?(d|h|ms|m|s))+\b`), "DURATION"},
	{regexp.MustCompile(`\d+(\.\d+)?`), "N"},
	{regexp.MustCompile(` +`), " "},
}

// exitCode is a line that `echo $?` prints. It is compared as it is.
var exitCode = regexp.MustCompile(`^\d$`)

// masked replaces what differs from run to run, and leaves out the paragraph on the time of requests: whether there is one depends on how
// long the cluster has been measured.
func masked(text string) (out []string) {
	inTime := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if inTime = strings.HasPrefix(line, "time of requests ") || inTime && line != ""; inTime {
			if n := len(out); n > 0 && out[n-1] == "" {
				out = out[:n-1]
			}
			continue
		}
		if !exitCode.MatchString(line) {
			for _, v := range volatile {
				line = v.pattern.ReplaceAllString(line, v.by)
			}
		}
		out = append(out, line)
	}
	return out
}

// follow runs the commands of a document, one after the other, in a directory of their own. Each must print what the document shows
// and exit 0. `start` begins the cluster that the commands after it speak to; where it names a program, its workers run the one given here.
func follow(t *testing.T, path string, program ...string) {
	t.Helper()
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := shortDir(t)
	c := &testCluster{t: t, Dir: dir, work: dir, log: filepath.Join(dir, "log"), env: environment(dir)}
	for _, step := range transcripts(string(document)) {
		words := strings.Fields(strings.Replace(step.command, "go run ./cmd/cluster ", "cluster ", 1))
		starts := words[0] == "cluster" && words[1] == "start"
		unordered := starts || words[0] == "cluster" && words[1] == "events" // workers become ready in any order
		var run func() string
		switch {
		case starts:
			args, _, runs := cut(words[2:], "--")
			if runs {
				args = slices.Concat(args, []string{"--"}, program)
			}
			c.launch(args)
			c.Await("every worker is ready", func(s api.Status) bool { return s.State == "ready" })
			run = c.Log
		case words[0] == "curl":
			url := strings.Trim(words[len(words)-1], "'")
			run = func() string { return fetch(t, strings.Replace(url, "127.0.0.1:9292", c.Addr, 1)) }
		default:
			run = func() string { return shell(t, c, step.command) }
		}
		if c.PID != 0 {
			c.Await("all is quiet", func(s api.Status) bool {
				return s.State == "ready" && len(s.Slots) == s.Workers && !slices.ContainsFunc(s.Slots, func(w api.WorkerStatus) bool { return w.State != plan.Ready.String() })
			})
		}
		want := masked(step.output)
		if unordered {
			slices.Sort(want)
		}
		var got []string
		for deadline := time.Now().Add(startPatience); ; time.Sleep(50 * time.Millisecond) {
			got = masked(run())
			if unordered {
				slices.Sort(got)
			}
			// An event is there when it has happened, which may take a while.
			if slices.Equal(got, want) || !unordered || starts || time.Now().After(deadline) {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("$ %s prints\n%s\n%s shows\n%s", step.command, strings.Join(got, "\n"), path, strings.Join(want, "\n"))
		}
	}
}

// fetch is what curl prints.
func fetch(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// shell is what a command prints, with this binary as cluster: testscript.Main has put it into PATH.
func shell(t *testing.T, c *testCluster, command string) string {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Dir, cmd.Env = c.work, c.env
	out, err := cmd.CombinedOutput()
	if err != nil && !strings.Contains(command, "| grep") { // which finds nothing as long as nothing has happened
		t.Fatalf("$ %s: %v\n%s", command, err, bytes.TrimSpace(out))
	}
	return string(out)
}
