package hooks

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fakeSystem starts commands that end after a while, unless they hang.
type fakeSystem struct {
	started []string // kind, command and facts
	killed  []int
	refuses bool
}

func (f *fakeSystem) StartHook(k Kind, command string, facts []string) (int, error) {
	if f.refuses {
		return 0, errors.New("no shell today")
	}
	f.started = append(f.started, fmt.Sprintf("%v %s %s", k, command, strings.Join(facts, " ")))
	return len(f.started), nil
}

func (f *fakeSystem) KillHook(pid int) { f.killed = append(f.killed, pid) }

func runner() (*Runner, *fakeSystem, *bytes.Buffer) {
	f, log := &fakeSystem{}, &bytes.Buffer{}
	return New(f, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))), f, log
}

func occasion(facts ...string) Occasion {
	return Occasion{Command: "./told", Timeout: 10 * time.Second, Facts: facts}
}

// One of a kind runs at a time; of what happens meanwhile the last is told, with how many were before it. Other kinds have runs
// of their own.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f, log := runner()
		r.Fire(Crash, Occasion{}, time.Now())
		for n := range 4 {
			r.Fire(Crash, occasion(fmt.Sprint("N=", n)), time.Now())
		}
		r.Fire(Ready, occasion(), time.Now())
		want := []string{"on-crash ./told N=0 CLUSTER_SKIPPED=0", "on-ready ./told CLUSTER_SKIPPED=0"}
		if !slices.Equal(f.started, want) {
			t.Fatalf("started %q, want %q", f.started, want)
		}
		if r.Exited(99, true, "", time.Now()) || !r.Exited(1, false, "exit status 3", time.Now()) || !r.Exited(3, true, "exit status 0", time.Now()) || r.Exited(3, true, "", time.Now()) {
			t.Error("it takes others for its own, or its own for others")
		}
		r.Fire(Crash, occasion("N=5"), time.Now())
		if want = append(want, "on-crash ./told N=3 CLUSTER_SKIPPED=2", "on-crash ./told N=5 CLUSTER_SKIPPED=0"); !slices.Equal(f.started, want) {
			t.Errorf("started %q, want %q", f.started, want)
		}
		if text := log.String(); strings.Count(text, "hook failed") != 1 || !strings.Contains(text, `hook=on-crash pid=1 status="exit status 3"`) {
			t.Errorf("log %q", text)
		}
	})
}

// What takes too long is killed, once, and its place is taken when it has gone.
func TestTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, f, log := runner()
		begun := time.Now()
		r.Fire(Crash, occasion(), begun)
		r.Fire(Crash, occasion("NEXT=1"), begun)
		if wake := r.Tend(begun, time.Time{}); !wake.Equal(begun.Add(10 * time.Second)) {
			t.Errorf("it wants to be called %v later", wake.Sub(begun))
		}
		if sooner := begun.Add(time.Second); !r.Tend(begun, sooner).Equal(sooner) {
			t.Error("it is called later than others want")
		}
		time.Sleep(10*time.Second - time.Millisecond)
		if r.Tend(time.Now(), time.Time{}); len(f.killed) != 0 {
			t.Error("it is killed too soon")
		}
		time.Sleep(time.Millisecond)
		r.Tend(time.Now(), time.Time{})
		if wake := r.Tend(time.Now(), time.Time{}); !slices.Equal(f.killed, []int{1}) || !wake.IsZero() || len(f.started) != 1 {
			t.Errorf("killed %v, started %q, wake %v", f.killed, f.started, wake)
		}
		if r.Exited(1, false, "killed", time.Now()); len(f.started) != 2 || !strings.Contains(log.String(), "takes too long") {
			t.Errorf("started %q, log %q", f.started, log)
		}
	})
}

// The end waits for what runs, but for no more than a second, and begins nothing.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idle, _, _ := runner()
		if idle.Close(time.Now()) {
			t.Error("something runs")
		}
		r, f, _ := runner()
		begun := time.Now()
		r.Fire(Crash, occasion(), begun)
		r.Fire(Crash, occasion(), begun)
		r.Fire(Ready, Occasion{Command: "short", Timeout: 300 * time.Millisecond}, begun)
		if !r.Close(begun) {
			t.Error("nothing runs")
		}
		if wake := r.Tend(begun, time.Time{}); !wake.Equal(begun.Add(300 * time.Millisecond)) {
			t.Errorf("it wants to be called %v later", wake.Sub(begun))
		}
		time.Sleep(999 * time.Millisecond)
		r.Close(time.Now()) // the second is that from the first time
		time.Sleep(time.Millisecond)
		if r.Tend(time.Now(), time.Time{}); len(f.killed) != 2 {
			t.Errorf("killed %v", f.killed)
		}
		r.Fire(Restart, occasion(), time.Now())
		r.Exited(1, false, "killed", time.Now())
		r.Exited(2, false, "killed", time.Now())
		if len(f.started) != 2 || r.Close(time.Now()) {
			t.Errorf("started %q", f.started)
		}
	})
}

// A command that cannot be started is a line in the log, and its kind is free for the next.
func TestRefused(t *testing.T) {
	r, f, log := runner()
	f.refuses = true
	r.Fire(Crash, occasion(), time.Now())
	f.refuses = false
	if r.Fire(Crash, occasion(), time.Now()); len(f.started) != 1 || !strings.Contains(log.String(), "no shell today") {
		t.Errorf("started %q, log %q", f.started, log)
	}
}

// What programs and errors say becomes a string that the kernel takes.
func TestClean(t *testing.T) {
	got := clean([]string{"A=one\x00two\nthree", "B=" + strings.Repeat("ö", factBytes)})
	if got[0] != "A=onetwo\nthree" || len(got[1]) > factBytes || strings.ToValidUTF8(got[1], "?") != got[1] {
		t.Errorf("%.60q", got)
	}
}

// What a command prints is bounded, and it is not stopped by that.
func TestForward(t *testing.T) {
	var out bytes.Buffer
	r := &source{Reader: strings.NewReader("one\ntwo\n" + strings.Repeat("x", 10<<10) + "\n" + strings.Repeat("y\n", 100<<10) + "last")}
	forward(&out, Restart, r)
	text := out.String()
	if !strings.HasPrefix(text, "hook on-restart | one\nhook on-restart | two\nhook on-restart | xxx") || !r.closed || r.Len() != 0 {
		t.Errorf("%.200q, closed %v, %d bytes unread", text, r.closed, r.Len())
	}
	if !strings.HasSuffix(text, fmt.Sprintf("hook on-restart | (%d more bytes were thrown away)\n", 8+(10<<10)+1+(200<<10)+4-outputBytes)) {
		t.Errorf("it ends with %q", text[len(text)-80:])
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "hook on-restart | ") {
			t.Fatalf("line %q", line)
		}
	}
}

type source struct {
	*strings.Reader
	closed bool
}

func (s *source) Close() error { s.closed = true; return nil }
