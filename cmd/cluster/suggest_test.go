package main

import (
	"slices"
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
		{"", ""},
	} {
		want := ""
		if test.want != "" {
			want = " (did you mean --" + test.want + "?)"
		}
		if got := didYouMean(test.given, "--", names); got != want {
			t.Errorf("%q: %q, want %q", test.given, got, want)
		}
	}
}

func TestWithNumbers(t *testing.T) {
	for _, test := range []struct{ args, want []string }{
		{[]string{"cluster"}, nil},
		{[]string{"cluster", "scale", "-1"}, []string{"cluster", "scale", "--", "-1"}},
		{[]string{"cluster", "scale", "--name", "x", "-2"}, []string{"cluster", "scale", "--name", "x", "--", "-2"}},
		{[]string{"cluster", "scale", "--", "-1"}, nil},
		{[]string{"cluster", "scale", "+1"}, nil},
		{[]string{"cluster", "scale", "-x"}, nil},
		{[]string{"cluster", "start", "--", "app", "scale", "-1"}, nil},
	} {
		want := test.want
		if want == nil {
			want = test.args
		}
		if got := withNumbers(test.args); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", test.args, got, want)
		}
	}
}
