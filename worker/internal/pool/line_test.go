//go:build linux

package pool

import (
	"errors"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// enter puts a movable request in line.
func enter(t *testing.T, p *lease, since int64) *Waiting {
	t.Helper()
	w, err := p.Enter(since)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestLineIsOrderedByWhenRequestsBecameReadable(t *testing.T) {
	p, _ := testLease(1, 10, time.Minute)
	thread := mustTake(t, p)
	now := p.clock.Now()
	late, early, middle := enter(t, p, now-1), enter(t, p, now-1e9), enter(t, p, now-1e6)
	want(t, "the oldest", p.row.Handoff.OldestMovable.Load(), now-1e9)
	for _, w := range []*Waiting{early, middle, late} {
		want(t, "idle", p.Give(thread), false)
		place, err := w.Wait()
		if err != nil || place.Elsewhere() || place.Thread != thread {
			t.Fatalf("place %+v, %v; want thread %d", place, err, thread)
		}
	}
	want(t, "idle", p.Give(thread), true)
	want(t, "the oldest", p.row.Handoff.OldestMovable.Load(), 0)
}

// What cannot be passed on keeps its place: the sibling's thread is for the first that can.
func TestSendTakesTheFirstThatCanMove(t *testing.T) {
	p, _ := testLease(1, 10, time.Minute)
	thread := mustTake(t, p)
	queueUp(t, p, t.Context())
	first, second := enter(t, p, 0), enter(t, p, 0)
	to := Place{Thread: 1, Seat: 4, Reservation: 7}
	want(t, "sent", p.Send(to), true)
	if place, err := first.Wait(); place != to || err != nil {
		t.Errorf("%+v, %v; want %+v", place, err, to)
	}
	want(t, "sent", p.Send(to), true)
	if place, err := second.Wait(); place != to || err != nil {
		t.Errorf("%+v, %v; want %+v", place, err, to)
	}
	want(t, "sent to nobody", p.Send(to), false)
	want(t, "waiting", p.waiting(), 1)
	p.Give(thread)
}

// A thread that becomes free between a look and the line is not missed, and neither is the end of the queue's patience or room.
func TestEnter(t *testing.T) {
	p, _ := testLease(1, 1, time.Minute)
	w := enter(t, p, 0)
	if place, err := w.Wait(); err != nil || place.Elsewhere() {
		t.Errorf("%+v, %v; want the free thread", place, err)
	}
	enter(t, p, 0)
	if _, err := p.Enter(0); !errors.Is(err, ErrQueueFull) {
		t.Errorf("beyond the depth: %v", err)
	}
	p, _ = testLease(1, 10, time.Second)
	mustTake(t, p)
	if _, err := enter(t, p, p.clock.Now()-int64(time.Minute)).Wait(); !errors.Is(err, ErrQueueTimeout) {
		t.Errorf("what has waited a minute elsewhere: %v", err)
	}
	want(t, "waiting", p.waiting(), 0)
}

// A thread that a sibling has reserved is not taken, and comes back when the sibling withdraws or never uses it.
func TestReservedThread(t *testing.T) {
	for name, ends := range map[string]func(c *scoreboard.Cell, r scoreboard.Reservation){
		"withdrawn": func(c *scoreboard.Cell, r scoreboard.Reservation) { c.Withdraw(r) },
		"forgotten": func(*scoreboard.Cell, scoreboard.Reservation) {},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := testLease(1, 10, time.Minute)
			r, ok := p.cells[0].Reserve(3, p.clock.Now(), 1)
			want(t, "reserved", ok, true)
			_, taken := p.TryTake()
			want(t, "taken", taken, false)
			ends(p.cells[0], r)
			thread, err := p.Take(t.Context(), 0) // waits for it, and nobody tells
			want(t, "thread", thread, 0)
			want(t, "error", err, nil)
			want(t, "claim of a reservation that has ended", p.Claim(0, r), false)
		})
	}
	p, _ := testLease(1, 10, time.Minute)
	r, _ := p.cells[0].Reserve(3, p.clock.Now(), 1)
	want(t, "claim of another reservation", p.Claim(0, r+1<<40), false)
	want(t, "claim of a thread that is not there", p.Claim(7, r), false)
	want(t, "claim", p.Claim(0, r), true)
	want(t, "claim, twice", p.Claim(0, r), false)
}

// As long as a request waits that can move its worker looks again.
func TestLook(t *testing.T) {
	p, _ := testLease(1, 10, time.Minute)
	mustTake(t, p)
	looks := make(chan struct{}, 100)
	p.Look(func() { looks <- struct{}{} })
	enter(t, p, 0)
	for range 3 {
		<-looks
	}
	p.Send(Place{Reservation: 1})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(lookAfter) {
		p.mu.Lock()
		looking := p.looking
		p.mu.Unlock()
		if !looking {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it looks for nobody")
		}
	}
}

// A sibling that reserves and withdraws at any moment never leaves a request waiting beside a free thread, be it one that can move or not.
func TestWithdrawnUnderATaker(t *testing.T) {
	p, _ := testLease(1, 10, time.Minute)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for nonce := uint64(0); ; nonce++ {
			select {
			case <-stop:
				return
			default:
			}
			if r, ok := p.cells[0].Reserve(3, p.clock.Now(), nonce); ok {
				p.clock.Now() // a moment
				p.cells[0].Withdraw(r)
			}
		}
	}()
	for range 20_000 {
		p.Give(mustTake(t, p))
	}
	close(stop)
	<-stopped
}
