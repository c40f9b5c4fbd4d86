package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prefork/cluster/master/plan"
)

// What a command says when the master does not do as it should.
func TestClientExplains(t *testing.T) {
	for _, test := range []struct {
		name  string
		serve func(net.Conn) // nil: nobody listens
		code  int
		want  string
	}{
		{"nobody", nil, plan.ExitNotRunning, "no cluster is running: nobody listens on SOCKET (another one: --name or --control)"},
		{"silent", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, plan.ExitFailure, "control socket SOCKET: the master does not answer; it is stopped or starved of CPU"},
		{"gone", func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<10)) }, plan.ExitFailure, "control socket SOCKET: the master has ended without an answer"},
		{"refused", reply("409 Conflict", `{"error":"the cluster is stopping"}`), plan.ExitFailure, "the cluster is stopping"},
		{"hostile", reply("409 Conflict", `{"error":"worker 0: \u001b[2J\u001b]0;owned\u0007"}`), plan.ExitFailure, `worker 0: \x1b[2J\x1b]0;owned\a`},
		{"older", reply("404 Not Found", "404 page not found\n"), plan.ExitFailure, "the master answers 404 Not Found"},
		{"garbled", reply("200 OK", "{"), plan.ExitFailure, "the master's answer: unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(shortDir(t), "c.sock")
			if test.serve != nil {
				l, err := net.Listen("unix", path)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				go func() {
					c, err := l.Accept()
					if err != nil {
						return
					}
					defer c.Close()
					test.serve(c)
				}()
			}
			patience := time.Minute
			if test.name == "silent" {
				patience = 50 * time.Millisecond
			}
			err := dialClient(path, patience).get(t.Context(), http.MethodGet, "/v1/status", nil, &struct{}{})
			var coded *exitError
			if !errors.As(err, &coded) || coded.code != test.code {
				t.Fatalf("%#v, want exit code %d", err, test.code)
			}
			if want := strings.ReplaceAll(test.want, "SOCKET", path); err.Error() != want {
				t.Errorf("%v\nwant %s", err, want)
			}
		})
	}
}

func reply(status, body string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1<<10))
		_, _ = io.WriteString(c, "HTTP/1.1 "+status+"\r\nConnection: close\r\n\r\n"+body)
	}
}

// What the process of an application says of itself reaches a terminal as text.
func TestStacksAreText(t *testing.T) {
	path := filepath.Join(shortDir(t), "c.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			defer c.Close()
			reply("200 OK", `[{"slot":0,"pid":7,"generation":1,"text":"goroutine 1 [running]:\n\tmain\u001b[2J()","error":"\u001b]0;owned\u0007"}]`)(c)
		}
	}()
	var out strings.Builder
	app := newApp()
	app.Writer = &out
	if err := app.RunContext(t.Context(), []string{"cluster", "stacks", "--control", path}); err != nil {
		t.Fatal(err)
	}
	want := "=== worker 0 (pid 7, generation 1)\nnot available: \\x1b]0;owned\\a\ngoroutine 1 [running]:\n\tmain\\x1b[2J()\n"
	if out.String() != want {
		t.Errorf("%q\nwant %q", out.String(), want)
	}
}
