package pool

import (
	"sync"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// Nobody waits. As many requests as there are cells have one, the others one that nobody sees, and none is lost.
func TestUnbounded(t *testing.T) {
	const cells, requests = 4, 50
	board := scoreboard.Private(cells)
	all := make([]*scoreboard.Cell, cells)
	for i := range all {
		all[i] = board.Cell(0, i)
	}
	made, err := New(Kind{Name: "unbounded"}, all, board.Row(0), scoreboard.NewClock(), Bounds{1, 0, time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	p := made.(Taker)
	for range 3 {
		var running, ended sync.WaitGroup
		running.Add(requests)
		leave := make(chan struct{})
		for range requests {
			ended.Go(func() {
				thread, err := p.Take(t.Context(), 0)
				if err != nil {
					t.Error(err)
				}
				p.Cell(thread).Begin(1, "GET", "/")
				running.Done()
				<-leave
				p.Give(thread)
			})
		}
		running.Wait() // all at a time
		want(t, "busy", board.Busy(0), cells)
		for i := range cells {
			want(t, "what a thread does", board.Cell(0, i).Read().Path, "/")
		}
		want(t, "waiting", board.Row(0).Waiting.Load(), 0)
		close(leave)
		ended.Wait()
		want(t, "busy", board.Busy(0), 0)
	}
}
