package logs

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// PipeSize is how many bytes a process may print that are not read yet before its write waits, where the system allows it.
const PipeSize = 1 << 20

// Pipe is one stream of a process. The read end is in the poller of this process; the write end blocks, as programs expect it.
type Pipe struct{ Read, Write *os.File }

// NewPipe makes a pipe that no child inherits by itself, with room for PipeSize bytes or as many as fs.pipe-max-size and
// fs.pipe-user-pages-soft leave to this user (pipe(7)). Only a goroutine that no other one forks beside may call it.
func NewPipe() (Pipe, error) {
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		return Pipe{}, fmt.Errorf("log pipe: %w", err)
	}
	unix.CloseOnExec(p[0])
	unix.CloseOnExec(p[1])
	if err := unix.SetNonblock(p[0], true); err != nil {
		unix.Close(p[0])
		unix.Close(p[1])
		return Pipe{}, fmt.Errorf("log pipe: %w", err)
	}
	for size := PipeSize; size > 64<<10 && resize(p[0], size) != nil; size /= 2 {
	}
	return Pipe{os.NewFile(uintptr(p[0]), "output of a worker"), os.NewFile(uintptr(p[1]), "output of a worker")}, nil
}

// Close closes both ends.
func (p Pipe) Close() {
	p.Read.Close()
	p.Write.Close()
}
