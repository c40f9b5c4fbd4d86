package configs

import (
	"strings"
	"testing"
)

func TestDidYouMean(t *testing.T) {
	names := []string{"start", "status", "stacks", "stop", "workers", "w", "drain-idle"}
	for _, test := range []struct{ given, want string }{
		{"strat", "start"},
		{"sttus", "status"},
		{"worker", "workers"},
		{"wokers", "workers"},
		{"drainidle", "drain-idle"},
		{"drain", "drain-idle"}, // the beginning of a name
		{"stacks", "stacks"},
		{"bench", ""},
		{"x", ""},
		{"w", ""},
		{strings.Repeat("workers", 1<<16), ""},
		{"", ""},
	} {
		want := ""
		if test.want != "" {
			want = " (did you mean --" + test.want + "?)"
		}
		if got := DidYouMean(test.given, "--", names); got != want {
			t.Errorf("%q: %q, want %q", test.given, got, want)
		}
	}
}
