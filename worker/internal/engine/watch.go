package engine

import (
	"bytes"
	"errors"
	"net/url"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// ErrRequestTimeout is why the context of a request is done whose handler took too long.
var ErrRequestTimeout = errors.New("the request took longer than request-timeout allows: it was answered 504")

// Limited is a request whose handler runs under a time limit.
//
// Invariant: Claim is called while the handler runs, never before and never after, and Give after a Claim that was true. Whoever
// calls Ended therefore knows whose the answer is.
type Limited struct {
	Claim func() bool // takes the answer over, without waiting; false: it has begun
	Give  func()      // makes it 504

	over chan struct{} // closed when Give has returned
	late atomic.Bool   // claimed

	method, path string
	started      int64
	goroutine    uint64
	row          *scoreboard.Row
}

// NewLimited is a request whose handler is about to run.
func NewLimited(claim func() bool, give func()) *Limited {
	return &Limited{Claim: claim, Give: give, over: make(chan struct{})}
}

// Late says whether the handler took too long.
func (l *Limited) Late() bool { return l.late.Load() }

// Over is closed when a late request was given its answer.
func (l *Limited) Over() <-chan struct{} { return l.over }

// watch looks after the requests whose handlers run under a time limit. Nothing is in it while there is none.
type watch struct {
	mu      sync.Mutex
	running map[*Limited]struct{}
	rest    time.Time // stacks are not taken before
	size    int       // bytes of all stacks, the last time
}

// Limit begins the time of a handler that began at started, on the goroutine that it runs on. Each has to be Ended.
func (w *Worker) Limit(l *Limited, held *Held, started int64, method, path string) {
	l.started, l.method, l.path, l.row = started, method, path, w.Account(held)
	own := &held.own
	if w.runner != nil {
		own = w.runner.Goroutine(held.Thread())
	}
	l.goroutine = own.Number()
	w.watch.mu.Lock()
	defer w.watch.mu.Unlock()
	if w.watch.running == nil {
		w.watch.running = map[*Limited]struct{}{}
	}
	w.watch.running[l] = struct{}{}
}

// Ended says that a handler has returned, and whether it was too late: then the answer is not the handler's.
func (w *Worker) Ended(l *Limited) (late bool) {
	w.watch.mu.Lock()
	defer w.watch.mu.Unlock()
	delete(w.watch.running, l)
	return l.late.Load()
}

// Expire gives those requests up whose handlers have run for too long, unless their answers have begun. The pulse calls it.
func (w *Worker) Expire(now int64) {
	limit := int64(w.Limits().RequestTimeout)
	if limit == 0 {
		return
	}
	var late []*Limited
	w.watch.mu.Lock()
	for l := range w.watch.running {
		if now-l.started > limit && !l.late.Load() && l.Claim() {
			l.late.Store(true)
			late = append(late, l)
		}
	}
	w.watch.mu.Unlock()
	if len(late) > 0 {
		go w.giveUp(late, now)
	}
}

// giveUp looks at the stacks before the handlers are told: some return at once then.
func (w *Worker) giveUp(late []*Limited, now int64) {
	stacks, taken := w.watch.stacks()
	for _, l := range late {
		l.row.TimedOut.Add(1)
		go func() {
			defer close(l.over)
			l.Give()
		}()
	}
	for _, l := range late {
		stack := "not looked for: stacks were taken a moment ago"
		if taken {
			stack = stackOf(stacks, l.goroutine)
		}
		w.Log.Warn("request timed out: it is answered 504, and its thread is taken until the handler returns", "method", l.method,
			"path", (&url.URL{Path: l.path}).EscapedPath(), "took", time.Duration(now-l.started).Round(time.Millisecond).String(), "stack", stack)
	}
}

const (
	stacksLeast = 64 << 10
	stacksMost  = 16 << 20
	// restFactor: the whole process stands still while stacks are taken. So at most a fiftieth of the time is spent on it.
	restFactor = 50
)

// stacks are those of all goroutines, unless it is too soon after the last ones.
func (w *watch) stacks() (all []byte, taken bool) {
	w.mu.Lock()
	begun := time.Now()
	if begun.Before(w.rest) {
		w.mu.Unlock()
		return nil, false
	}
	size := max(stacksLeast, w.size)
	w.rest = begun.Add(time.Hour) // nobody else meanwhile
	w.mu.Unlock()
	for all = make([]byte, size); ; all = make([]byte, 2*len(all)) {
		n := runtime.Stack(all, true)
		if n < len(all) || len(all) >= stacksMost {
			all = all[:n]
			break
		}
	}
	took := time.Since(begun)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.size, w.rest = len(all)*5/4, begun.Add(restFactor*took)
	return all, true
}

// stackOf is the stack of one goroutine out of those of all, which are separated by empty lines.
func stackOf(all []byte, goroutine uint64) string {
	head := []byte("goroutine " + strconv.FormatUint(goroutine, 10) + " [")
	for stack := range bytes.SplitSeq(all, []byte("\n\n")) {
		if bytes.HasPrefix(stack, head) {
			return string(stack)
		}
	}
	return "its goroutine has ended"
}

// Apart runs f, which runs the handler of a limited request, on a goroutine of its own. It is true when f has returned, and ends
// the caller as f has ended if that was otherwise; it is false as soon as the request is late, and f may still run.
func Apart(l *Limited, f func()) bool {
	type outcome struct {
		returned bool
		panicked any // nil with returned false: runtime.Goexit
	}
	ended := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if !o.returned {
				o.panicked = recover()
			}
			ended <- o
		}()
		f()
		o.returned = true
	}()
	select {
	case o := <-ended:
		switch {
		case l.Late():
			<-l.Over()
			return false
		case o.returned:
			return true
		case o.panicked != nil:
			panic(o.panicked)
		}
		runtime.Goexit()
	case <-l.Over():
	}
	return false
}
