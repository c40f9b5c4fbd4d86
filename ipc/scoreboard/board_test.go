//go:build linux

package scoreboard

import (
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newBoard makes a scoreboard that is gone when the test is over.
func newBoard(t testing.TB, slots, threads int) *Board {
	t.Helper()
	b, err := Create(slots, threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Munmap(b.mem)
		unix.Close(b.fd)
	})
	return b
}

// attach maps b a second time, as a worker does with its inherited descriptor.
func attach(t *testing.T, b *Board) *Board {
	t.Helper()
	fd, err := unix.FcntlInt(uintptr(b.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	other, err := Attach(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(other.mem) })
	if other.FD() != fd {
		t.Errorf("FD() = %d, want %d", other.FD(), fd)
	}
	return other
}

func TestAttachShares(t *testing.T) {
	const slots, threads = 3, 5
	master := newBoard(t, slots, threads)
	worker := attach(t, master)
	if &master.mem[0] == &worker.mem[0] {
		t.Fatal("both are the same mapping")
	}
	if worker.Slots() != slots || worker.Threads() != threads {
		t.Errorf("attached %d slots of %d threads, want %d of %d", worker.Slots(), worker.Threads(), slots, threads)
	}
	for seat := range 2 * slots {
		worker.Row(seat).PID.Store(int64(1000 + seat))
		worker.Row(seat).Duration.Observe(int64(seat))
		for thread := range threads {
			c := worker.Cell(seat, thread)
			c.Take()
			c.Begin(int64(100*seat+thread+1), "GET", "/path")
		}
	}
	for seat := range 2 * slots {
		var counts Counts
		master.Row(seat).Duration.AddTo(&counts)
		if pid := master.Row(seat).PID.Load(); pid != int64(1000+seat) || counts.Count() != 1 || int(counts.Sum) != seat {
			t.Errorf("seat %d: pid %d, %d observations", seat, pid, counts.Count())
		}
		for thread := range threads {
			want := Work{Running: true, Since: int64(100*seat + thread + 1), Method: "GET", Path: "/path"}
			if got := master.Cell(seat, thread).Read(); got != want {
				t.Errorf("seat %d thread %d: %+v, want %+v", seat, thread, got, want)
			}
		}
	}
}

// No record overlaps another one, the header, or the end of the table.
func TestRecordsDoNotOverlap(t *testing.T) {
	for name, b := range map[string]*Board{"memfd": newBoard(t, 3, 5), "private": Private(5)} {
		t.Run(name, func(t *testing.T) {
			used := make([]string, len(b.mem))
			use := func(what string, at unsafe.Pointer, size uintptr) {
				first := uintptr(at) - uintptr(unsafe.Pointer(&b.mem[0]))
				if first%8 != 0 {
					t.Fatalf("%s starts at %d: its words are not atomic everywhere", what, first)
				}
				for i := first; i < first+size; i++ {
					if used[i] != "" {
						t.Fatalf("byte %d belongs to %s and to %s", i, used[i], what)
					}
					used[i] = what
				}
			}
			use("header", unsafe.Pointer(b.header), unsafe.Sizeof(header{}))
			for seat := range 2 * b.Slots() {
				use("row", unsafe.Pointer(b.Row(seat)), unsafe.Sizeof(Row{}))
				for thread := range b.Threads() {
					use("cell", unsafe.Pointer(b.Cell(seat, thread)), unsafe.Sizeof(Cell{}))
				}
			}
		})
	}
}

func TestPrivate(t *testing.T) {
	b := Private(7)
	if b.FD() != -1 || b.Slots() != 1 || b.Threads() != 7 {
		t.Errorf("descriptor %d, %d slots of %d threads", b.FD(), b.Slots(), b.Threads())
	}
	if err := b.header.check(uint64(len(b.mem))); err != nil {
		t.Error(err)
	}
}

func TestSealed(t *testing.T) {
	b := newBoard(t, 1, 1)
	_, sealErr := unix.FcntlInt(uintptr(b.FD()), unix.F_ADD_SEALS, unix.F_SEAL_WRITE)
	for what, err := range map[string]error{
		"shrink": unix.Ftruncate(b.FD(), 0), // it would kill every process that has the table mapped
		"grow":   unix.Ftruncate(b.FD(), int64(len(b.mem))+1),
		"seal":   sealErr,
	} {
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: %v, want EPERM", what, err)
		}
	}
	if flags, err := unix.FcntlInt(uintptr(b.FD()), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x (%v): every child would inherit the table", flags, err)
	}
}

