package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
)

// drain finishes what runs and leaves: no more accepting, then the acknowledgement, then waiting for the connections.
func (m *member) drain(o order) error {
	over, cancel := context.WithTimeout(context.Background(), m.Limits().DrainTimeout)
	defer cancel()
	m.drainSince.Store(m.Clock.Now())
	m.Row.State.Store(scoreboard.StateDraining)
	m.final.Store(o.final)
	m.stopAccepting(over, o.final)
	if m.siblings != nil && !o.final {
		go m.passOn(over)
	}
	if m.control != nil {
		_ = m.control.Send(ipc.Message{Type: ipc.Draining, Text: o.why}, -1)
	}
	if !callWithin(over, m.options.onDrain...) {
		m.Log.Warn("an OnDrain hook runs for longer than the drain timeout: leaving without it")
	}
	left := m.awaitConnections(over)
	m.engine.Stop(left)
	exit, cancelExit := context.WithTimeout(context.Background(), time.Second)
	defer cancelExit()
	if !callWithin(exit, m.options.onExit...) {
		m.Log.Warn("an OnExit hook runs for longer than a second: leaving without it")
	}
	m.publishLast()
	m.flushLogs()
	if m.control != nil {
		_ = m.control.Send(ipc.Message{Type: ipc.Bye, Left: left}, -1)
	}
	if left > 0 {
		return fmt.Errorf("worker: %d connections were still open when the drain timeout of %v ended", left, m.Limits().DrainTimeout)
	}
	return nil
}

// stopAccepting returns when no source accepts any more. What an Accept under way still brings is served like all others.
func (m *member) stopAccepting(over context.Context, final bool) {
	m.mu.Lock()
	m.Draining.Store(true)
	for key, s := range m.sources {
		delete(m.sources, key)
		if final {
			s.finish()
		} else {
			s.stop()
		}
	}
	m.mu.Unlock()
	if !callWithin(over, m.accepting.Wait) {
		m.Log.Warn("the application has not taken the accepted connections: leaving without it")
	}
	close(m.drained)
}

// awaitConnections waits until none is open or the drain timeout is over, and returns how many are left.
func (m *member) awaitConnections(over context.Context) int {
	for {
		if n := m.openConnections(); n == 0 {
			if m.inbox == nil || m.inbox.closed.Load() {
				return 0
			}
			m.inbox.stop(over.Done()) // what lies in it is the master's, but one may just have come out
			continue
		}
		select {
		case <-m.empty:
		case <-over.Done():
			return m.openConnections()
		}
	}
}

const (
	passOnPause = 20 * time.Millisecond
	passOnBatch = 64 // an inbox holds some hundred packets
)

// passOn has idle connections go to siblings. Busy ones go when they have been answered; one that finds no room stays, is
// served, and tries again.
func (m *member) passOn(over context.Context) {
	m.countBound()
	for ; over.Err() == nil; sleep(over, passOnPause) {
		m.mu.Lock()
		idle := make([]*conn, 0, len(m.conns))
		for c := range m.conns {
			if c.mover != nil && c.phase.Load() == phaseIdle && c.readable.Load() == 0 {
				idle = append(idle, c)
			}
		}
		m.mu.Unlock()
		for i, c := range idle {
			if i%passOnBatch == 0 && (!m.siblings.Ready() || i > 0 && !sleep(over, time.Millisecond)) {
				break
			}
			c.kick()
		}
	}
}

// countBound counts the connections that cannot go to a sibling when the worker drains.
func (m *member) countBound() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.conns {
		switch phase := c.phase.Load(); {
		case phase == phaseForeign:
			m.Row.Handoff.Stayed[scoreboard.StayedHijacked].Add(1)
		case phase == phaseVeiled || c.mover == nil:
			m.Row.Handoff.Stayed[c.Bound()].Add(1)
		}
	}
}

// sleep is false if ctx is done.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func (m *member) openConnections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.conns)
}

// callWithin calls the functions one after the other and is true if all have returned before ctx is done.
func callWithin(ctx context.Context, functions ...func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, f := range functions {
			f()
		}
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}
