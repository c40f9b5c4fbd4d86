// Command picture writes one picture of a benchmark's page as an SVG file of its own, for documents: on white, with its titles in
// it. chromium, from PATH, draws it with the libraries that the page brings along.
//
//	cluster bench report --html report.html results.jsonl
//	go run ./scripts/picture -o waiting.svg report.html tail "p99 of waiting, exponential service"
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html"
	"log"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

//go:embed draw.js
var script string

func main() {
	log.SetFlags(0)
	out := flag.String("o", "picture.svg", "file to write")
	width := flag.Int("width", 640, "width of what is drawn between the axes, in pixels")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "picture [-o FILE] [-width N] report.html SUITE TABLE\n\nTABLE is the heading of the table; its first picture is drawn.\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 3 {
		flag.Usage()
		os.Exit(2)
	}
	page, err := os.ReadFile(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	svg, err := picture(string(page), wanted{Suite: flag.Arg(1), Table: flag.Arg(2), Width: *width})
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(*out, []byte(svg), 0o666); err != nil {
		log.Fatal(err)
	}
}

// wanted says which picture, and how wide.
type wanted struct {
	Suite string `json:"suite"`
	Table string `json:"table"`
	Width int    `json:"width"`
}

// answer is how draw.js leaves the picture, or the reason why there is none, in the page.
var answer = regexp.MustCompile(`(?s)<pre id="(picture|failure)">(.*?)</pre>`)

// picture draws it. The page says itself what it may load, which is nothing.
func picture(page string, w wanted) (string, error) {
	what, err := json.Marshal(w) // it escapes <, so that no title ends the script
	if err != nil {
		return "", err
	}
	end := strings.LastIndex(page, "</body>")
	if end < 0 {
		return "", errors.New("this is no page of cluster bench: it has no </body>; give the report.html of a run")
	}
	page = page[:end] + "<script>\nconst wanted = " + string(what) + ";\n" + script + "</script>\n" + page[end:]
	dom, err := browse(page)
	if err != nil {
		return "", err
	}
	found := answer.FindStringSubmatch(dom)
	if found == nil {
		return "", errors.New("chromium has not drawn the picture; open the page in a browser, whose console says why")
	}
	text := html.UnescapeString(found[2])
	if found[1] == "failure" {
		return "", errors.New(text)
	}
	return text + "\n", nil
}

// browse is a page after its scripts have run.
func browse(page string) (dom string, err error) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		return "", fmt.Errorf("the browser that draws: %w; install it: apt-get install chromium", err)
	}
	dir, err := os.MkdirTemp("", "picture")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "page.html")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		return "", err
	}
	// The budget is of virtual time, which stands still while something is being done: a slow machine needs no larger one.
	cmd := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--user-data-dir="+filepath.Join(dir, "profile"), "--virtual-time-budget=60000",
		"--dump-dom", (&url.URL{Scheme: "file", Path: file}).String())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("chromium: %w\n%s", err, stderr.Bytes())
	}
	return stdout.String(), nil
}
