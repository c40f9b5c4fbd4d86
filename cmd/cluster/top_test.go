package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/creack/pty"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/plan"
)

// terminal is a command on a pseudo terminal, and what it has written there.
type terminal struct {
	t      *testing.T
	master *os.File
	slave  *os.File // kept open, so that its settings can be read after the command
	wide   bool
	exited chan int // the exit code

	mu  sync.Mutex
	out bytes.Buffer
}

func startOnTerminal(t *testing.T, c *testCluster, args ...string) *terminal {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	p := &terminal{t: t, master: master, slave: slave, exited: make(chan int, 1)}
	p.resize(80, 24)
	cmd := c.command(args...)
	cmd.Env = append(cmd.Env, "TERM=xterm-256color", "LC_ALL=C.UTF-8")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // resizing sends a signal to the session's foreground
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		buf := make([]byte, 1<<14)
		for {
			n, err := master.Read(buf)
			p.mu.Lock()
			p.out.Write(buf[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
		p.exited <- cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		slave.Close()
		master.Close()
		<-copied
		if t.Failed() {
			text := p.text()
			t.Logf("the terminal got at last:\n%q", text[max(0, len(text)-4000):])
		}
	})
	return p
}

func (p *terminal) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

func (p *terminal) resize(width, height uint16) {
	p.t.Helper()
	if err := pty.Setsize(p.master, &pty.Winsize{Cols: width, Rows: height}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *terminal) press(keys string) {
	p.t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// await waits until all words are on the screen. Only what has changed is written to a terminal, so the size is changed
// until they are there: then everything is written.
func (p *terminal) await(words ...string) {
	p.t.Helper()
	for deadline := time.Now().Add(startPatience); time.Now().Before(deadline); {
		from := len(p.text())
		p.wide = !p.wide
		if p.wide {
			p.resize(120, 30)
		} else {
			p.resize(119, 30)
		}
		for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			text := p.text()[from:]
			if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) }) {
				return
			}
		}
	}
	p.t.Fatalf("the screen never had %q", words)
}

// code waits for the end of the command.
func (p *terminal) code() int {
	p.t.Helper()
	select {
	case code := <-p.exited:
		return code
	case <-time.After(stopPatience):
		p.t.Fatal("the command does not end")
		return -1
	}
}

// settings are those that stty shows.
func (p *terminal) settings() term.State {
	p.t.Helper()
	settings, err := term.GetState(p.slave.Fd())
	if err != nil {
		p.t.Fatal(err)
	}
	return *settings
}

// The whole life of a top on a terminal: it shows the workers, scales, outlives a master that stops answering and one that
// ends, takes keys all the while, and leaves the terminal as it was.
func TestTop(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--workers", "2", "--threads", "3", "--metrics", "off")
	if out := c.Must("top"); !strings.Contains(out, "2 workers × 3 threads") && !strings.Contains(out, "2 workers x 3 threads") || strings.Contains(out, "\x1b") {
		t.Errorf("without a terminal: %q", out)
	}
	if _, stderr, code := c.Command("top", "--interval", "1ms"); code != plan.ExitUsage || !strings.Contains(stderr, "--interval 1ms is too short") {
		t.Errorf("exit code %d: %s", code, stderr)
	}

	screen := startOnTerminal(t, c, "top", "--interval", "100ms")
	before := screen.settings()
	var pids []string
	for _, pid := range c.Workers() {
		pids = append(pids, strconv.Itoa(pid))
	}
	screen.await(append(pids, "SHARED")...) // which has no room in 80 columns
	if raw := screen.settings(); raw == before {
		t.Error("the terminal is not read key by key")
	}
	screen.press("+")
	screen.await("instead")
	screen.press("y")
	s := c.Await("there are 3 workers", func(s api.Status) bool { return s.Workers == 3 && s.State == "ready" })
	screen.await(strconv.Itoa(s.Slots[2].PID))

	c.Signal(syscall.SIGSTOP)
	screen.await("answer")
	screen.press("?")
	screen.await("ctrl-z")
	screen.press("?")
	c.Signal(syscall.SIGCONT)
	c.Must("stop")
	if code := c.Wait(); code != plan.ExitClean {
		t.Errorf("the master ended with exit code %d", code)
	}
	screen.await("nobody", "trying")

	screen.press("q")
	if code := screen.code(); code != plan.ExitClean {
		t.Errorf("exit code %d after q", code)
	}
	if after := screen.settings(); after != before {
		t.Errorf("the terminal was %+v and is %+v", before, after)
	}
	for _, sequence := range []string{"\x1b[?1049l", "\x1b[?25h"} { // the screen of the shell, and its cursor
		if text := screen.text(); strings.LastIndex(text, sequence) < len(text)-200 {
			t.Errorf("it does not end with %q", sequence)
		}
	}
}

// What top asks for over the control socket, and what it makes of the answers.
func TestTopCluster(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "c.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 10)
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- r.Method + " " + r.URL.String() + " " + strings.TrimSpace(string(body))
		switch {
		case r.URL.Path == "/v1/scale":
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, `{"error":"the cluster is stopping"}`)
		case r.URL.Path == "/v1/restart":
			_, _ = io.WriteString(w, `{"generation":2}`)
		case r.URL.Query().Get("since") == "7":
			_, _ = io.WriteString(w, `{"id":8,"event":"worker_ready","fields":{"pid":4000001}}`+"\n"+`{"id":9,"event":"worker_died"}`+"\n")
		case r.URL.Query().Get("since") == "8":
			_, _ = io.WriteString(w, `{"id":9,"ev`)
		default:
			http.NotFound(w, r)
		}
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	c := topCluster{dialClient(path, time.Minute)}
	expect := func(want string) {
		t.Helper()
		if got := <-asked; got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
	}

	events, err := c.Events(t.Context(), 7)
	expect("GET /v1/events?since=7 ")
	if err != nil || len(events) != 2 || events[1].Name != "worker_died" || fmt.Sprint(events[0].Fields["pid"]) != "4000001" {
		t.Errorf("%+v, %v", events, err)
	}
	if _, err := c.Events(t.Context(), 8); err == nil {
		t.Error("half an event is no error")
	}
	expect("GET /v1/events?since=8 ")
	if events, err := c.Events(t.Context(), 0); err != nil || len(events) > 0 {
		t.Errorf("of a master without events: %+v, %v", events, err)
	}
	expect("GET /v1/events?since=0 ")
	slot := 0
	if err := errors.Join(c.Restart(t.Context(), nil), c.Restart(t.Context(), &slot)); err != nil {
		t.Error(err)
	}
	expect("POST /v1/restart {}")
	expect(`POST /v1/restart {"slot":0}`)
	if err := c.Scale(t.Context(), 3); err == nil || err.Error() != "the cluster is stopping" {
		t.Errorf("refused: %v", err)
	}
	expect(`POST /v1/scale {"to":3}`)
	if _, err := c.Status(t.Context()); err == nil || err.Error() != "the master answers 404 Not Found" {
		t.Errorf("no status: %v", err)
	}
	expect("GET /v1/status ")
}

func TestUnicodeLocale(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, false},
		{map[string]string{"LANG": "en_US.UTF-8"}, true},
		{map[string]string{"LANG": "de_DE.utf8"}, true},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_ALL": "C"}, false},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_CTYPE": "POSIX"}, false},
		{map[string]string{"LANG": "C", "LC_CTYPE": "C.UTF-8"}, true},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_ALL": ""}, true},
	} {
		if got := unicodeLocale(func(name string) string { return test.env[name] }); got != test.want {
			t.Errorf("%v: %v, want %v", test.env, got, test.want)
		}
	}
}
