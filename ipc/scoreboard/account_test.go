//go:build linux

package scoreboard

import "testing"

// account is what one request costs: all that is written for it, without reading a clock.
func account(r *Row, c *Cell, i int64) {
	c.Take()
	c.Begin(i, "GET", "/plaintext")
	r.Wait.Observe(i % 100_000)
	r.Answer(200)
	r.Duration.Observe(i % 50_000_000)
	c.Give()
}

func TestAccountRequestAllocates(t *testing.T) {
	b := newBoard(t, 1, 1)
	row, cell := b.Row(0), b.Cell(0, 0)
	if n := testing.AllocsPerRun(1000, func() { account(row, cell, 123) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

// BenchmarkAccountRequest should stay below 100 ns: it is paid by every request.
func BenchmarkAccountRequest(b *testing.B) {
	board := newBoard(b, 1, 1)
	row, cell := board.Row(0), board.Cell(0, 0)
	b.ReportAllocs()
	for i := int64(1); b.Loop(); i++ {
		account(row, cell, i)
	}
}
