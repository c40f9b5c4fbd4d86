package worker

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/ipc"
)

// logRequestsTo gives a member that does not serve yet an access log.
func logRequestsTo(t testing.TB, m *member, name, format string) {
	t.Helper()
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_APPEND|unix.O_WRONLY|unix.O_CLOEXEC, 0o600) // that blocks, as those of a master
	if err != nil {
		t.Fatal(err)
	}
	m.Config.LogRequests = format
	if err := m.openRequestLog(ipc.Own(fd)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		over, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = m.Requests.Out.Close(over)
		m.Requests.GC.Stop()
	})
}

// logging makes a worker log its requests as JSON. Such a worker is of slot 5 and generation 9.
func logging(t *testing.T, name *string) func(*setup) {
	*name = filepath.Join(t.TempDir(), "access")
	return func(s *setup) { s.accessLog, s.logFormat = *name, "json" }
}

// logLine is a line of the access log.
type logLine struct {
	Time       time.Time `json:"time"`
	Method     string    `json:"method"`
	Path       string    `json:"path"`
	Status     int       `json:"status"`
	Bytes      int64     `json:"bytes"`
	Duration   float64   `json:"duration_seconds"`
	Wait       float64   `json:"wait_seconds"`
	GC         float64   `json:"gc_seconds"`
	Slot       int       `json:"slot"`
	Generation int       `json:"generation"`
	Remote     string    `json:"remote"`
}

// readLog is what has been written. Each line must be one object with every field, and no other.
func readLog(t *testing.T, name string) (all []logLine) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return parseLog(t, string(text))
}

func parseLog(t *testing.T, text string) (all []logLine) {
	t.Helper()
	for line := range strings.Lines(text) {
		var l logLine
		in := json.NewDecoder(strings.NewReader(line))
		in.DisallowUnknownFields()
		if err := in.Decode(&l); err != nil || !strings.HasSuffix(line, "}\n") {
			t.Fatalf("line %q: %v", line, err)
		}
		for i := range len(line) - 1 {
			if line[i] < ' ' || line[i] > '~' && line[i] < 0x80 {
				t.Errorf("line %q has byte %#x as it is", line, line[i])
			}
		}
		all = append(all, l)
	}
	return all
}

// awaitLog waits for as many lines, and checks that there are no more.
func awaitLog(t *testing.T, w *testWorker, name string, n int) []logLine {
	t.Helper()
	eventually(t, "the access log", func() bool {
		_ = w.Requests.Out.Flush(context.Background())
		return len(readLog(t, name)) >= n
	})
	all := readLog(t, name)
	if len(all) != n {
		t.Fatalf("%d lines, want %d: %+v", len(all), n, all)
	}
	return all
}

// told is what of a line can be told beforehand.
type told struct {
	method, path string
	status       int
	bytes        int64
}

func (l logLine) told() told { return told{l.Method, l.Path, l.Status, l.Bytes} }

// wantLines compares the lines, and what every line of a worker must have.
func wantLines(t *testing.T, lines []logLine, wanted ...told) {
	t.Helper()
	if len(lines) != len(wanted) {
		t.Fatalf("%d lines, want %d: %+v", len(lines), len(wanted), lines)
	}
	for i, l := range lines {
		want(t, "line", l.told(), wanted[i])
		if age := time.Since(l.Time); age < -time.Second || age > time.Minute {
			t.Errorf("%+v: the time is %v ago", l, age)
		}
		if l.Slot != 5 || l.Generation != 9 || !strings.HasPrefix(l.Remote, "127.0.0.1:") {
			t.Errorf("%+v: want slot 5, generation 9 and the client's address", l)
		}
		if l.Duration < 0 || l.Duration > patience.Seconds() || l.Wait < 0 || l.Wait > patience.Seconds() || l.GC < 0 {
			t.Errorf("%+v: durations that cannot be", l)
		}
	}
}
