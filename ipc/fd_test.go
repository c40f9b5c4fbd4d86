//go:build linux

package ipc

import (
	"errors"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func openNull(t *testing.T) int {
	t.Helper()
	n, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFDCloseOnce(t *testing.T) {
	check := watchFDs(t)
	n := openNull(t)
	f := Own(n)
	if f.Int() != n {
		t.Errorf("Int() = %d, want %d", f.Int(), n)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f.Int() != -1 {
		t.Errorf("Int() = %d after Close, want -1", f.Int())
	}

	// The number is given to the next file, which a second Close must leave alone.
	next := openNull(t)
	if next != n {
		t.Fatalf("descriptor %d was not given again, but %d", n, next)
	}
	if err := f.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if !isOpen(next) {
		t.Errorf("the second Close closed descriptor %d of somebody else", next)
	}
	unix.Close(next)
	check()
}

func TestFDCloseOnceConcurrently(t *testing.T) {
	check := watchFDs(t)
	for range 200 {
		f := Own(openNull(t))
		start := make(chan struct{})
		errs := make(chan error, 8)
		var wg sync.WaitGroup
		for range cap(errs) {
			wg.Go(func() {
				<-start
				errs <- f.Close() // a second close(2) would answer EBADF
			})
		}
		close(start)
		wg.Wait()
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
	}
	check()
}

func TestFDZero(t *testing.T) {
	for _, f := range []*FD{Own(-1), {}} {
		if f.Int() != -1 {
			t.Errorf("Int() = %d, want -1", f.Int())
		}
		if err := f.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func TestFDCloseError(t *testing.T) {
	n := openNull(t)
	f := Own(n)
	unix.Close(n)
	if err := f.Close(); !errors.Is(err, unix.EBADF) {
		t.Errorf("Close = %v, want EBADF", err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
}

func TestDuplicate(t *testing.T) {
	check := watchFDs(t)
	first := Own(openNull(t))
	second, err := Duplicate(first.Int())
	if err != nil {
		t.Fatal(err)
	}
	if second.Int() == first.Int() || !sameFile(t, first.Int(), second.Int()) {
		t.Errorf("%d is no duplicate of %d", second.Int(), first.Int())
	}
	if flags, err := unix.FcntlInt(uintptr(second.Int()), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x (%v): a child would inherit the duplicate", flags, err)
	}
	first.Close()
	if !isOpen(second.Int()) {
		t.Error("closing the first closed the second")
	}
	second.Close()
	check()

	if _, err := Duplicate(-1); !errors.Is(err, unix.EBADF) {
		t.Errorf("Duplicate(-1) = %v, want EBADF", err)
	}
}
