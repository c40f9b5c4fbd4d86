package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prefork/cluster/master/api"
)

// The commands of docs/operating.md print what it shows, one after the other, on one cluster. Its application is one whose third version
// does not start.
func TestOperating(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	var c *testCluster
	for _, step := range transcripts(string(document)) {
		words := strings.Fields(step.command)
		if words[0] != "cluster" {
			t.Fatalf("this test does not know how to run %q", step.command)
		}
		var printed string
		if words[1] == "start" {
			flags, _, _ := cut(words[2:], "--")
			c = startCluster(t, append(slices.Clone(flags), "--", testBinary(t), "moody", "3=exits")...)
			printed = c.Log()
		} else {
			c.Await("all is quiet", func(s api.Status) bool { return s.State == "ready" && len(s.Slots) == s.Workers })
			out, errs, _ := c.Command(words[1:]...)
			printed = out + errs
		}
		got := masked(strings.Split(strings.TrimRight(printed, "\n"), "\n"))
		want := masked(step.output)
		if words[1] == "start" || words[1] == "events" { // workers become ready in any order
			slices.Sort(got)
			slices.Sort(want)
		}
		if !slices.Equal(got, want) {
			t.Errorf("$ %s prints\n%s\nthe document shows\n%s", step.command, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}
