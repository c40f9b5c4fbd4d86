package main

import (
	"strings"
	"testing"
	"time"
)

func TestSince(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	for _, test := range []struct {
		text string
		id   uint64
		from time.Time
		ok   bool
	}{
		{"", 0, time.Time{}, true},
		{"17", 17, time.Time{}, true},
		{"10m", 0, now.Add(-10 * time.Minute), true},
		{"0s", 0, now, true},
		{"-10m", 0, time.Time{}, false},
		{"-3", 0, time.Time{}, false},
		{"yesterday", 0, time.Time{}, false},
	} {
		id, from, err := sinceOf(test.text, now)
		if id != test.id || !from.Equal(test.from) || (err == nil) != test.ok {
			t.Errorf("%q is %d, %v, %v", test.text, id, from, err)
		}
	}
}

// What comes from outside cannot command a terminal.
func TestEventLines(t *testing.T) {
	t.Parallel()
	answer := `{"id":1,"time":"2026-03-04T05:06:07.089Z","level":"warn","event":"worker_died","message":"it \u001b[2J died","fields":` +
		`{"z":"\u009b2J","pid":1234567,"slot":3,"err":"a \"b\"\nc","empty":"","output":["one\ttwo","\u202e"]}}` + "\n" +
		`{"id":2,"time":"2026-03-04T05:06:07.089Z","level":"info","event":"stopping","message":"stops"}` + "\n"
	at := time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC).Local().Format("2006-01-02 15:04:05.000")
	var text strings.Builder
	if err := eachEvent(strings.NewReader(answer), eventLines(&text, true)); err != nil {
		t.Fatal(err)
	}
	want := yellow + at + `  warn   worker_died       it \x1b[2J died slot=3 pid=1234567 err="a \"b\"\nc" empty="" z=\u009b2J` + plain + "\n" +
		"    | one\\ttwo\n    | \\u202e\n" + at + "  info   stopping          stops\n"
	if text.String() != want {
		t.Errorf("%q, want\n%q", text.String(), want)
	}
	if err := eachEvent(strings.NewReader(answer[:len(answer)-10]), eventLines(&text, false)); err == nil || !strings.Contains(err.Error(), "the events end here") {
		t.Errorf("an answer that is cut off: %v", err)
	}
	if got := safeJSON([]byte("{\"a\":\"\u009b\x7fü\"}")); got != `{"a":"\u009b\u007fü"}` {
		t.Errorf("as JSON %q", got)
	}
}
