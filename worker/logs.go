package worker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/worker/internal/engine"
	"github.com/prefork/cluster/worker/internal/lines"
)

// flushTime is how long a leaving worker waits for its logs to be written.
const flushTime = time.Second

// application is the log of LogHandler. There is one for the process, and it may be used before Serve.
var application struct {
	once    sync.Once
	writer  atomic.Pointer[lines.Writer] // nil until it is used, and without a standard error
	dropped atomic.Int64                 // lines, until they are counted in the row
}

// LogHandler writes an application's log/slog records to standard error, as text or JSON, without making a request wait: a
// record is formatted and handed over to one goroutine that writes. Lines that nobody takes in time are dropped and
// counted (cluster_worker_log_lines_dropped_total). Serve writes what was handed over before it returns; what is logged
// later is written if the process lives long enough.
func LogHandler(json bool, opts *slog.HandlerOptions) slog.Handler {
	application.once.Do(func() {
		if own, err := ipc.Duplicate(int(os.Stderr.Fd())); err == nil { // the Writer closes what it writes to
			if w, err := lines.New(os.NewFile(uintptr(own.Int()), "stderr"), lines.Options{Dropped: &application.dropped}); err == nil {
				application.writer.Store(w)
			}
		}
	})
	w := application.writer.Load()
	if w == nil {
		return fallback(json, opts)
	}
	return lines.NewHandler(w, json, opts)
}

// fallback is for a process without a standard error.
func fallback(json bool, opts *slog.HandlerOptions) slog.Handler {
	if json {
		return slog.NewJSONHandler(io.Discard, opts)
	}
	return slog.NewTextHandler(io.Discard, opts)
}

// openRequestLog takes over where the access log goes.
func (m *member) openRequestLog(fd *ipc.FD) error {
	if fd == nil || m.Config.LogRequests == "" {
		return nil
	}
	file, err := takeFile(fd)
	if err != nil {
		return fmt.Errorf("access log: %w", err)
	}
	w, err := lines.New(file, lines.Options{Dropped: &m.Row.LogDropped, Report: func(err error) { m.Log.Warn("access log", "err", err) }})
	if err != nil {
		return fmt.Errorf("access log: %w", err)
	}
	m.Requests = &engine.RequestLog{
		Out: w, JSON: m.Config.LogRequests == "json", GC: lines.NewGCClock(), Clock: m.Clock, Slot: m.info.Slot, Generation: m.info.Generation,
	}
	return nil
}

// takeFile makes a file of a descriptor and closes that.
func takeFile(fd *ipc.FD) (*os.File, error) {
	defer fd.Close()
	own, err := ipc.Duplicate(fd.Int())
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(own.Int()), "access log"), nil
}

// reopenLogs goes on in the file that the master has opened anew. The library's own log is a pipe to the master.
func (m *member) reopenLogs(fd *ipc.FD) {
	if fd == nil || m.Requests == nil {
		return
	}
	file, err := takeFile(fd)
	if err != nil {
		m.complain("access log: " + err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	if err := m.Requests.Out.Swap(ctx, file); err != nil {
		m.Log.Warn("the old access log could not be written to the end", "err", err)
	}
}

// flushLogs writes what has been handed over, and of requests that are left what is known of them.
func (m *member) flushLogs() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	if m.Requests != nil {
		m.logLeft()
		_ = m.Requests.Out.Close(ctx)
	}
	if w := application.writer.Load(); w != nil {
		_ = w.Flush(ctx)
	}
	m.countDropped()
}

func (m *member) logLeft() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.conns {
		c.logged()
	}
	m.Requests.WriteHeld()
}

// countDropped moves what the application's log has dropped to the row.
func (m *member) countDropped() {
	if n := application.dropped.Swap(0); n > 0 {
		m.Row.LogDropped.Add(n)
	}
}
