package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/worker"
)

// talker prints what it is asked to: /out and /err a text, /fill so many lines of 1 KiB, /die some last words.
func init() { programs["talker"] = talker }

func talker() {
	err := worker.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := r.FormValue("text")
		switch r.URL.Path {
		case "/out":
			fmt.Fprint(os.Stdout, text)
		case "/err":
			fmt.Fprint(os.Stderr, text)
		case "/room":
			n, err := unix.FcntlInt(2, unix.F_GETPIPE_SZ, 0)
			fmt.Fprint(w, n, err)
		case "/fill":
			lines, _ := strconv.Atoi(text)
			for range lines {
				fmt.Fprintln(os.Stderr, strings.Repeat("f", 1023))
			}
		case "/die":
			fmt.Fprint(os.Stderr, "my last\nwords are \x1b[2J")
			os.Exit(3)
		}
		fmt.Fprintln(w, "done")
	}))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// What workers print stands in the log behind their name; while the master is stopped, they go on until their pipe is full; and
// the events know what a worker had to say before it died.
func TestOutputOfWorkers(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "--workers", "1", "--threads", "3", "--", testBinary(t), "talker")
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(path, text string) (string, error) {
		res, err := client.Get(c.URL(path) + "?text=" + text)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return string(body), err
	}
	must := func(path, text string) string {
		t.Helper()
		body, err := ask(path, text)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return body
	}
	logged := func(text string, times int) {
		t.Helper()
		for end := time.Now().Add(startPatience); strings.Count(c.Log(), text) != times; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the log has %q %d times, want %d", text, strings.Count(c.Log(), text), times)
			}
		}
	}
	must("/out", "to+standard+output%0Aand+%ff%00+more%0A")
	logged("worker 0 gen 1 | to standard output\nworker 0 gen 1 | and \xff\x00 more\n", 1)
	must("/err", "to+standard+error%0A")
	logged("worker 0 gen 1 | to standard error\n", 1)

	var room int
	if _, err := fmt.Sscan(must("/room", ""), &room); err != nil || os.Getuid() == 0 && room != 1<<20 {
		t.Fatalf("a worker's pipe has room for %d bytes, %v", room, err)
	}
	c.Signal(syscall.SIGSTOP)
	defer func() { _ = syscall.Kill(c.PID, syscall.SIGCONT) }() // if the test fails before it does so
	lines := room / 1024
	must("/fill", strconv.Itoa(lines-1)) // it waits for nobody
	filled := make(chan error, 1)
	go func() { _, err := ask("/fill", "3"); filled <- err }()
	must("/out", "other+threads+go+on%0A")
	select {
	case err := <-filled:
		t.Errorf("a full pipe took more (%v): the master was not stopped", err)
	default:
	}
	c.Signal(syscall.SIGCONT)
	if err := <-filled; err != nil {
		t.Error(err)
	}
	logged("worker 0 gen 1 | "+strings.Repeat("f", 1023)+"\n", lines+2)
	logged("worker 0 gen 1 | other threads go on\n", 1)
	if err := os.Truncate(c.log, 0); err != nil { // nobody wants to see a MiB of it if something fails
		t.Fatal(err)
	}

	follow := c.command("events", "-f", "--since", "1h")
	told, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = ask("/die", "")
	c.Await("the worker is replaced", func(s api.Status) bool { return s.State == "ready" && len(s.Deaths) == 1 })
	logged("worker 0 gen 1 | my last\nworker 0 gen 1 | words are \x1b[2J\n", 1)
	died := ""
	for line := range strings.Lines(c.Must("events", "--json")) {
		if strings.Contains(line, `"event":"worker_died"`) {
			died += line
		}
	}
	if !strings.Contains(died, `"level":"error"`) || !strings.Contains(died, `"output":["`) || !strings.Contains(died, `"my last","words are \u001b[2J"]`) || !strings.Contains(died, `"reason":"crash"`) {
		t.Errorf("of the death the events say %q", died)
	}
	if strings.Contains(c.Log(), "output=") {
		t.Error("the log repeats the last lines")
	}
	c.Must("stop")
	all, err := io.ReadAll(told)
	if err != nil || follow.Wait() != nil {
		t.Errorf("events -f: %v, %v", err, follow.ProcessState)
	}
	for _, want := range []string{
		"  info   cluster_starting  cluster starts ", "  info   worker_ready      worker ready slot=0 seat=0 pid=", "  error  worker_died       worker died slot=0 seat=0 pid=",
		"\n    | my last\n    | words are \\x1b[2J\n", "  info   stopping          stopping: workers drain timeout=", "  info   worker_left       worker left slot=0 ",
	} {
		if !strings.Contains(string(all), want) {
			t.Errorf("events -f does not say %q:\n%s", want, all)
		}
	}
}
