//go:build linux

package scoreboard

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func gettime(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}

// Now lies between two readings of the kernel's clock, but for what NewClock took to read the two zeros.
func TestClockNow(t *testing.T) {
	for range 100 {
		first := gettime(t)
		c := NewClock()
		slack := gettime(t) - first
		for range 10 {
			before := gettime(t)
			now := c.Now()
			after := gettime(t)
			if now < before-slack || now > after {
				t.Fatalf("Now() = %d, want %d - %d to %d", now, before, slack, after)
			}
		}
	}
}

func TestClockNeverGoesBack(t *testing.T) {
	c := NewClock()
	last := c.Now()
	for range 10_000 {
		now := c.Now()
		if now < last {
			t.Fatalf("%d after %d", now, last)
		}
		last = now
	}
}

func TestClockAtTime(t *testing.T) {
	c := NewClock()
	for _, ns := range []int64{0, 1, 1e9, c.Now(), c.Now() + int64(time.Hour)} {
		if got := c.At(c.Time(ns)); got != ns {
			t.Errorf("At(Time(%d)) = %d", ns, got)
		}
	}
	now := time.Now()
	for _, d := range []time.Duration{0, 1, -time.Millisecond, time.Hour} {
		moment := now.Add(d)
		if got := c.Time(c.At(moment)); !got.Equal(moment) || got.Sub(moment) != 0 {
			t.Errorf("Time(At(%v)) = %v", moment, got)
		}
	}
	if d := c.At(now.Add(time.Second)) - c.At(now); d != int64(time.Second) {
		t.Errorf("a second later is %d ns later", d)
	}
	before, moment, after := c.Now(), time.Now(), c.Now()
	if at := c.At(moment); at < before || at > after {
		t.Errorf("At(now) = %d, want %d to %d", at, before, after)
	}
}

// Two processes, each with its own zero, mean the same moment by the same number, but for what NewClock took.
func TestClocksAgree(t *testing.T) {
	first := gettime(t)
	a, b := NewClock(), NewClock()
	slack := gettime(t) - first
	moment := time.Now()
	if d := a.At(moment) - b.At(moment); d < -slack || d > slack {
		t.Errorf("two clocks differ by %d ns, more than %d", d, slack)
	}
}
