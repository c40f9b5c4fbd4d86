// Package publish sends copies of the application's metrics to the master, again and again.
//
// Invariant: a gathering that fails, panics or hangs costs a copy and nothing else. Two never run side by side.
package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// Source is where the metrics come from.
type Source struct {
	// Gather returns the metrics as they are now; nothing if there are none. With an error too what it could gather counts.
	Gather func() ([]byte, error)
	// Interval is the time between two gatherings.
	Interval time.Duration
}

// ErrHang is reported of a gathering that is still running when the next one is due.
var ErrHang = errors.New("a collector of the application's metrics does not return: the master keeps the last copy until it does")

// A SizeError is a copy that is too large to be sent.
type SizeError struct{ Size, Limit int }

func (e *SizeError) Error() string {
	return fmt.Sprintf("the application's metrics have %d bytes, %d are allowed: the master keeps the last copy; register fewer series, or labels with fewer values", e.Size, e.Limit)
}

// Publisher sends what a Source gathers.
type Publisher struct {
	source Source
	limit  int
	send   func(data []byte) error
	report func(err error)
	sent   []byte // last
	stop   chan context.Context
	done   chan struct{}
}

// New makes a publisher that does nothing until Run. send sends a copy that has changed, of at most limit bytes; after an error
// it is sent with the next one. report takes what goes wrong, a *SizeError and ErrHang among it. Both are called by Run.
func New(source Source, limit int, send func([]byte) error, report func(error)) *Publisher {
	return &Publisher{source: source, limit: limit, send: send, report: report, stop: make(chan context.Context, 1), done: make(chan struct{})}
}

type gathered struct {
	data []byte
	err  error
}

// Run gathers and sends at once and then at every interval, until Last was called.
func (p *Publisher) Run() {
	defer close(p.done)
	tick := time.NewTicker(p.source.Interval)
	defer tick.Stop()
	running, hangs := p.start(), false // nil: nothing runs
	for {
		select {
		case g := <-running:
			running, hangs = nil, false
			p.take(g)
		case <-tick.C:
			switch {
			case running == nil:
				running = p.start()
			case !hangs:
				hangs = true
				p.report(ErrHang)
			}
		case ctx := <-p.stop:
			p.last(ctx, running)
			return
		}
	}
}

// Last gathers and sends once more and ends Run. It returns when that is done or ctx is. It may be called once.
func (p *Publisher) Last(ctx context.Context) {
	p.stop <- ctx
	select {
	case <-p.done:
	case <-ctx.Done():
	}
}

// last waits for the gathering that runs before it begins its own: that one has not seen all that has been counted.
func (p *Publisher) last(ctx context.Context, running <-chan gathered) {
	if running != nil {
		select {
		case <-running:
		case <-ctx.Done():
			return
		}
	}
	select {
	case g := <-p.start():
		p.take(g)
	case <-ctx.Done():
	}
}

func (p *Publisher) start() <-chan gathered {
	result := make(chan gathered, 1)
	go func() {
		var g gathered
		defer func() {
			if r := recover(); r != nil {
				g = gathered{err: fmt.Errorf("gathering the application's metrics panicked: %v", r)}
			}
			result <- g
		}()
		g.data, g.err = p.source.Gather()
	}()
	return result
}

func (p *Publisher) take(g gathered) {
	if g.err != nil {
		p.report(g.err)
		if len(g.data) == 0 {
			return
		}
	}
	switch {
	case len(g.data) > p.limit:
		p.report(&SizeError{len(g.data), p.limit})
	case bytes.Equal(g.data, p.sent):
	default:
		if p.send(g.data) == nil {
			p.sent = g.data
		}
	}
}
