package main

import (
	"slices"
	"testing"
)

func TestWithNumbers(t *testing.T) {
	for _, test := range []struct{ args, want []string }{
		{[]string{"cluster"}, nil},
		{[]string{"cluster", "scale", "-1"}, []string{"cluster", "scale", "--", "-1"}},
		{[]string{"cluster", "scale", "--name", "x", "-2"}, []string{"cluster", "scale", "--name", "x", "--", "-2"}},
		{[]string{"cluster", "scale", "--", "-1"}, nil},
		{[]string{"cluster", "scale", "+1"}, []string{"cluster", "scale", "--", "+1"}},
		{[]string{"cluster", "scale", "4", "--threads", "8"}, []string{"cluster", "scale", "--threads", "8", "--", "4"}},
		{[]string{"cluster", "scale", "--threads=8", "4"}, []string{"cluster", "scale", "--threads=8", "--", "4"}},
		{[]string{"cluster", "scale", "--name", "5", "two"}, nil},
		{[]string{"cluster", "scale", "--threads", "-1"}, nil},
		{[]string{"cluster", "scale", "--threads", "4", "-1"}, []string{"cluster", "scale", "--threads", "4", "--", "-1"}},
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
