package main

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/report"
	"github.com/prefork/cluster/bench/suite"
)

// page is the report of a run that is kept in docs/results.
func page(t *testing.T) string {
	t.Helper()
	f, err := os.Open("../../docs/results/2026-11-22-tail.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	run, trials, err := record.Read(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	suites, err := suite.Make([]string{"tail"}, run.Options)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := report.HTML(&b, run, trials, suites); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The picture stands alone: it is XML, has its titles, a name for each line and for each load, and draws each line.
func TestPicture(t *testing.T) {
	t.Parallel()
	needChromium(t)
	svg, err := picture(page(t), wanted{Suite: "tail", Table: "p99 of waiting, exponential service", Width: 500})
	if err != nil {
		t.Fatal(err)
	}
	var root struct {
		XMLName xml.Name
	}
	if err := xml.Unmarshal([]byte(svg), &root); err != nil || root.XMLName.Local != "svg" || root.XMLName.Space != "http://www.w3.org/2000/svg" {
		t.Errorf("%v: it begins with %+v\n%.500s", err, root, svg)
	}
	for _, text := range []string{
		"p99 of waiting, exponential service", "wait p99, ms", "exponential 50%", "exponential 70%", "exponential 85%",
		"one process, one queue", "reuseport", "shared", "handoff", "passed", "puma", "node",
	} {
		if !strings.Contains(svg, ">"+text+"</text>") {
			t.Errorf("the picture does not say %q", text)
		}
	}
	if n := strings.Count(svg, `aria-roledescription="line mark"`); n != 7 {
		t.Errorf("%d lines are drawn, want 7:\n%.2000s", n, svg)
	}
	if !strings.Contains(svg, `fill="white"`) {
		t.Error("it has no background, so that on a dark page it cannot be read")
	}
}

func TestNoPicture(t *testing.T) {
	t.Parallel()
	if _, err := picture("p50,p99\n", wanted{}); err == nil || !strings.Contains(err.Error(), "give the report.html of a run") {
		t.Errorf("of what is no page: %v", err)
	}
	needChromium(t)
	_, err := picture(page(t), wanted{Suite: "tail", Table: "p99 </script>"})
	for _, says := range []string{`no table "p99 </script>" in the suite tail`, "p99.9 of waiting, fixed service"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %q in it", err, says)
		}
	}
}

func needChromium(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		if os.Getenv("CLUSTER_TEST_NO_SKIP") != "" {
			t.Fatal("chromium is not installed (apt-get install chromium), and CLUSTER_TEST_NO_SKIP is set")
		}
		t.Skip("chromium is not installed: apt-get install chromium")
	}
}
