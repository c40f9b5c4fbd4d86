package report

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func page(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, syntheticRun(), syntheticTrials(t, 1, 1), suites()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var (
	figure = regexp.MustCompile(`(?s)<figure>.*?</figure>`)
	drawn  = regexp.MustCompile(`(?s)<div class="plot[^"]*"[^>]*>.*?<(svg|canvas)\b`)
	// consoleLine is what chromium logs of the page's console, which is where it tells of refused requests, too.
	consoleLine = regexp.MustCompile(`.*:CONSOLE[(:].*`)
)

// Every picture is drawn, and nothing in the console says that something failed or was to be fetched.
func TestHTMLIsDrawn(t *testing.T) {
	t.Parallel()
	text := page(t)
	dom, console := browse(t, text)
	figures := figure.FindAllString(dom, -1)
	if want := strings.Count(text, "<figure>"); len(figures) != want || want < 8 {
		t.Errorf("%d figures, want the %d of the page, which are at least 8", len(figures), want)
	}
	for _, f := range figures {
		if !drawn.MatchString(f) {
			t.Errorf("a picture was not drawn:\n%.3000s", f)
		}
	}
	if len(console) > 0 {
		t.Errorf("in the console:\n%s", strings.Join(console, "\n"))
	}
}

// The checks of TestHTMLIsDrawn see what they are for: a specification that makes no picture, and a request.
func TestHTMLChecksSee(t *testing.T) {
	t.Parallel()
	text := page(t)
	text = strings.Replace(text, `"type":"bar"`, `"type":"no such mark"`, 1)
	text = strings.Replace(text, "<footer>", `<img src="http://127.0.0.1:9/x.png"><footer>`, 1)
	dom, console := browse(t, text)
	var failed []string
	for _, f := range figure.FindAllString(dom, -1) {
		if !drawn.MatchString(f) {
			failed = append(failed, f)
		}
	}
	if len(failed) != 1 || !strings.Contains(failed[0], "could not be drawn: ") {
		t.Errorf("%d pictures were not drawn, want the one without a mark, and that it says so:\n%.3000s", len(failed), failed)
	}
	all := strings.Join(console, "\n")
	if len(console) < 2 || !strings.Contains(all, "Content Security Policy") {
		t.Errorf("the console does not tell of the picture or of the request:\n%s", all)
	}
}

// browse opens a page in chromium and returns it as its scripts left it, and the console.
func browse(t *testing.T, text string) (dom string, console []string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CLUSTER_TEST_NO_SKIP") != "" {
			t.Fatal("chromium is not installed (apt-get install chromium), and CLUSTER_TEST_NO_SKIP is set")
		}
		t.Skip("chromium is not installed: apt-get install chromium")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "page.html")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// The budget is of virtual time, which stands still while something is being done: a slow machine needs no larger one.
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--user-data-dir="+filepath.Join(dir, "profile"), "--enable-logging=stderr",
		"--virtual-time-budget=60000", "--dump-dom", (&url.URL{Scheme: "file", Path: file}).String())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.Bytes())
	}
	return stdout.String(), consoleLine.FindAllString(stderr.String(), -1)
}

// What can be seen without a browser: nothing is fetched, and each picture can be read as a table.
func TestHTMLStandsAlone(t *testing.T) {
	t.Parallel()
	text := page(t)
	markup := regexp.MustCompile(`(?s)<script.*?</script>`).ReplaceAllString(text, "")
	if fetched := regexp.MustCompile(`<[a-z]+ [^>]*\b(src|href)="[^#][^>]*>`).FindAllString(markup, -1); len(fetched) > 0 {
		t.Errorf("the page fetches %q", fetched)
	}
	for _, f := range figure.FindAllString(text, -1) {
		if !strings.Contains(f, "<table>") || !strings.Contains(f, "<figcaption>") {
			t.Errorf("a picture without a table or caption:\n%.500s", f)
		}
	}
	if n := strings.Count(text, "<script"); n != strings.Count(text, "</script>") {
		t.Errorf("%d scripts begin, another number ends: a library would end its own element", n)
	}
}
