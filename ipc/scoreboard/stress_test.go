//go:build linux

package scoreboard

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// envSeat makes the test binary a worker in that seat, see beWorker.
const envSeat = "SCOREBOARD_TEST_SEAT"

func TestMain(m *testing.M) {
	if seat := os.Getenv(envSeat); seat != "" {
		if err := beWorker(seat); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	stressSlots   = 2
	stressThreads = 2
)

// What the processes tell each other lies in counters of rows, which Clear leaves alone: how many run on a thread, the
// last reservation that was "sent" for it, and what a worker has done.
func inside(b *Board, seat, thread int) *atomic.Int64 { return &b.Row(seat).Requests[thread] }

func sent(b *Board, seat, thread int) *atomic.Int64 { return &b.Row(seat).Handoff.Moved[thread] }

func rounds(b *Board, seat int) *atomic.Int64  { return &b.Row(seat).Accepted }
func claims(b *Board, seat int) *atomic.Int64  { return &b.Row(seat).Handoff.Received }
func expired(b *Board, seat int) *atomic.Int64 { return &b.Row(seat).Handoff.Expired }

// beWorker takes, gives, reserves, withdraws, claims and expires at random, in three goroutines, until its input ends.
func beWorker(seatText string) error {
	seat, err := strconv.Atoi(seatText)
	if err != nil {
		return err
	}
	b, err := Attach(3)
	if err != nil {
		return err
	}
	var stop atomic.Bool
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop.Store(true)
	}()
	clock := NewClock()
	var nonce atomic.Uint64
	nonce.Store(rand.Uint64())
	failed := make(chan error, 3)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for !stop.Load() {
				if err := stressRound(b, seat, clock, nonce.Add(1)); err != nil {
					failed <- err
					stop.Store(true)
				}
				rounds(b, seat).Add(1)
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}

func stressRound(b *Board, seat int, clock Clock, nonce uint64) error {
	thread := rand.IntN(stressThreads)
	own := b.Cell(seat, thread)
	run := func(how string) error {
		n := inside(b, seat, thread)
		if now := n.Add(1); now != 1 {
			return fmt.Errorf("seat %d, thread %d: %d are inside after a %s", seat, thread, now, how)
		}
		own.Begin(clock.Now(), "GET", how)
		if now := n.Add(-1); now != 0 {
			return fmt.Errorf("seat %d, thread %d: %d others were inside after a %s", seat, thread, now, how)
		}
		own.Give()
		return nil
	}
	switch rand.IntN(8) {
	case 0, 1:
		if own.Take() {
			return run("take")
		}
	case 2, 3:
		// Some packets come twice: the second claim must fail.
		r := Reservation(sent(b, seat, thread).Load())
		if rand.IntN(2) == 0 {
			sent(b, seat, thread).CompareAndSwap(int64(r), 0)
		}
		if own.Claim(r) {
			claims(b, seat).Add(1)
			return run("claim")
		}
	case 4:
		// Now and then long after the reservation.
		if own.Expire(clock.Now() + rand.Int64N(2)*int64(time.Second)) {
			expired(b, seat).Add(1)
		}
	default:
		to := rand.IntN(2 * stressSlots)
		if to == seat {
			return nil
		}
		sibling := b.Cell(to, thread)
		r, ok := sibling.Reserve(seat, clock.Now(), nonce)
		if !ok {
			return nil
		}
		if rand.IntN(4) > 0 {
			sent(b, to, thread).Store(int64(r))
		}
		if rand.IntN(3) == 0 {
			sibling.Withdraw(r)
		}
	}
	return nil
}

type stressWorker struct {
	command *exec.Cmd
	input   io.Closer
	output  *bytes.Buffer
}

func startWorker(t *testing.T, b *Board, seat int) stressWorker {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(uintptr(b.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "scoreboard")
	defer file.Close()
	w := stressWorker{command: exec.Command(self), output: &bytes.Buffer{}}
	w.command.Env = append(os.Environ(), fmt.Sprintf("%s=%d", envSeat, seat))
	w.command.ExtraFiles = []*os.File{file}
	w.command.Stdout, w.command.Stderr = w.output, w.output
	if w.input, err = w.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := w.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // of one that has exited it does nothing
		w.command.Process.Kill()
		w.command.Wait()
	})
	return w
}

// Processes use each other's threads at random and are killed in the middle of it; the test is their master. A thread never runs
// two, and in the end every word is free.
func TestStress(t *testing.T) {
	const kills = 12
	b := newBoard(t, stressSlots, stressThreads)
	workers := make([]stressWorker, 2*stressSlots)
	for seat := range workers {
		workers[seat] = startWorker(t, b, seat)
	}
	deadline := time.Now().Add(60 * time.Second)
	progress := func(seat int, more int64) {
		t.Helper()
		for want := rounds(b, seat).Load() + more; rounds(b, seat).Load() < want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				workers[seat].command.Process.Kill()
				workers[seat].command.Wait()
				t.Fatalf("seat %d has stopped: %s", seat, workers[seat].output)
			}
		}
	}
	for range kills {
		seat := rand.IntN(len(workers))
		progress(seat, 2000+rand.Int64N(2000))
		w := &workers[seat]
		if err := w.command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		w.command.Wait()
		if w.command.ProcessState.Exited() {
			t.Fatalf("seat %d: %v: %s", seat, w.command.ProcessState, w.output)
		}
		for thread := range stressThreads { // who was inside has died
			inside(b, seat, thread).Store(0)
		}
		b.Clear(seat)
		*w = startWorker(t, b, seat)
	}
	for seat := range workers {
		progress(seat, 2000)
	}
	for seat, w := range workers {
		w.input.Close()
		if err := w.command.Wait(); err != nil {
			t.Errorf("seat %d: %v: %s", seat, err, w.output)
		}
	}
	now := NewClock().Now() + int64(time.Second)
	for seat := range workers {
		for thread := range stressThreads {
			c := b.Cell(seat, thread)
			c.Expire(now) // a reservation of one that was killed, or that was not sent
			if !c.Free() {
				t.Errorf("seat %d, thread %d: the word is %#x", seat, thread, c.word.Load())
			}
			if n := inside(b, seat, thread).Load(); n != 0 {
				t.Errorf("seat %d, thread %d: %d are inside", seat, thread, n)
			}
		}
		t.Logf("seat %d: %d rounds, %d claims, %d expired", seat, rounds(b, seat).Load(), claims(b, seat).Load(), expired(b, seat).Load())
		if claims(b, seat).Load() == 0 || expired(b, seat).Load() == 0 {
			t.Errorf("seat %d: nothing was claimed, or nothing has expired: the test shows nothing", seat)
		}
	}
}
