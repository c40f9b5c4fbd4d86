package load

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
)

// Observer is told when counting begins, which is after the warm-up, and when it ends, so that the counters of the server
// can be read at the same moments. A nil function is left out.
//
// They run one after the other in a goroutine of their own, so that they do not hold up the load: Begin starts within the
// time that it takes to wake a goroutine, usually well below a millisecond, after the first moment that counts. With a
// duration, End starts so long after it is over, while requests that count may still await their answers (not more of
// them than connections, in a closed loop). With a number of requests it starts when the last of them has an outcome.
// With wrk and ab the two enclose the life of the process that makes the load. End is called if Begin was, even if the
// context ended.
type Observer struct {
	Begin func()
	End   func()
}

// Run puts the load on the server at addr, host:port or the absolute path of a unix socket, and returns when every request
// that counts has an outcome: at most the plan's timeout after the end of the load.
//
// In a closed loop a request counts if it was sent after the warm-up and before the end, in an open loop if it was to be
// sent then. Latency includes connecting wherever a request needed a new connection; a connection is opened by the first
// request that needs it. Requests that fail are outcomes. It is an error if the plan is impossible, the tool is
// missing, or the context ended: then the result is what was counted so far, without the requests that were in flight.
func Run(ctx context.Context, addr string, p Plan) (Result, error) {
	return RunObserved(ctx, addr, p, Observer{})
}

// RunObserved is Run, and tells obs when counting begins and ends. It returns after obs.End has.
func RunObserved(ctx context.Context, addr string, p Plan, obs Observer) (Result, error) {
	p, err := p.checked()
	if err != nil {
		return Result{}, err
	}
	if !filepath.IsAbs(addr) {
		if host, _, err := net.SplitHostPort(addr); err != nil || host == "" {
			return Result{}, fmt.Errorf("cannot put load on %q: it is neither host:port nor the absolute path of a unix socket", addr)
		}
	} else if p.Tool != Builtin {
		return Result{}, fmt.Errorf("impossible load: %s cannot reach a unix socket (%s): take the tool %s", p.Tool, addr, Builtin)
	}
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("no load was put on %s: %w", addr, err)
	}
	calls := make(chan func(), 2) // one of each: whoever sends never waits
	called := make(chan struct{})
	go func() {
		defer close(called)
		for call := range calls {
			if call != nil {
				call()
			}
		}
	}()
	result, err := run(ctx, addr, p, marks{begin: func() { calls <- obs.Begin }, end: func() { calls <- obs.End }})
	close(calls)
	<-called
	return result, err
}

// marks are called by what makes the load; they do not wait.
type marks struct{ begin, end func() }

func run(ctx context.Context, addr string, p Plan, m marks) (Result, error) {
	switch p.Tool {
	case Wrk:
		return runTool(ctx, addr, p, m, wrk{})
	case AB:
		return runTool(ctx, addr, p, m, ab{})
	}
	return runBuiltin(ctx, addr, p, m)
}
