package scoreboard

import "time"

// The thread word (docs/adr/0010-handoff.md). From the low end: 2 bits of state, 12 of the seat that has reserved, 24 of
// milliseconds, 26 of a nonce. Those of a free and of a running thread are zero beyond the state.
const (
	wordFree     = 0
	wordReserved = 1
	wordRunning  = 2

	stateBits = 2
	seatBits  = 12
	milliBits = 24
	nonceBits = 26

	stateMask = 1<<stateBits - 1
	milliMask = 1<<milliBits - 1
	milliAt   = stateBits + seatBits
	nonceAt   = milliAt + milliBits
)

// ReservationLife is how long a reservation is valid: a packet takes microseconds, and who has reserved may have been
// stopped or killed.
const ReservationLife = 100 * time.Millisecond

// Reservation is the word of a thread that a sibling keeps for a connection it is about to pass on; 0 is none.
type Reservation uint64

// Reserve keeps a free thread for the worker in a seat. nonce must differ from those of its reservations in the same
// millisecond. It is false if the thread was not free.
func (c *Cell) Reserve(seat int, now int64, nonce uint64) (Reservation, bool) {
	r := Reservation(wordReserved | uint64(seat)%(1<<seatBits)<<stateBits | millis(now)<<milliAt | nonce%(1<<nonceBits)<<nonceAt)
	return r, c.word.CompareAndSwap(wordFree, uint64(r))
}

// Withdraw frees a thread that was reserved and is not needed. It is false if the reservation had ended.
func (c *Cell) Withdraw(r Reservation) bool { return c.release(uint64(r)) }

// Claim makes a reserved thread a running one, for the connection that names the reservation. It is false if the
// reservation has ended. Only the worker in the seat calls it.
func (c *Cell) Claim(r Reservation) bool {
	return r&stateMask == wordReserved && c.word.CompareAndSwap(uint64(r), wordRunning)
}

// Expire frees a thread whose reservation is too old. Only the worker in the seat calls it.
func (c *Cell) Expire(now int64) bool {
	w := c.word.Load()
	return w&stateMask == wordReserved && age(w, now) > ReservationLife && c.release(w)
}

// Free says whether the thread can be taken or reserved.
func (c *Cell) Free() bool { return c.word.Load() == wordFree }

// Reserved says whether a sibling keeps the thread.
func (c *Cell) Reserved() bool { return c.word.Load()&stateMask == wordReserved }

// Running says whether the thread has been taken by the worker in the seat.
func (c *Cell) Running() bool { return c.word.Load() == wordRunning }

func (c *Cell) release(word uint64) bool {
	return word&stateMask == wordReserved && c.word.CompareAndSwap(word, wordFree)
}

func millis(now int64) uint64 { return uint64(now/int64(time.Millisecond)) & milliMask }

// ahead is how much younger than now a word may be: now is read first, and others reserve meanwhile.
const ahead = time.Minute

// age is right as long as it is less than four hours: a worker looks at its words more often.
func age(word uint64, now int64) time.Duration {
	const wrap = (milliMask + 1) * time.Millisecond
	old := time.Duration((millis(now)-word>>milliAt)&milliMask) * time.Millisecond
	if old > wrap-ahead {
		return 0
	}
	return old
}
