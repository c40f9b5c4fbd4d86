package master

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/prefork/cluster/master/journal"
)

// SignalRow is one line of the table of signals that the master understands.
type SignalRow struct {
	Signal syscall.Signal
	Name   string
	Effect string
	do     func(l *loop, now time.Time)
}

// Signals is the table: the handler and the documents use the same.
var Signals = []SignalRow{
	{syscall.SIGTERM, "TERM", "drain all workers and exit 0, after drain-delay; a second one kills them (exit 8)", (*loop).stopSignal},
	{syscall.SIGINT, "INT", "the same as TERM", (*loop).stopSignal},
	{syscall.SIGUSR2, "USR2", "rolling restart", func(l *loop, now time.Time) { _, _ = l.restart(now) }},
	{syscall.SIGUSR1, "USR1", "rolling restart, for hands used to Puma", func(l *loop, now time.Time) { _, _ = l.restart(now) }},
	{syscall.SIGTTIN, "TTIN", "one worker more", func(l *loop, _ time.Time) { l.scaleBy(1) }},
	{syscall.SIGTTOU, "TTOU", "one worker less; the highest slot goes", func(l *loop, _ time.Time) { l.scaleBy(-1) }},
	{syscall.SIGHUP, "HUP", "reopen log files; read certificates and the configuration anew: a bad one changes nothing", func(l *loop, _ time.Time) { l.hangUp(nil) }},
	{syscall.SIGQUIT, "QUIT", "write the master's goroutine stacks to the log and go on", func(l *loop, _ time.Time) {
		l.log.Warn("goroutine stacks", "stacks", stacks(), "event", journal.StacksWritten)
	}},
}

// signal does what the table of signals says.
func (l *loop) signal(s os.Signal, now time.Time) {
	for _, row := range Signals {
		if row.Signal == s {
			row.do(l, now)
		}
	}
}

// sameWish is how long after a first signal another one says nothing new: timeout(1) and supervisors signal a process and
// its group, and an impatient person takes longer.
const sameWish = 200 * time.Millisecond

func (l *loop) stopSignal(now time.Time) {
	if l.state.Stopping && now.Sub(l.signalled) < sameWish {
		return
	}
	l.signalled = now
	l.stop(l.state.Stopping)
}

func (l *loop) scaleBy(n int) {
	if _, err := l.scale(scaleRequest{by: n}); err != nil {
		l.log.Warn("not scaled", "err", err, "event", journal.ScaleRefused)
	}
}

// stacks are those of all goroutines of this process.
func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}
