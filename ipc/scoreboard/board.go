package scoreboard

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The identity of the layout. Version changes when the meaning of an existing word changes; appending does not.
const (
	magic   = 0x626f617264636c75 // "ulcdraob": the bytes of a file that starts here
	version = 1

	pageSize = 4096
)

type header struct {
	magic      uint64
	version    uint64
	slots      uint64
	threads    uint64 // cells a seat
	rowStride  uint64 // bytes
	cellStride uint64
	rowsAt     uint64
	cellsAt    uint64
}

// Board is a mapped scoreboard.
type Board struct {
	mem    []byte
	header *header
	fd     int
}

func layout(slots, threads int) header {
	h := header{
		magic: magic, version: version, slots: uint64(slots), threads: uint64(threads),
		rowStride:  roundUp(uint64(unsafe.Sizeof(Row{})), 64),
		cellStride: roundUp(uint64(unsafe.Sizeof(Cell{})), 64),
		rowsAt:     pageSize,
	}
	h.cellsAt = roundUp(h.rowsAt+2*h.slots*h.rowStride, pageSize)
	return h
}

func roundUp(n, to uint64) uint64 { return (n + to - 1) / to * to }

// Attach maps an inherited scoreboard. It fails, and says how, if the table has another layout than this build knows.
func Attach(fd int) (*Board, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("scoreboard: %w", err)
	}
	if st.Size < pageSize {
		return nil, fmt.Errorf("scoreboard: descriptor %d has %d bytes: it is not a scoreboard", fd, st.Size)
	}
	mem, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("scoreboard: %w", err)
	}
	b := &Board{mem: mem, header: (*header)(unsafe.Pointer(&mem[0])), fd: fd}
	if err := b.header.check(uint64(st.Size)); err != nil {
		unix.Munmap(mem)
		return nil, fmt.Errorf("scoreboard: %w", err)
	}
	return b, nil
}

func (h *header) check(size uint64) error {
	mine := layout(1, 1)
	switch {
	case h.magic != magic:
		return fmt.Errorf("it starts with %#x instead of %#x: it is not a scoreboard", h.magic, uint64(magic))
	case h.version != version:
		return fmt.Errorf("it has layout version %d, this program was built for %d: build it with the cluster version that the master runs", h.version, version)
	case h.rowStride < mine.rowStride || h.cellStride < mine.cellStride:
		return fmt.Errorf("its rows have %d and its cells %d bytes, this program was built for %d and %d: the master is older than the program",
			h.rowStride, h.cellStride, mine.rowStride, mine.cellStride)
	case h.slots == 0 || h.threads == 0 || h.slots > 1<<16 || h.threads > 1<<16,
		h.rowStride > 1<<20 || h.cellStride > 1<<20 || h.rowsAt > size || h.cellsAt > size, // so the sums below do not overflow
		(h.rowStride|h.cellStride|h.rowsAt|h.cellsAt)%8 != 0,
		h.rowsAt < pageSize || h.cellsAt < h.rowsAt+2*h.slots*h.rowStride || size < h.cellsAt+2*h.slots*h.threads*h.cellStride:
		return fmt.Errorf("%d bytes do not hold %d slots of %d threads: it is damaged", size, h.slots, h.threads)
	}
	return nil
}

// Private makes a scoreboard in ordinary memory, for a worker that was started by hand.
func Private(threads int) *Board {
	h := layout(1, threads)
	words := make([]uint64, (h.cellsAt+2*h.threads*h.cellStride)/8)
	mem := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*8)
	b := &Board{mem: mem, header: (*header)(unsafe.Pointer(&words[0])), fd: -1}
	*b.header = h
	return b
}

// FD is the descriptor of the memfd, or -1 for a private scoreboard.
func (b *Board) FD() int { return b.fd }

// Slots is how many slots the table holds; there are twice as many seats.
func (b *Board) Slots() int { return int(b.header.slots) }

// Threads is how many cells a seat has.
func (b *Board) Threads() int { return int(b.header.threads) }

// Row is the row of a seat, 0 ≤ seat < 2×Slots.
func (b *Board) Row(seat int) *Row {
	return (*Row)(unsafe.Pointer(&b.mem[b.header.rowsAt+uint64(seat)*b.header.rowStride]))
}

// Cell is the cell of a thread, 0 ≤ thread < Threads, of a seat.
func (b *Board) Cell(seat, thread int) *Cell {
	return (*Cell)(unsafe.Pointer(&b.mem[b.header.cellsAt+(uint64(seat)*b.header.threads+uint64(thread))*b.header.cellStride]))
}

// Busy counts the threads of a seat that run a request. It is counted, never stored: no death can leave it wrong.
func (b *Board) Busy(seat int) int {
	busy := 0
	for i := range b.Threads() {
		if b.Cell(seat, i).word.Load() == wordRunning {
			busy++
		}
	}
	return busy
}

// Clear takes a seat back from a worker that has exited: gauges and cells become zero, the epoch rises, counters stay.
// Only the master calls it.
func (b *Board) Clear(seat int) {
	r := b.Row(seat)
	r.Epoch.Add(1)
	for _, g := range []interface{ Store(int64) }{
		&r.PID, &r.Generation, &r.State, &r.Open, &r.Accepting, &r.Waiting, &r.OldestWaiting, &r.Heartbeat, &r.Heap, &r.Goroutines, &r.Handoff.OldestMovable, &r.Handoff.Takes,
	} {
		g.Store(0)
	}
	for i := range b.Threads() {
		b.Cell(seat, i).reset()
	}
}
