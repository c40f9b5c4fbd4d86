package sockets

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
)

// Private is a unix listener a slot, in a folder that only this user can enter: where a front that copies requests finds the
// workers. Like all listeners they are the master's.
type Private struct {
	folder    string
	backlog   int
	listeners []*ipc.FD // by slot
	files     []socketFile
}

// NewPrivate uses a folder that is this user's alone. Sockets that a dead master has left there are removed: the caller has the lock that
// goes with the folder's name. Nothing else is touched.
func NewPrivate(folder string, backlog int) (*Private, error) {
	there, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("folder for the sockets of the workers: %w", err)
	}
	for _, f := range there {
		if f.Type() == fs.ModeSocket {
			_ = os.Remove(filepath.Join(folder, f.Name()))
		}
	}
	return &Private{folder: folder, backlog: backlog}, nil
}

// Folder is where the sockets are: ipc.SlotSocket names them.
func (p *Private) Folder() string { return p.folder }

// OpenSlot makes the listener of a slot, and of those before it, unless they exist.
func (p *Private) OpenSlot(slot int) error {
	for len(p.listeners) <= slot {
		fd, file, err := listenUnix(configs.Bind{Scheme: "unix", Address: ipc.SlotSocket(p.folder, len(p.listeners))}, p.backlog)
		if err != nil {
			return err
		}
		p.listeners, p.files = append(p.listeners, fd), append(p.files, file)
	}
	return nil
}

// Slot is the listener of a slot that was opened.
func (p *Private) Slot(slot int) *ipc.FD { return p.listeners[slot] }

// Close closes the listeners. Those that workers hold go on until the workers close them too.
func (p *Private) Close() {
	for _, fd := range p.listeners {
		fd.Close()
	}
}

// Remove removes the sockets' files and the folder, when no worker is left.
func (p *Private) Remove() {
	for _, f := range p.files {
		f.remove()
	}
	_ = os.Remove(p.folder)
}
