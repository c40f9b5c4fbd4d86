package scoreboard

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Create makes a scoreboard for slots × threads in a new memfd.
func Create(slots, threads int) (*Board, error) {
	h := layout(slots, threads)
	fd, err := unix.MemfdCreate("cluster-scoreboard", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("scoreboard: %w", err)
	}
	b, err := initialise(fd, h)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("scoreboard: %w", err)
	}
	return b, nil
}

func initialise(fd int, h header) (*Board, error) {
	size := int(h.cellsAt + 2*h.slots*h.threads*h.cellStride)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	b := &Board{mem: mem, header: (*header)(unsafe.Pointer(&mem[0])), fd: fd}
	*b.header = h
	return b, nil
}
