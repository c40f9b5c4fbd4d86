package logs

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The write of a process waits when nobody reads and its pipe is full, and not before.
func TestPipeSize(t *testing.T) {
	t.Parallel()
	p, err := NewPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	got, err := unix.FcntlInt(p.Write.Fd(), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 && got != PipeSize { // others have limits
		t.Errorf("the pipe has room for %d bytes, want %d", got, PipeSize)
	}
	if err := p.Write.SetWriteDeadline(time.Now()); err == nil {
		t.Error("the write end is in the poller: the process would get one that does not block")
	}
	say(t, p.Write, strings.Repeat("x", got))
}
