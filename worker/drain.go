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
	m.stopAccepting(over, o.final)
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
			return 0
		}
		select {
		case <-m.empty:
		case <-over.Done():
			return m.openConnections()
		}
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
