package logs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// printing is a process that prints into pipes, without the process.
type printing struct {
	*Source
	out    *Output
	path   string
	stdout *os.File
	stderr *os.File
}

func follow(t *testing.T, path, format string, origin Origin) *printing {
	t.Helper()
	o, err := Open(path, format)
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := NewPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := NewPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &printing{out: o, path: path, stdout: stdout.Write, stderr: stderr.Write, Source: o.Follow(origin, stdout.Read, stderr.Read)}
	t.Cleanup(p.exit)
	return p
}

// exit closes what the process has open, as its end does.
func (p *printing) exit() {
	p.stdout.Close()
	p.stderr.Close()
}

func say(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

var third = Origin{Title: "worker 3 gen 2", Event: "worker_output", Slot: 3, Generation: 2}

func TestSplitter(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", longest)
	for _, test := range []struct {
		name string
		text string
		want []string // of pieces; a + in front of one that goes on
	}{
		{"nothing", "", nil},
		{"lines", "a\n\nb\n", []string{"a\n\nb\n"}},
		{"no newline at the end", "a\nb", []string{"a\n", "b"}},
		{"as long as may be", long + "\nb\n", []string{long + "\nb\n"}},
		{"one byte too long", long + "y\nb\n", []string{"+" + long, "y\nb\n"}},
		{"twice too long", "a\n" + long + long + "z", []string{"a\n", "+" + long, "+" + long, "z"}},
		{"as long, without an end", long, []string{long}},
	} {
		for _, size := range []int{readSize, 1000, 8191} {
			var got []string
			s := splitter{put: func(text []byte, partial bool) {
				mark := map[bool]string{true: "+"}[partial]
				if n := len(got); n > 0 && !partial && strings.HasSuffix(got[n-1], "\n") {
					got[n-1] += string(text) // how whole lines come together depends on the reads
					return
				}
				got = append(got, mark+string(text))
			}}
			for rest := []byte(test.text); len(rest) > 0; rest = rest[min(size, len(rest)):] {
				s.add(rest[:min(size, len(rest))])
			}
			if strings.HasSuffix(test.text, "\n") && cap(s.rest) > spare {
				t.Errorf("%s: %d bytes are held for %d", test.name, cap(s.rest), len(s.rest))
			}
			s.end()
			if strings.Join(got, "|") != strings.Join(joined(test.want), "|") {
				t.Errorf("%s, reads of %d: %d pieces, want %d", test.name, size, len(got), len(test.want))
			}
		}
	}
}

// joined puts pieces together that TestSplitter puts together.
func joined(pieces []string) (all []string) {
	for _, p := range pieces {
		if n := len(all); n > 0 && strings.HasSuffix(all[n-1], "\n") && !strings.HasPrefix(p, "+") {
			all[n-1] += p
			continue
		}
		all = append(all, p)
	}
	return all
}

// Each line stands behind its process, byte for byte, and a last one without an end too.
func TestText(t *testing.T) {
	t.Parallel()
	p := follow(t, filepath.Join(t.TempDir(), "log"), "text", third)
	binary := "\x00\xff\x1b[2J\r tab\t"
	say(t, p.stderr, "one\n\ntime=now level=INFO msg=x\n"+binary+"\n"+strings.Repeat("y", longest+1)+"\nno end")
	p.stderr.Close()
	p.stdout.Close()
	p.Ended()
	<-p.settled
	say(t, p.out, "the master's own\n")
	p.out.Close()
	title := "worker 3 gen 2"
	want := title + " | one\n" + title + " | \n" + title + " | time=now level=INFO msg=x\n" + title + " | " + binary + "\n" +
		title + " + " + strings.Repeat("y", longest) + "\n" + title + " | y\n" + title + " | no end\nthe master's own\n"
	if got := read(t, p.path); got != want {
		t.Errorf("the log has %d bytes, want %d: %.200q", len(got), len(want), got)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	p := follow(t, filepath.Join(t.TempDir(), "log"), "json", third)
	say(t, p.stdout, "<one>\xff\x00\n"+strings.Repeat("y", longest+1)+"\n")
	p.stdout.Close()
	eventually(t, "standard output", func() bool { return strings.Count(read(t, p.path), "\n") == 3 })
	say(t, p.stderr, "no end")
	p.exit()
	<-p.settled
	p.out.Close()
	var got []record
	for decoder := json.NewDecoder(strings.NewReader(read(t, p.path))); ; {
		var r record
		if err := decoder.Decode(&r); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if time.Since(r.Time) > time.Minute {
			t.Errorf("the time is %v", r.Time)
		}
		r.Time = time.Time{}
		got = append(got, r)
	}
	all := record{Level: "INFO", Event: "worker_output", Slot: 3.0, Generation: 2, Stream: "stdout"}
	one, first, last, end := all, all, all, all
	one.Message, first.Message, last.Message, end.Message = "<one>\ufffd\x00", strings.Repeat("y", longest), "y", "no end"
	first.Partial, end.Stream = true, "stderr"
	if !reflect.DeepEqual(got, []record{one, first, last, end}) {
		t.Errorf("%d records: %.300q", len(got), fmt.Sprintf("%+v", got))
	}
	if !strings.Contains(read(t, p.path), `"<one>`) {
		t.Error("brackets are escaped")
	}
}

// Where nobody reads the log, neither the process that prints nor the master waits: what finds no room is dropped, counted for the
// slot, and said where it is missing.
func TestPrintsAndNobodyReads(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		path := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		reader, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		p := follow(t, path, format, third)
		line := []byte(strings.Repeat("x", 99) + "\n")
		said := 0
		for ; p.out.Lost(3) == 0; said += 100 { // it comes to an end, so the pipe is read on
			if _, err := p.stdout.Write(bytes.Repeat(line, 100)); err != nil {
				t.Fatal(err)
			}
		}
		p.exit()
		<-p.settled
		lost := int(p.out.Lost(3))
		if p.out.Dropped() != 0 || p.out.Lost(0) != 0 {
			t.Errorf("%s: of the master %d are dropped, of slot 0 %d", format, p.out.Dropped(), p.out.Lost(0))
		}
		p.out.mu.Lock()
		if p.queued > room+2*weight {
			t.Errorf("%s: %d bytes are queued", format, p.queued)
		}
		p.out.mu.Unlock()
		text, wrote := make(chan string), make(chan struct{})
		go func() {
			var all []byte
			buf := make([]byte, 64<<10)
			for !bytes.HasSuffix(all, []byte("the end\n")) {
				n, err := reader.Read(buf)
				if all = append(all, buf[:n]...); err != nil {
					break
				}
			}
			text <- string(all)
		}()
		go func() { p.out.Close(); close(wrote) }()
		<-wrote
		<-p.out.done // Close waits for a second only
		say(t, reader, "the end\n")
		got := <-text
		reader.Close()
		missing, noticed := regexp.MustCompile(`(?m)^worker 3 gen 2 ! (\d+) log lines were dropped: nobody read the log$`), 0
		if format == "json" {
			missing = regexp.MustCompile(`"level":"WARN","event":"log_lines_lost","slot":3,"generation":2,"lines":(\d+),"msg":"\d+ log lines were`)
		}
		for _, notice := range missing.FindAllStringSubmatch(got, -1) {
			n, _ := strconv.Atoi(notice[1])
			noticed += n
		}
		if n := strings.Count(got, "xxx\n") + strings.Count(got, `xxx"}`); n != said-lost || noticed != lost {
			t.Errorf("%s: of %d lines %d were dropped, the log has %d and says that %d are missing: %q", format, said, lost, n, noticed, got[max(0, len(got)-300):])
		}
	}
}

// What a process has started may print through its pipes for a while after its end, which ends nothing that was there before;
// then the pipes are closed, and no goroutine is left.
func TestAfterlife(t *testing.T) {
	p := follow(t, filepath.Join(t.TempDir(), "log"), "text", third)
	var said strings.Builder
	for i := range 30 {
		fmt.Fprintf(&said, "line %d\n", i)
	}
	say(t, p.stdout, "out\n")
	say(t, p.stderr, said.String()+strings.Repeat("z", 5000)+"\n\nlast words") // the write ends stay open
	p.Ended()
	lines := p.LastLines(20 * time.Second)
	if len(lines) != tailLines || lines[0] != "line 13" || len(lines[17]) != tailLine || lines[18] != "" || lines[19] != "last words" {
		t.Errorf("the last lines are %.300q", lines)
	}
	say(t, p.stderr, "of a child\n")
	eventually(t, "what the child printed", func() bool {
		got := read(t, p.path)
		return strings.Contains(got, "| last words\n") && strings.Contains(got, "worker 3 gen 2 | of a child\n") && strings.Contains(got, "worker 3 gen 2 | out\n")
	})
	_ = p.files[0].SetReadDeadline(time.Unix(1, 0)) // that of the grace, early
	_ = p.files[1].SetReadDeadline(time.Unix(1, 0))
	eventually(t, "the end of the pipes", func() bool { _, err := p.stderr.WriteString("x\n"); return err != nil })
	eventually(t, "the end of the goroutines", func() bool {
		stacks := make([]byte, 1<<20)
		return !bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("(*Source).read"))
	})
	p.out.Close()
}
