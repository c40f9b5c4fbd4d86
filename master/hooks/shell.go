package hooks

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/prefork/cluster/master/process"
)

// Shell starts commands with /bin/sh -c: as this process's user, in its directory, with its environment. What happened reaches them
// as variables alone, so no shell interprets it.
type Shell struct {
	Output   io.Writer // gets what they print, a line at a time
	Settings []string  // variables that they do not inherit
}

// outputBytes is how much of what one run prints is kept.
const outputBytes = 64 << 10

// StartHook starts a command. It must not run while another goroutine starts processes.
func (s *Shell) StartHook(k Kind, command string, facts []string) (int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	out, in, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("output of a hook: %w", err)
	}
	defer in.Close()
	pid, err := process.Start(&process.Command{
		Path: "/bin/sh", Name: "/bin/sh", Argv: []string{"sh", "-c", command}, Umask: -1,
		Env:   process.Environment(os.Environ(), s.Settings, facts...),
		Files: []uintptr{null.Fd(), in.Fd(), in.Fd()},
	})
	if err != nil {
		out.Close()
		return 0, err
	}
	go forward(s.Output, k, out)
	return pid, nil
}

// KillHook kills a command and what it has started in its process group.
func (s *Shell) KillHook(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// forward writes lines with the name of the hook, until nobody can write any more. What is too much is read and thrown away, so
// that the command does not wait, and is not killed by a signal.
func forward(w io.Writer, k Kind, r io.ReadCloser) {
	defer r.Close()
	lines := bufio.NewReaderSize(io.LimitReader(r, outputBytes), 4<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if n := len(line); n > 0 {
			if line[n-1] == '\n' {
				line = line[:n-1]
			}
			_, _ = fmt.Fprintf(w, "hook %v | %s\n", k, line)
		}
		if err != nil && err != bufio.ErrBufferFull {
			break
		}
	}
	if n, _ := io.Copy(io.Discard, r); n > 0 {
		_, _ = fmt.Fprintf(w, "hook %v | (%d more bytes were thrown away)\n", k, n)
	}
}
