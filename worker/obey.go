package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/keys"
	"github.com/prefork/cluster/ipc/profile"
	"github.com/prefork/cluster/worker/internal/publish"
)

// obey does what the master says until the control channel ends, which is the death of the master.
func (m *member) obey() {
	for {
		msg, fd, err := m.control.Receive()
		var malformed *ipc.MalformedError
		switch {
		case errors.As(err, &malformed):
			m.complain(malformed.Error())
			continue
		case errors.Is(err, io.EOF):
			m.orphaned()
			return
		case err != nil:
			m.Log.Error("control channel broken", "err", err)
			m.orphaned()
			return
		}
		m.do(msg, fd)
	}
}

func (m *member) do(msg ipc.Message, fd *ipc.FD) {
	if fd != nil {
		defer fd.Close()
	}
	switch msg.Type {
	case ipc.Drain:
		m.order(order{final: msg.Final, why: msg.Text})
	case ipc.Adopt:
		if fd == nil {
			m.complain("adopt without a descriptor")
			return
		}
		if msg.Bind < 0 || msg.Bind >= len(m.binds) {
			m.complain(fmt.Sprintf("adopt: bind %d of %d", msg.Bind, len(m.binds)))
			return
		}
		l, err := listen(fd)
		if err != nil {
			m.complain("adopt: " + err.Error())
			return
		}
		m.attach(sourceKey{slot: msg.Slot, bind: msg.Bind}, l)
	case ipc.Peer:
		if fd == nil || m.siblings == nil {
			m.complain("peer without a descriptor, or where connections are not passed on")
			return
		}
		if own, err := fd.Release(); err == nil {
			m.siblings.Add(msg.Seat, ipc.Own(own))
		}
	case ipc.Release:
		m.release(msg.Slot)
	case ipc.Configure:
		if msg.Limits == nil || !m.fits(msg.Limits) || msg.Limits.InProcess() != m.Config.InProcess() {
			m.complain(fmt.Sprintf("configure: no limits that fit a scoreboard of %d slots × %d threads", m.board.Slots(), m.board.Threads()))
			return
		}
		if m.Config.InProcess() && msg.Limits.Threads != m.Config.Threads {
			m.complain(fmt.Sprintf("configure: %d threads a worker where there are %d: they are counted by their number, so other ones need another process", msg.Limits.Threads, m.Config.Threads))
			return
		}
		m.configure(*msg.Limits)
	case ipc.NewKeys:
		if fd == nil {
			m.complain("keys without a descriptor")
			return
		}
		k, err := keys.Open(fd)
		if err == nil {
			err = m.certificates.Replace(k)
		}
		if err != nil {
			m.complain(err.Error())
		}
	case ipc.Stacks:
		m.sendStacks(msg.ID)
	case ipc.Profile:
		go m.sendProfile(msg) // it takes its time
	case ipc.ReopenLogs:
		m.reopenLogs(fd)
	case ipc.Error:
		m.Log.Warn("the master did not understand a message", "err", msg.Text)
	default:
		m.complain("unknown message type " + string(msg.Type))
	}
}

// configure puts other limits in force. Requests and connections that are there already stay.
func (m *member) configure(l ipc.Limits) {
	limitHeap(m.Limits().Memory, l.Memory)
	m.SetLimits(l)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room.Broadcast() // there may be more now
}

// limitHeap gives the heap of this process another soft limit, in bytes; 0 is none. An application that was given its own in GOMEMLIMIT
// keeps that. To set one stops the world for a moment, so nothing is done for the same one.
func limitHeap(before, now int64) {
	if before == now || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if now == 0 {
		now = math.MaxInt64 // off, as the runtime has it
	}
	debug.SetMemoryLimit(now)
}

func (m *member) complain(text string) {
	m.Log.Warn("control message refused", "err", text)
	_ = m.control.Send(ipc.Message{Type: ipc.Error, Text: text}, -1)
}

// orphaned goes on serving for a while, in case a new master takes the clients over, and drains then. Nobody else holds
// the listeners now, so what is queued in them is accepted first.
func (m *member) orphaned() {
	m.Log.Warn("the master is gone: draining soon", "grace", m.Limits().OrphanGrace.String())
	time.AfterFunc(m.Limits().OrphanGrace, func() { m.order(order{final: true, why: "the master is gone"}) })
}

// sendStacks answers with all goroutine stacks of this process, in a memfd: they are too long for a packet.
func (m *member) sendStacks(id uint64) {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) || len(buf) >= 16<<20 {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	fd, err := ipc.NewMemfd("stacks", buf)
	if err != nil {
		m.complain("stacks: " + err.Error())
		return
	}
	defer fd.Close()
	_ = m.control.Send(ipc.Message{Type: ipc.Stacks, ID: id}, fd.Int())
}

// sendProfile takes the profile that a message asks for and answers with it, or with why there is none.
func (m *member) sendProfile(asked ipc.Message) {
	answer, fd := ipc.Message{Type: ipc.Profile, ID: asked.ID}, -1
	data, err := profile.Take(asked.Text, asked.Length, nil)
	if err == nil {
		var sealed *ipc.FD
		if sealed, err = ipc.NewMemfd("profile", data); err == nil {
			defer sealed.Close()
			fd = sealed.Int()
		}
	}
	if err != nil {
		answer.Text = err.Error()
	}
	_ = m.control.Send(answer, fd)
}

// publish begins to send copies of the application's metrics.
func (m *member) publish() {
	if m.options.metrics == nil || !m.Config.Metrics {
		return
	}
	m.publisher = publish.New(*m.options.metrics, ipc.MaxMetrics, m.sendMetrics, m.metricsFailed())
	go m.publisher.Run()
}

// publishLast sends the last copy, which has what every request has counted.
func (m *member) publishLast() {
	if m.publisher == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	m.publisher.Last(ctx)
}

func (m *member) sendMetrics(data []byte) error {
	fd, err := ipc.NewMemfd("metrics", data)
	if err != nil {
		return err
	}
	defer fd.Close()
	return m.control.Send(ipc.Message{Type: ipc.Metrics}, fd.Int())
}

// metricsFailed logs the first failure of each kind; the master counts all of them.
func (m *member) metricsFailed() func(error) {
	told := map[string]bool{}
	return func(err error) {
		kind := ipc.MetricsFailed
		var size *publish.SizeError
		switch {
		case errors.Is(err, publish.ErrHang):
			kind = ipc.MetricsHang
		case errors.As(err, &size):
			kind = ipc.MetricsTooLarge
		}
		if !told[kind] {
			told[kind] = true
			m.Log.Warn("metrics of the application", "reason", kind, "err", err)
		}
		_ = m.control.Send(ipc.Message{Type: ipc.Metrics, Failure: kind}, -1)
	}
}
