package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prefork/cluster/master"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

// transcript is a command of a document and what it prints there.
type transcript struct {
	command string
	output  []string
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
			last.output = append(last.output, line)
		}
	}
	return all
}

var volatile = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`(time|took|version|control)=\S+`), "$1=…"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`serving \S+ on`), "serving PROGRAM on"},
	{regexp.MustCompile(`\d+(\.\d+)?`), "N"},
	{regexp.MustCompile(` +`), " "},
}

// masked replaces what differs from run to run, and leaves out the paragraph on the time of requests: whether there is one depends on how
// long the cluster has been measured.
func masked(lines []string) []string {
	out := make([]string, 0, len(lines))
	inTime := false
	for _, line := range lines {
		if inTime = strings.HasPrefix(line, "time of requests ") || inTime && line != ""; inTime {
			if n := len(out); n > 0 && out[n-1] == "" {
				out = out[:n-1]
			}
			continue
		}
		for _, v := range volatile {
			line = v.pattern.ReplaceAllString(line, v.by)
		}
		out = append(out, line)
	}
	return out
}

// The commands of the README print what it shows.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var c *testCluster
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, step := range transcripts(string(readme)) {
		words := strings.Fields(step.command)
		var printed string
		switch {
		case strings.HasPrefix(step.command, "go run ./cmd/cluster start "):
			c = startCluster(t, words[4:]...)
			printed = c.Log()
		case c == nil:
			t.Fatalf("%q comes before the cluster is started", step.command)
		case words[0] == "curl":
			res, err := client.Get(strings.Replace(words[len(words)-1], "127.0.0.1:9292", c.Addr, 1))
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			printed = string(body)
		case words[0] == "cluster":
			c.Await("old workers have left", func(s api.Status) bool {
				return s.State == "ready" && !slices.ContainsFunc(s.Slots, func(w api.WorkerStatus) bool { return w.State != plan.Ready.String() })
			})
			printed = c.Must(words[1:]...)
		default:
			t.Fatalf("this test does not know how to run %q", step.command)
		}
		got := masked(strings.Split(strings.TrimRight(printed, "\n"), "\n"))
		want := masked(step.output)
		if words[0] == "go" { // workers become ready in any order
			slices.Sort(got)
			slices.Sort(want)
		}
		if !slices.Equal(got, want) {
			t.Errorf("$ %s prints\n%s\nthe README shows\n%s", step.command, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	c.Wait()
}

// The README and the command know the same signals.
func TestReadmeSignals(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range master.Signals {
		if line := fmt.Sprintf("| %s | %s |\n", row.Name, row.Effect); !strings.Contains(string(readme), line) {
			t.Errorf("the README lacks the line %q", line)
		}
	}
}
