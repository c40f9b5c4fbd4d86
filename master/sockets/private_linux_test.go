package sockets

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/prefork/cluster/ipc"
)

// Each slot has a socket of its own, what a dead master has left is replaced, and at the end nothing of it is there.
func TestPrivate(t *testing.T) {
	t.Parallel()
	root, err := os.MkdirTemp("/tmp", "cl") // those of t.TempDir have paths that are too long
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	folder := filepath.Join(root, "front")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	old, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: ipc.SlotSocket(folder, 1)})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	p, err := NewPrivate(folder, 7)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range []int{0, 2, 1} {
		if err := p.OpenSlot(slot); err != nil {
			t.Fatal(err)
		}
	}
	for slot := range 3 {
		c, err := net.Dial("unix", ipc.SlotSocket(folder, slot))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if waiting, limit, err := Queue(p.Slot(slot)); waiting != 1 || limit != 7 || err != nil {
			t.Errorf("slot %d: %d of %d wait, %v", slot, waiting, limit, err)
		}
	}
	p.Close()
	p.Remove()
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
	if _, err := NewPrivate(folder, 0); err == nil {
		t.Error("a folder that is not there is used")
	}
}

// What is no socket stays.
func TestPrivateTouchesNothingElse(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "0")
	if err := os.WriteFile(file, []byte("mine"), fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
	p, err := NewPrivate(folder, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.OpenSlot(0); err == nil {
		t.Error("a socket has taken the place of a file")
	}
	p.Close()
	p.Remove()
	if text, err := os.ReadFile(file); err != nil || string(text) != "mine" {
		t.Errorf("%q, %v", text, err)
	}
}
