package page

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func ask(method, path, tag string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	if tag != "" {
		r.Header.Set("If-None-Match", tag)
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func TestHandler(t *testing.T) {
	t.Parallel()
	tests := []struct {
		method, path string
		status       int
		header, want string
	}{
		{"GET", "/page", 200, "Content-Type", "text/html; charset=utf-8"},
		{"HEAD", "/page", 200, "Content-Type", "text/html; charset=utf-8"},
		{"GET", "/page/page.js", 200, "Content-Type", "text/javascript; charset=utf-8"},
		{"GET", "/page/page.css", 200, "Content-Type", "text/css; charset=utf-8"},
		{"GET", "/page/icon.svg", 200, "Content-Type", "image/svg+xml"},
		{"GET", "/page/page.js", 200, "Cache-Control", "no-cache"},
		{"GET", "/page/", 308, "Location", "../page"},
		{"GET", "/page/page.html", 404, "", ""},
		{"GET", "/page/../page.go", 404, "", ""},
		{"GET", "/page/none.js", 404, "", ""},
		{"POST", "/page", 405, "Allow", "GET, HEAD"},
		{"DELETE", "/page/page.js", 405, "Allow", "GET, HEAD"},
	}
	for _, test := range tests {
		res := ask(test.method, test.path, "")
		if res.StatusCode != test.status || test.header != "" && res.Header.Get(test.header) != test.want {
			t.Errorf("%s %s: %d, %s %q; want %d, %q", test.method, test.path, res.StatusCode, test.header, res.Header.Get(test.header), test.status, test.want)
		}
		if p := res.Header.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'self'") || strings.Contains(p, "unsafe") {
			t.Errorf("%s %s has the policy %q", test.method, test.path, p)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s may be taken for another type", test.method, test.path)
		}
	}
	tag := ask("GET", "/page", "").Header.Get("ETag")
	if res := ask("GET", "/page", tag); res.StatusCode != http.StatusNotModified {
		t.Errorf("the page is sent again to who has it: %d", res.StatusCode)
	}
}

// Nothing is fetched from elsewhere, nothing is inline, and text never becomes markup. Namespaces are no addresses.
func TestFilesStandAlone(t *testing.T) {
	t.Parallel()
	forbidden := regexp.MustCompile(`(?i)https?://\S*|<script>|<style|\son[a-z]+="|\sstyle="|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|@import|url\(`)
	for name, f := range files() {
		for _, found := range forbidden.FindAllString(string(f.content), -1) {
			if !strings.HasPrefix(found, "http://www.w3.org/2000/svg") {
				t.Errorf("%s has %q", name, found)
			}
		}
		if lines := strings.Count(string(f.content), "\n"); lines > 800 {
			t.Errorf("%s has %d lines", name, lines)
		}
	}
}

// Contrasts are those of WCAG 2.2: 4.5 for text (1.4.3), 3 for what has to be told apart from what is behind it (1.4.11).
func TestContrast(t *testing.T) {
	t.Parallel()
	css := string(files()["/page/page.css"].content)
	light, dark, ok := strings.Cut(css, "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("there is no dark palette")
	}
	dark, _, _ = strings.Cut(dark, "\n}\n")
	light, _, _ = strings.Cut(light, "\n}\n")
	tests := []struct {
		least   float64
		fronts  string
		grounds string
	}{
		{4.5, "text muted link good fair bad", "back panel"},
		{4.5, "good", "good-back"},
		{4.5, "fair", "fair-back"},
		{4.5, "bad text", "bad-back"},
		{3, "control first second bad queue cpu scheduler run_queue gc io link", "panel"},
	}
	for scheme, rules := range map[string]string{"light": light, "dark": dark} {
		palette := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([\w-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(rules, -1) {
			palette[m[1]] = luminance(t, m[2])
		}
		for _, test := range tests {
			for _, front := range strings.Fields(test.fronts) {
				for _, ground := range strings.Fields(test.grounds) {
					a, known := palette[front]
					b, knownToo := palette[ground]
					if !known || !knownToo {
						t.Fatalf("the %s palette lacks %s or %s", scheme, front, ground)
					}
					if c := (max(a, b) + 0.05) / (min(a, b) + 0.05); c < test.least {
						t.Errorf("%s: %s on %s has a contrast of %.2f, want %.1f", scheme, front, ground, c, test.least)
					}
				}
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\s+(?:color|background|stroke|border[a-z-]*):.*#[0-9a-f]{3}.*$`).FindAllString(css, -1) {
		t.Errorf("a colour that is not of the palette: %s", m)
	}
}

// luminance is the relative luminance of a colour of sRGB, as WCAG defines it.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

func TestLuminance(t *testing.T) {
	t.Parallel()
	for hex, want := range map[string]string{"000000": "0.0000", "ffffff": "1.0000", "ff0000": "0.2126", "808080": "0.2159"} {
		if got := fmt.Sprintf("%.4f", luminance(t, hex)); got != want {
			t.Errorf("the luminance of %s is %s, want %s", hex, got, want)
		}
	}
}
