package scoreboard

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A reservation carries what was asked for, each in bits of its own.
func TestReservationWord(t *testing.T) {
	if stateBits+seatBits+milliBits+nonceBits != 64 {
		t.Fatalf("%d bits", stateBits+seatBits+milliBits+nonceBits)
	}
	rapid.Check(t, func(t *rapid.T) {
		seat := rapid.IntRange(0, 1<<seatBits-1).Draw(t, "seat")
		now := rapid.Int64Range(0, 1<<62).Draw(t, "now")
		nonce := rapid.Uint64().Draw(t, "nonce")
		var c Cell
		r, ok := c.Reserve(seat, now, nonce)
		w := uint64(r)
		if !ok || c.word.Load() != w || w&stateMask != wordReserved || int(w>>stateBits)&(1<<seatBits-1) != seat ||
			w>>milliAt&milliMask != millis(now) || w>>nonceAt != nonce%(1<<nonceBits) {
			t.Fatalf("seat %d at %d, nonce %d: %#x, %v", seat, now, nonce, w, ok)
		}
		// Another nonce, another millisecond or another seat is another reservation.
		c.word.Store(wordFree)
		other := rapid.SampledFrom([]func() (Reservation, bool){
			func() (Reservation, bool) { return c.Reserve(seat, now, nonce+1) },
			func() (Reservation, bool) { return c.Reserve(seat, now+int64(time.Millisecond), nonce) },
			func() (Reservation, bool) { return c.Reserve((seat+1)%(1<<seatBits), now, nonce) },
		}).Draw(t, "difference")
		if again, ok := other(); !ok || again == r || c.Claim(r) || c.Withdraw(r) || !c.Claim(again) {
			t.Fatalf("%#x and %#x are mistaken for each other", r, again)
		}
	})
}

func TestExpireAge(t *testing.T) {
	const wrap = int64(time.Millisecond) << milliBits
	for _, test := range []struct {
		name          string
		reserved, now int64
		want          bool
	}{
		{"at once", 5_000_000, 5_000_000, false},
		{"at the end of its life", 0, int64(ReservationLife), false},
		{"a nanosecond before the next millisecond", 0, int64(ReservationLife+time.Millisecond) - 1, false},
		{"after it", 0, int64(ReservationLife + time.Millisecond), true},
		{"milliseconds wrap, young", wrap - 1, wrap + int64(ReservationLife) - int64(time.Millisecond), false},
		{"milliseconds wrap, old", wrap - 1, wrap + int64(ReservationLife) + int64(time.Millisecond), true},
		{"wrapped many times", 1000*wrap - 1, 1000*wrap + int64(ReservationLife) + int64(time.Millisecond), true},
		{"four hours", 0, int64(4 * time.Hour), true},
		// The two clocks are one, but a word can be a moment younger than the time that was read before it.
		{"a millisecond in the future", int64(10 * time.Second), int64(10*time.Second) - 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c Cell
			if _, ok := c.Reserve(1, test.reserved, 1); !ok {
				t.Fatal("not reserved")
			}
			if got := c.Expire(test.now); got != test.want || c.Free() != test.want {
				t.Errorf("expired: %v, free: %v, want %v", got, c.Free(), test.want)
			}
		})
	}
}

// A thread goes through random histories. The reference knows who has it, and compares reservations by who made them.
func TestThreadWord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Cell
		// The last four hours before the clock's milliseconds wrap, or any time.
		now := rapid.Int64Range(0, 1<<50).Draw(t, "start")
		if rapid.Bool().Draw(t, "near the wrap") {
			now = int64(time.Millisecond)<<milliBits*rapid.Int64Range(1, 1000).Draw(t, "wraps") - rapid.Int64Range(0, int64(time.Second)).Draw(t, "before")
		}
		nonce := rapid.Uint64Range(1<<nonceBits-50, 1<<nonceBits).Draw(t, "nonce") // it wraps too
		type made struct {
			r  Reservation
			at int64
		}
		var (
			all  []made
			kept = -1 // who has the thread reserved
			runs bool
		)
		isFree := func() bool { return kept < 0 && !runs }
		which := func(t *rapid.T) int { return rapid.IntRange(0, len(all)-1).Draw(t, "reservation") }
		same := func(t *rapid.T, what string, got, want bool) {
			if got != want {
				t.Fatalf("%s: %v, want %v", what, got, want)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				same(t, "take", c.Take(), isFree())
				runs = runs || isFree()
			},
			"give": func(t *rapid.T) {
				if !runs {
					t.Skip("only who has it gives it")
				}
				c.Give()
				runs = false
			},
			"reserve": func(t *rapid.T) {
				nonce++
				r, ok := c.Reserve(rapid.IntRange(0, 3).Draw(t, "seat"), now, nonce)
				same(t, "reserve", ok, isFree())
				if ok {
					all = append(all, made{r, now})
					kept = len(all) - 1
				}
			},
			"withdraw": func(t *rapid.T) {
				if len(all) == 0 {
					t.Skip("none was made")
				}
				i := which(t)
				same(t, "withdraw", c.Withdraw(all[i].r), i == kept)
				if i == kept {
					kept = -1
				}
			},
			"claim": func(t *rapid.T) {
				if len(all) == 0 {
					t.Skip("none was made")
				}
				i := which(t)
				same(t, "claim", c.Claim(all[i].r), i == kept)
				if i == kept {
					kept, runs = -1, true
				}
			},
			"expire": func(t *rapid.T) {
				old := kept >= 0 && now/int64(time.Millisecond)-all[kept].at/int64(time.Millisecond) > ReservationLife.Milliseconds()
				same(t, "expire", c.Expire(now), old)
				if old {
					kept = -1
				}
			},
			"no reservation": func(t *rapid.T) {
				for _, r := range []Reservation{0, wordRunning, 3} {
					same(t, "claim of none", c.Claim(r), false)
					same(t, "withdrawal of none", c.Withdraw(r), false)
				}
			},
			"time passes": func(t *rapid.T) {
				now += rapid.OneOf(rapid.Int64Range(0, int64(3*time.Millisecond)), rapid.Int64Range(0, int64(150*time.Millisecond))).Draw(t, "time")
			},
			"": func(t *rapid.T) {
				same(t, "Free", c.Free(), isFree())
				same(t, "Reserved", c.Reserved(), kept >= 0)
				same(t, "running", c.word.Load() == wordRunning, runs)
			},
		})
	})
}
