package lines

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func sampleRequest() Request {
	return Request{
		Time: time.Date(2026, 3, 4, 5, 6, 7, 89_999_999, time.UTC), Method: "GET", Path: "/x", Status: 200, Bytes: 13,
		Duration: 1200 * time.Microsecond, Wait: 0, GC: 1, Slot: 3, Generation: 2, Remote: "127.0.0.1:4711",
	}
}

func TestRequestLines(t *testing.T) {
	tests := []struct {
		name       string
		change     func(*Request)
		text, json string // differences: what replaces what
	}{
		{"plain", func(*Request) {}, "", ""},
		{
			"another zone",
			func(r *Request) { r.Time = r.Time.In(time.FixedZone("", -9000)) },
			"time=2026-03-04T05:06:07.089Z -> time=2026-03-04T02:36:07.089-02:30",
			`"time":"2026-03-04T05:06:07.089Z" -> "time":"2026-03-04T02:36:07.089-02:30"`,
		},
		{"a space", func(r *Request) { r.Path = "/a b" }, `path=/x -> path="/a b"`, `"/x" -> "/a b"`},
		{"what looks like another key", func(r *Request) { r.Path = "/ status=500" }, `path=/x -> path="/ status=500"`, `"/x" -> "/ status=500"`},
		{"an equals sign", func(r *Request) { r.Path = "/a=b" }, `path=/x -> path="/a=b"`, `"/x" -> "/a=b"`},
		{"a quote and a backslash", func(r *Request) { r.Path = `/"\` }, `path=/x -> path="/\"\\"`, `"/x" -> "/\"\\"`},
		{"a backslash alone", func(r *Request) { r.Path = `/\n` }, `path=/x -> path=/\n`, `"/x" -> "/\\n"`},
		{"nothing", func(r *Request) { r.Path = "" }, `path=/x -> path=""`, `"/x" -> ""`},
		{"a new line", func(r *Request) { r.Path = "/\r\n\x1b[31m\x7f" }, `path=/x -> path="/\r\n\x1b[31m\x7f"`, `"/x" -> "/\u000d\u000a\u001b[31m\u007f"`},
		{"letters", func(r *Request) { r.Path = "/ä→😀" }, `path=/x -> path=/ä→😀`, `"/x" -> "/ä→😀"`},
		{"not UTF-8", func(r *Request) { r.Path = "/\xff\xc3" }, `path=/x -> path="/\xff\xc3"`, `"/x" -> "/\ufffd\ufffd"`},
		{"C1 and turned text", func(r *Request) { r.Path = "/\u009b\u202e\u2028\U000e0001" }, `path=/x -> path="/\u009b\u202e\u2028\U000e0001"`, `"/x" -> "/\u009b\u202e\u2028\udb40\udc01"`},
		{"a long method", func(r *Request) { r.Method = strings.Repeat("M", 33) }, `method=GET -> method="` + strings.Repeat("M", 29) + `…"`, `"GET" -> "` + strings.Repeat("M", 29) + `…"`},
		{"the longest method", func(r *Request) { r.Method = strings.Repeat("M", 32) }, `method=GET -> method=` + strings.Repeat("M", 32), `"GET" -> "` + strings.Repeat("M", 32) + `"`},
		{
			"a cut between characters",
			func(r *Request) { r.Method = strings.Repeat("M", 28) + "→→" },
			`method=GET -> method="` + strings.Repeat("M", 28) + `…"`, `"GET" -> "` + strings.Repeat("M", 28) + `…"`,
		},
		{
			"a cut between escapes",
			func(r *Request) { r.Method = strings.Repeat("M", 27) + "\x00\x00" },
			`method=GET -> method="` + strings.Repeat("M", 27) + `…"`, `"GET" -> "` + strings.Repeat("M", 27) + `…"`,
		},
		{"long durations", func(r *Request) { r.Wait = 90 * time.Second }, "wait=0s -> wait=1m30s", `"wait_seconds":0 -> "wait_seconds":90`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := sampleRequest()
			test.change(&r)
			text := `time=2026-03-04T05:06:07.089Z method=GET path=/x status=200 bytes=13 duration=1.2ms wait=0s gc=1ns slot=3 generation=2 remote=127.0.0.1:4711` + "\n"
			if got, want := string(r.AppendText([]byte("before "))), "before "+changed(text, test.text); got != want {
				t.Errorf("text:\n%swant:\n%s", got, want)
			}
			object := `{"time":"2026-03-04T05:06:07.089Z","method":"GET","path":"/x","status":200,"bytes":13,"duration_seconds":0.0012,"wait_seconds":0,"gc_seconds":0.000000001,"slot":3,"generation":2,"remote":"127.0.0.1:4711"}` + "\n"
			if got, want := string(r.AppendJSON([]byte("before "))), "before "+changed(object, test.json); got != want {
				t.Errorf("JSON:\n%swant:\n%s", got, want)
			}
		})
	}
}

func changed(line, change string) string {
	from, to, _ := strings.Cut(change, " -> ")
	return strings.Replace(line, from, to, 1)
}

// parsed is a line of the access log as a reader understands it.
type parsed struct {
	Time       time.Time `json:"time"`
	Method     string    `json:"method"`
	Path       string    `json:"path"`
	Status     int       `json:"status"`
	Bytes      int64     `json:"bytes"`
	Duration   float64   `json:"duration_seconds"`
	Wait       float64   `json:"wait_seconds"`
	GC         float64   `json:"gc_seconds"`
	Slot       int       `json:"slot"`
	Generation int       `json:"generation"`
	Remote     string    `json:"remote"`
}

// parseText reads key=value pairs with values quoted as in Go, and asks for the keys in order.
func parseText(t *testing.T, line string) (p parsed) {
	t.Helper()
	line = strings.TrimSuffix(line, "\n")
	value := func(key string) string {
		t.Helper()
		rest, ok := strings.CutPrefix(line, key+"=")
		if !ok {
			t.Fatalf("no %s= at %q", key, line)
		}
		if !strings.HasPrefix(rest, `"`) {
			word, after, _ := strings.Cut(rest, " ")
			line = after
			return word
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			t.Fatalf("%v: %q", err, rest)
		}
		line = strings.TrimPrefix(rest[len(quoted):], " ")
		text, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	number := func(key string) int64 {
		n, err := strconv.ParseInt(value(key), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	seconds := func(key string) float64 {
		d, err := time.ParseDuration(value(key))
		if err != nil {
			t.Fatal(err)
		}
		return d.Seconds()
	}
	moment, err := time.Parse(time.RFC3339, value("time"))
	if err != nil {
		t.Fatal(err)
	}
	p = parsed{
		Time: moment, Method: value("method"), Path: value("path"), Status: int(number("status")), Bytes: number("bytes"),
		Duration: seconds("duration"), Wait: seconds("wait"), GC: seconds("gc"), Slot: int(number("slot")),
		Generation: int(number("generation")), Remote: value("remote"),
	}
	if line != "" {
		t.Fatalf("more than was expected: %q", line)
	}
	return p
}

// same asks that got is want, or the beginning of it with the mark behind, if it does not fit in the log.
func same(t *testing.T, what, got, want string, limit int) {
	t.Helper()
	if got == want {
		return
	}
	head, isCut := strings.CutSuffix(got, cut)
	if !isCut || !strings.HasPrefix(want, head) {
		t.Errorf("%s is read as %q, want %q", what, got, want)
	}
	const longest = 12 // a character in escapes, at most: one beyond the 16-bit ones, in JSON
	if len(want)*longest <= limit || len(head) < (limit-longest-len(cut))/longest {
		t.Errorf("%s of %d bytes was cut to %d", what, len(want), len(head))
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("GET", "/", "127.0.0.1:1", 200, int64(13), int64(1200), int64(1e9))
	f.Add("", "/\x00\x1f\x7f\x80\xff \"=\\", "@", -1, int64(-1), int64(-1), int64(math.MaxInt64))
	f.Add("M\nstatus=1", strings.Repeat("\u202e", 3000), strings.Repeat("r", 300), 0, int64(0), int64(math.MinInt64), int64(0))
	f.Add(strings.Repeat("…", 11), strings.Repeat("x", 2048)+"é", "\xe2\x80", 99, int64(math.MaxInt64), int64(0), int64(59))
	f.Add("\U000e0001", strings.Repeat("\xff", 700), "…", 1, int64(1), int64(1), int64(1))
	f.Fuzz(func(t *testing.T, method, path, remote string, status int, bytesOut, duration, moment int64) {
		r := Request{
			Time: time.Unix(moment%(1<<37), 0).UTC(), Method: method, Path: path, Status: status, Bytes: bytesOut,
			Duration: time.Duration(duration), Wait: time.Duration(duration / 3), GC: time.Duration(moment), Slot: status / 2, Generation: status / 3,
			Remote: remote,
		}
		if r.Time.Year() < 0 || r.Time.Year() > 9999 {
			t.Skip("not in RFC 3339")
		}
		check := func(line []byte, read func([]byte) parsed, clean func(string) string) {
			t.Helper()
			if len(line) > pipeBatch {
				t.Errorf("a line of %d bytes, more than a pipe takes in one piece", len(line))
			}
			if !utf8.Valid(line) {
				t.Errorf("not UTF-8: %q", line)
			}
			if at := bytes.IndexFunc(line, func(c rune) bool { return c < ' ' || c == 0x7f || c >= 0x80 && !strconv.IsPrint(c) }); at != len(line)-1 {
				t.Errorf("%q at %d of %q", line[at], at, line)
			}
			p := read(line)
			same(t, "method", p.Method, clean(method), maxMethod)
			same(t, "path", p.Path, clean(path), maxPath)
			same(t, "remote", p.Remote, clean(remote), maxRemote)
			want := parsed{r.Time, p.Method, p.Path, status, bytesOut, r.Duration.Seconds(), r.Wait.Seconds(), r.GC.Seconds(), r.Slot, r.Generation, p.Remote}
			if !p.Time.Equal(want.Time) {
				t.Errorf("time %v, want %v", p.Time, want.Time)
			}
			if p.Time = want.Time; p != want {
				t.Errorf("read as\n%+v, want\n%+v", p, want)
			}
		}
		check(r.AppendText(nil), func(line []byte) parsed { return parseText(t, string(line)) }, strings.Clone)
		check(r.AppendJSON(nil), func(line []byte) (p parsed) {
			if err := json.Unmarshal(line, &p); err != nil {
				t.Fatalf("%v: %q", err, line)
			}
			return p
		}, func(s string) string { return string([]rune(s)) })
	})
}

// The way of a request's line, from the handler's stack into the ring.
func TestRequestDoesNotAllocate(t *testing.T) {
	w := start(t, openLog(t, t.TempDir()+"/log"), Options{})
	r := sampleRequest()
	r.Path = "/ü \x00"
	for name, appendTo := range map[string]func([]byte) []byte{"text": r.AppendText, "JSON": r.AppendJSON} {
		buf := make([]byte, 0, 1024)
		if n := testing.AllocsPerRun(1000, func() { buf = appendTo(buf[:0]) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
	n := testing.AllocsPerRun(1000, func() {
		var line [512]byte
		_, _ = w.Write(r.AppendText(line[:0]))
	})
	if n != 0 {
		t.Errorf("a line on the stack: %v allocations, want 0", n)
	}
}
