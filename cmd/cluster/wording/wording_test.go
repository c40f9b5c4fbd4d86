package wording

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

func TestFigures(t *testing.T) {
	t.Parallel()
	seconds := func(f func(float64) string, in float64, want string) {
		t.Helper()
		if got := f(in); got != want {
			t.Errorf("%v: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[float64]string{
		-1: "0s", 0: "0.0s", 9.94: "9.9s", 10: "10s", 59.9: "59s", 60: "1m00s", 3599: "59m59s", 3600: "1h00m", 86399: "23h59m",
		86400: "1d00h", 10 * 86400: "10d00h",
	} {
		seconds(Span, in, want)
	}
	for in, want := range map[float64]string{
		-1: "0ms", 0: "0ms", 0.00005: "0.05ms", 0.000994: "0.99ms", 0.000999: "1.0ms", 0.0012: "1.2ms", 0.00996: "10ms", 0.12: "120ms",
		0.9996: "1.0s", 1.55: "1.6s", 59.94: "59.9s", 59.96: "59s", 60: "1m00s",
	} {
		seconds(Latency, in, want)
	}
	for in, want := range map[float64]string{
		-1: "0", 0: "0", 0.25: "0.2", 9.94: "9.9", 9.96: "10", 1234.4: "1234", 99_999: "99999", 123_456: "123k", 999_600: "1.0M", 12_300_000: "12.3M",
		250_000_000: "250M",
	} {
		seconds(Rate, in, want)
	}
	if got := Size(5 << 20); got != "5.0MB" {
		t.Errorf("Size: %q", got)
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want, ascii string }{
		{"", "", ""},
		{"/a b?c=~", "/a b?c=~", "/a b?c=~"},
		{"/\x1b[31m\x00\r\n\x7f", `/\x1b[31m\x00\r\n\x7f`, `/\x1b[31m\x00\r\n\x7f`},
		{"\u0085\u009b1m", `\u0085\u009b1m`, `\u0085\u009b1m`},
		{"a\xffb\xc3", `a\xffb\xc3`, `a\xffb\xc3`},
		{"/ä/日本/…", "/ä/日本/…", `/\u00e4/\u65e5\u672c/\u2026`},
		{"\u202egpj.exe", `\u202egpj.exe`, `\u202egpj.exe`},
		{"/שלום", `/\u05e9\u05dc\u05d5\u05dd`, `/\u05e9\u05dc\u05d5\u05dd`},
		{"e\u0301", `e\u0301`, `e\u0301`},
		{"👩\u200d👧", `👩\u200d👧`, `\U0001f469\u200d\U0001f467`},
		{"🇩🇪", `\U0001f1e9\U0001f1ea`, `\U0001f1e9\U0001f1ea`},
		{"\u1100\u1161", `\u1100\u1161`, `\u1100\u1161`},
		{"it's", "it's", "it's"},
		{"'ä", "'ä", `'\u00e4`},
	} {
		for _, ascii := range []bool{false, true} {
			want := test.want
			if ascii {
				want = test.ascii
			}
			if got := Printable(test.in, ascii); got != want || Printable(got, ascii) != got {
				t.Errorf("Printable(%q, %v) = %q, want %q", test.in, ascii, got, want)
			}
		}
	}
}

// Whatever a character is, terminals that count by clusters and those that count by characters agree on where the next one
// stands, so no line can grow longer than it was cut.
func TestPrintableIsSteady(t *testing.T) {
	t.Parallel()
	shown := 0
	step := 101 + rune(rand.IntN(100)) // of the large blocks, whose characters are alike, a different sample each time
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if r >= 0x3400 {
			r = min(r+step, unicode.MaxRune)
		}
		s := Printable("a"+string(r)+"b"+string(r)+string(r), false)
		if Width(s) != ansi.StringWidthWc(s) || strings.ContainsFunc(s, unicode.IsControl) {
			t.Fatalf("%U: %q takes %d cells or %d", r, s, Width(s), ansi.StringWidthWc(s))
		}
		if strings.ContainsRune(s, r) && r > '~' {
			shown++
		}
	}
	if shown < 2_000 {
		t.Errorf("only %d characters are shown as they are", shown)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in    string
		cells int
		want  string
	}{
		{"abc", 3, "abc"},
		{"abcd", 3, "ab…"},
		{"日本語", 6, "日本語"},
		{"日本語", 5, "日本…"},
		{"日本語", 4, "日…"},
		{"日本", 2, "…"},
		{"abc", 1, "…"},
		{"abc", 0, ""},
		{"abc", -1, ""},
	} {
		if got := Cut(test.in, test.cells, "…"); got != test.want || Width(got) > max(0, test.cells) {
			t.Errorf("Cut(%q, %d) = %q, want %q", test.in, test.cells, got, test.want)
		}
	}
}

// A text keeps its lines and their indentation, and nothing in them moves the cursor.
func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "one": "one",
		"goroutine 1 [running]:\nmain.main()\n\t/app/main.go:7 +0x1d\n\n": "goroutine 1 [running]:\nmain.main()\n\t/app/main.go:7 +0x1d\n\n",
		"a\r\nb\x1b[2J\n\t\tc\td\u202e":                                   `a\r` + "\n" + `b\x1b[2J` + "\n\t\t" + `c\td\u202e`,
	} {
		if got := Text(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}
