package pool

import (
	"context"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// unbounded is the pool in which no request waits: each runs on the goroutine that has read it, as in Falcon each has a fiber. It
// takes a free cell of the scoreboard, of any thread that there is room for; when none is free it runs without one, so the
// scoreboard never counts more busy threads than it has cells.
type unbounded struct{ cells []*scoreboard.Cell }

func (p *unbounded) Take(context.Context, int64) (int, error) {
	for i, c := range p.cells {
		if c.Free() && c.Take() {
			return i, nil
		}
	}
	return len(p.cells), nil
}

func (p *unbounded) Give(thread int) (idle bool) {
	if thread < len(p.cells) {
		p.cells[thread].Give()
	}
	return true
}

// Cell of a request without one is its own, and nobody sees it.
func (p *unbounded) Cell(thread int) *scoreboard.Cell {
	if thread < len(p.cells) {
		return p.cells[thread]
	}
	return new(scoreboard.Cell)
}

func (p *unbounded) SetBounds(Bounds) {}

func (p *unbounded) Pass() {}
