package main

import "testing"

// The commands of docs/operating.md print what it shows. Its application is one whose third version does not start.
func TestOperating(t *testing.T) {
	t.Parallel()
	follow(t, "../../docs/operating.md", testBinary(t), "moody", "3=exits")
}