// words are the 64-bit words of a row by the name of their field.
func words(r *Row) map[string][]*atomic.Int64 {
	fields := map[string][]*atomic.Int64{}
	for field := range reflect.TypeFor[Row]().Fields() {
		for at := field.Offset; at < field.Offset+field.Type.Size(); at += 8 {
			fields[field.Name] = append(fields[field.Name], (*atomic.Int64)(unsafe.Add(unsafe.Pointer(r), at)))
		}
	}
	return fields
}

func TestClear(t *testing.T) {
	gauges := map[string]bool{
		"PID": true, "Generation": true, "State": true, "Heartbeat": true, "Open": true, "Accepting": true,
		"Waiting": true, "OldestWaiting": true, "Heap": true, "Goroutines": true,
	}
	b := newBoard(t, 2, 3)
	for seat := range 4 {
		for _, field := range words(b.Row(seat)) {
			for i, w := range field {
				w.Store(int64(10 + i))
			}
		}
		for thread := range 3 {
			b.Cell(seat, thread).Take()
			b.Cell(seat, thread).Begin(1, "GET", "/")
		}
	}
	b.Clear(2)
	for seat := range 4 {
		for name, field := range words(b.Row(seat)) {
			for i, w := range field {
				want := int64(10 + i)
				gauge := gauges[name] || name == "Handoff" && i < 2 // Takes and OldestMovable
				if seat == 2 && gauge {
					want = 0
				} else if seat == 2 && name == "Epoch" {
					want++
				}
				if w.Load() != want {
					t.Errorf("seat %d: %s[%d] is %d, want %d", seat, name, i, w.Load(), want)
				}
			}
		}
		wantBusy := 3
		if seat == 2 {
			wantBusy = 0
		}
		if busy := b.Busy(seat); busy != wantBusy {
			t.Errorf("seat %d: %d threads are busy, want %d", seat, busy, wantBusy)
		}
	}
	b.Clear(2)
	if epoch := b.Row(2).Epoch.Load(); epoch != 12 {
		t.Errorf("epoch %d after the second Clear, want 12", epoch)
	}
}

func TestBusy(t *testing.T) {
	b := newBoard(t, 2, 4)
	steps := []struct {
		name string
		do   func()
		want [4]int // by seat
	}{
		{"new", func() {}, [4]int{}},
		{"one", func() { b.Cell(1, 0).Take() }, [4]int{0, 1}},
		{"last thread", func() { b.Cell(1, 3).Take() }, [4]int{0, 2}},
		{"taken twice", func() { b.Cell(1, 3).Take() }, [4]int{0, 2}},
		{"other seats", func() { b.Cell(0, 0).Take(); b.Cell(3, 3).Take() }, [4]int{1, 2, 0, 1}},
		{"given", func() { b.Cell(1, 0).Give() }, [4]int{1, 1, 0, 1}},
		{"cleared", func() { b.Clear(1) }, [4]int{1, 0, 0, 1}},
		{"all of a seat", func() {
			for i := range 4 {
				b.Cell(2, i).Take()
			}
		}, [4]int{1, 0, 4, 1}},
	}
	for _, step := range steps {
		step.do()
		for seat, want := range step.want {
			if got := b.Busy(seat); got != want {
				t.Errorf("%s: seat %d has %d busy threads, want %d", step.name, seat, got, want)
			}
		}
	}
}
