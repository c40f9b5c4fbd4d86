//go:build linux

package ipc

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func randomBytes(n int) []byte {
	data := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{})
	rng.Read(data)
	return data
}

func TestMemfdRoundTrip(t *testing.T) {
	const chunk = 64 << 10
	tests := []struct {
		name        string
		size, limit int
		cut         bool
	}{
		{"empty", 0, chunk, false},
		{"empty, nothing allowed", 0, 0, false},
		{"small", 10, chunk, false},
		{"one below the limit", 99, 100, false},
		{"exactly the limit", 100, 100, false},
		{"one above the limit", 101, 100, true},
		{"nothing allowed", 1, 0, true},
		{"a whole chunk", chunk, 2 * chunk, false},
		{"a whole chunk is the limit", chunk, chunk, false},
		{"a whole chunk and one", chunk + 1, chunk, true},
		{"several chunks", 3*chunk + 7, 4 * chunk, false},
		{"several chunks, cut", 5 * chunk, 3*chunk + 7, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check := watchFDs(t)
			data := randomBytes(tt.size)
			fd, err := NewMemfd("test", data)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ReadMemfd(fd, tt.limit)
			if tt.cut != errors.Is(err, io.ErrShortBuffer) || err != nil && !tt.cut {
				t.Errorf("error %v; cut off: %v", err, tt.cut)
			}
			if want := data[:min(tt.size, tt.limit)]; !bytes.Equal(got, want) {
				t.Errorf("read %d bytes, want %d, or they differ", len(got), len(want))
			}
			check() // ReadMemfd closes it
		})
	}
}

func TestMemfdIsSealed(t *testing.T) {
	fd, err := NewMemfd("test", []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	_, writeErr := unix.Pwrite(fd.Int(), []byte("x"), 0)
	_, sealErr := unix.FcntlInt(uintptr(fd.Int()), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE)
	for what, err := range map[string]error{
		"write":  writeErr,
		"seal":   sealErr,
		"shrink": unix.Ftruncate(fd.Int(), 1),
		"grow":   unix.Ftruncate(fd.Int(), 100),
	} {
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: %v, want EPERM", what, err)
		}
	}
	if flags, err := unix.FcntlInt(uintptr(fd.Int()), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x (%v): a child would inherit the memfd", flags, err)
	}
}

func TestMemfdThroughChannel(t *testing.T) {
	check := watchFDs(t)
	a, b := pair(t)
	data := randomBytes(5 * MaxPacket)
	fd, err := NewMemfd("stacks", data)
	if err != nil {
		t.Fatal(err)
	}
	send(t, a, Message{Type: Stacks, ID: 1}, fd.Int())
	fd.Close()
	got, err := ReadMemfd(receive(t, b, Message{Type: Stacks, ID: 1}), len(data))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("read %d bytes, %v; want %d", len(got), err, len(data))
	}
	a.Close()
	b.Close()
	check()
}

// A reader must not be held up or fed without end by a pipe, nor killed by a file that shrinks under it.
func TestReadMemfdRefuses(t *testing.T) {
	memfd := func(seals int) func(*testing.T) int {
		return func(t *testing.T) int {
			n, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := unix.FcntlInt(uintptr(n), unix.F_ADD_SEALS, seals); err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	tests := []struct {
		name string
		open func(*testing.T) int
	}{
		{"memfd without seals", memfd(0)},
		{"memfd that may shrink", memfd(unix.F_SEAL_WRITE | unix.F_SEAL_GROW)},
		{"memfd that may be written", memfd(unix.F_SEAL_SHRINK | unix.F_SEAL_GROW)},
		{"device", openNull},
		{"regular file", func(t *testing.T) int {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
				t.Fatal(err)
			}
			n, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}},
		{"pipe", func(t *testing.T) int {
			var p [2]int
			if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			unix.Close(p[1])
			return p[0]
		}},
		{"nothing", func(*testing.T) int { return -1 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check := watchFDs(t)
			data, err := ReadMemfd(Own(tt.open(t)), 100)
			wantError(t, err, "no sealed memfd")
			if data != nil {
				t.Errorf("read %q", data)
			}
			check()
		})
	}
}
