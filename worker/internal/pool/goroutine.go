package pool

import (
	"bytes"
	"runtime"
	"strconv"
	"sync/atomic"
)

// Goroutine is one on which handlers run, one after the other. It knows its number, which is in no API, once it was asked: to find
// it out takes as long as a small request.
type Goroutine struct{ number atomic.Uint64 }

// Number is what the runtime calls it in stacks. Only it itself may ask.
func (g *Goroutine) Number() uint64 {
	n := g.number.Load()
	if n == 0 {
		n = number()
		g.number.Store(n)
	}
	return n
}

// number reads that of the running goroutine out of the first line of its stack, "goroutine N [running]:"; 0 if there is none.
func number() uint64 {
	var line [64]byte
	text := line[:runtime.Stack(line[:], false)]
	text, _ = bytes.CutPrefix(text, []byte("goroutine "))
	digits, _, _ := bytes.Cut(text, []byte(" "))
	n, _ := strconv.ParseUint(string(digits), 10, 64)
	return n
}
