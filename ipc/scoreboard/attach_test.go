//go:build linux

package scoreboard

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// foreign makes a memfd with another program's header, and returns its descriptor.
func foreign(t *testing.T, size uint64, h header) int {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		t.Fatal(err)
	}
	bytes := (*[unsafe.Sizeof(h)]byte)(unsafe.Pointer(&h))[:]
	if size < uint64(len(bytes)) {
		bytes = bytes[:size]
	}
	if _, err := unix.Pwrite(fd, bytes, 0); err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestAttachRefuses(t *testing.T) {
	const slots, threads = 4, 3
	good := layout(slots, threads)
	size := good.cellsAt + 2*slots*threads*good.cellStride
	tests := []struct {
		name    string
		size    uint64
		damage  func(h *header)
		explain string
	}{
		{"empty", 0, func(*header) {}, "has 0 bytes: it is not a scoreboard"},
		{"smaller than a page", pageSize - 1, func(*header) {}, "has 4095 bytes: it is not a scoreboard"},
		{"zeroes", size, func(h *header) { *h = header{} }, "starts with 0x0 instead of 0x626f617264636c75: it is not a scoreboard"},
		{"other magic", size, func(h *header) { h.magic++ }, "it is not a scoreboard"},
		{"newer", size, func(h *header) { h.version = 2 }, "layout version 2, this program was built for 1: build it with"},
		{"older", size, func(h *header) { h.version = 0 }, "layout version 0"},
		{"smaller rows", size, func(h *header) { h.rowStride -= 64 }, "the master is older than the program"},
		{"smaller cells", size, func(h *header) { h.cellStride -= 64 }, "the master is older than the program"},
		{"no rows", size, func(h *header) { h.rowStride = 0 }, "its rows have 0"},

		{"only the header", pageSize, func(*header) {}, "4096 bytes do not hold 4 slots of 3 threads: it is damaged"},
		{"one byte is missing", size - 1, func(*header) {}, "it is damaged"},
		{"no slots", size, func(h *header) { h.slots = 0 }, "hold 0 slots"},
		{"no threads", size, func(h *header) { h.threads = 0 }, "of 0 threads"},
		{"one slot more", size, func(h *header) { h.slots++ }, "hold 5 slots"},
		{"one thread more", size, func(h *header) { h.threads++ }, "of 4 threads"},
		{"too many slots", size, func(h *header) { h.slots = 1 << 63 }, "it is damaged"},
		{"too many threads", size, func(h *header) { h.threads = 1 << 62 }, "it is damaged"},
		{"as many as a wrong size may hold", size, func(h *header) { h.slots, h.threads = 1<<31, 1<<32 }, "it is damaged"},
		{"rows in the header", size, func(h *header) { h.rowsAt = 64 }, "it is damaged"},
		{"cells in the rows", size, func(h *header) { h.cellsAt -= pageSize }, "it is damaged"},
		{"cells in the header", size, func(h *header) { h.cellsAt = 0 }, "it is damaged"},
		{"cells behind the end", size, func(h *header) { h.cellsAt += 64 }, "it is damaged"},
		{"cells far away", size, func(h *header) { h.cellsAt = -h.cellStride }, "it is damaged"},
		{"rows far away", size, func(h *header) { h.rowsAt = -h.rowStride }, "it is damaged"},
		{"row stride too large", size, func(h *header) { h.rowStride *= 2 }, "it is damaged"},
		{"cell stride too large", size, func(h *header) { h.cellStride *= 2 }, "it is damaged"},
		{"row stride overflows", size, func(h *header) { h.rowStride = 1 << 61 }, "it is damaged"},
		{"cell stride overflows", size, func(h *header) { h.cellStride = 1 << 61 }, "it is damaged"},
		{"rows not aligned", size + 64, func(h *header) { h.rowsAt++; h.cellsAt += 64 }, "it is damaged"},
		{"cells not aligned", size + 64, func(h *header) { h.cellsAt += 4 }, "it is damaged"},
		{"row stride not aligned", size + 64, func(h *header) { h.rowStride++; h.cellsAt += 64 }, "it is damaged"},
		{"cell stride not aligned", size + 64, func(h *header) { h.cellStride++ }, "it is damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := good
			tt.damage(&h)
			b, err := Attach(foreign(t, tt.size, h))
			if b != nil || err == nil {
				t.Fatalf("attached %+v", h)
			}
			if !strings.HasPrefix(err.Error(), "scoreboard: ") || !strings.Contains(err.Error(), tt.explain) {
				t.Errorf("error %q does not say %q", err, tt.explain)
			}
		})
	}
}

func TestAttachNoMemfd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 2*pageSize), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		path    string
		flags   int
		explain string
	}{
		"regular file": {path, unix.O_RDWR, "it is not a scoreboard"},
		"read-only":    {path, unix.O_RDONLY, "permission denied"},
		"device":       {"/dev/null", unix.O_RDWR, "it is not a scoreboard"},
	} {
		fd, err := unix.Open(tt.path, tt.flags|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Attach(fd); err == nil || !strings.Contains(err.Error(), tt.explain) {
			t.Errorf("%s: %v, want %q", name, err, tt.explain)
		}
		unix.Close(fd)
	}
	if _, err := Attach(-1); err == nil || !strings.Contains(err.Error(), "scoreboard: bad file descriptor") {
		t.Errorf("no descriptor: %v", err)
	}
}

// A master that is newer by fields at the end of rows and cells works with a program that does not know them.
func TestAttachLargerStride(t *testing.T) {
	const slots, threads = 3, 2
	mine := layout(slots, threads)
	for name, h := range map[string]header{
		"rows":  {rowStride: mine.rowStride + 64, cellStride: mine.cellStride},
		"cells": {rowStride: mine.rowStride, cellStride: mine.cellStride + 64},
		"both":  {rowStride: mine.rowStride + 640, cellStride: 4 * mine.cellStride},
		"all":   {rowStride: 2 * mine.rowStride, cellStride: 2 * mine.cellStride, rowsAt: 2 * pageSize},
	} {
		t.Run(name, func(t *testing.T) {
			h.magic, h.version, h.slots, h.threads, h.rowsAt = magic, version, slots, threads, max(h.rowsAt, pageSize)
			h.cellsAt = roundUp(h.rowsAt+2*slots*h.rowStride, pageSize)
			size := h.cellsAt + 2*slots*threads*h.cellStride
			b, err := Attach(foreign(t, size, h))
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Munmap(b.mem)
			start := uintptr(unsafe.Pointer(&b.mem[0]))
			for seat := range 2 * slots {
				row := uint64(uintptr(unsafe.Pointer(b.Row(seat))) - start)
				if want := h.rowsAt + uint64(seat)*h.rowStride; row != want {
					t.Errorf("row %d is at %d, want %d", seat, row, want)
				}
				for thread := range threads {
					cell := uint64(uintptr(unsafe.Pointer(b.Cell(seat, thread))) - start)
					if want := h.cellsAt + uint64(seat*threads+thread)*h.cellStride; cell != want {
						t.Errorf("cell %d of seat %d is at %d, want %d", thread, seat, cell, want)
					}
					b.Cell(seat, thread).Take()
				}
				b.Row(seat).Heap.Store(1)
				b.Clear(seat)
				if busy := b.Busy(seat); busy != 0 {
					t.Errorf("seat %d: %d threads are busy", seat, busy)
				}
			}
		})
	}
}
