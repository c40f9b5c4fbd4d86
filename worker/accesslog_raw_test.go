package worker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a client sends never reaches the log as it is, in neither form; a line stays a line.
func TestAccessLogEscapes(t *testing.T) {
	paths := []string{
		"/%0a%0d2026 forged", "/%1b[31mred", `/"quoted"`, "/a=b%20c", "/%ff%fe", "/%e2%80%aereversed", "/%c2%9bC1", "/%7f", "/%00", "/\xff\x80",
		"/" + strings.Repeat("%0a", 5000), "/" + strings.Repeat("x", 20_000),
	}
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(t.TempDir(), "access")
			w := startWorker(t, loggedHandler(t, nil), func(s *setup) { s.accessLog, s.logFormat = name, format })
			c := dial(t, w.addr)
			asked := 0
			for _, path := range paths {
				c.send("GET " + strings.ReplaceAll(path, " ", "%20") + " HTTP/1.1\r\nHost: test\r\n\r\n")
				want(t, "status of "+path, c.answer("GET").status, 200)
				asked++
			}
			for _, method := range []string{"BREW", strings.Repeat("LONG", 100), "A!#$%&'*+-.^_`|~"} {
				c.send(method + " / HTTP/1.1\r\nHost: test\r\n\r\n")
				want(t, "status", c.answer(method).status, 200)
				asked++
			}
			c.Close()
			for _, text := range []string{"G\x1bT / HTTP/1.1\r\nHost: test\r\n\r\n", "GET /\x1b[0m HTTP/1.1\r\nHost: test\r\n\r\n", "\"\n=\" / HTTP/1.1\r\n\r\n"} {
				bad := dial(t, w.addr)
				bad.send(text)
				want(t, "status", bad.answer("GET").status, 400)
				bad.Close()
				asked++
			}
			eventually(t, "the connections to be closed", func() bool { return w.Row.Open.Load() == 0 })
			if err := w.Requests.Out.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitAfter(string(text), "\n")
			if last := len(lines) - 1; lines[last] != "" || last != asked {
				t.Errorf("%d lines of %d requests", last, asked)
			}
			for _, line := range lines[:len(lines)-1] {
				for i := range len(line) - 1 {
					if line[i] < ' ' || line[i] == 0x7f {
						t.Errorf("%q has byte %#x as it is", line, line[i])
					}
				}
				if len(line) > 4096 || strings.ToValidUTF8(line, "") != line || strings.ContainsAny(line, "\u202e\u009b") {
					t.Errorf("%d bytes: %q", len(line), line)
				}
				if begun := strings.HasPrefix(line, "time="); begun != (format == "text") {
					t.Errorf("not in the form %s: %q", format, line)
				}
			}
			if format == "json" {
				readLog(t, name)
			}
		})
	}
}
