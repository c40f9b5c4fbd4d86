//go:build linux

package scoreboard

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestCellText(t *testing.T) {
	full := strings.Repeat("p", pathBytes)
	tests := []struct{ name, method, path, wantMethod, wantPath string }{
		{"usual", "GET", "/plaintext", "GET", "/plaintext"},
		{"empty", "", "", "", ""},
		{"no path", "OPTIONS", "", "OPTIONS", ""},
		{"no method", "", "/", "", "/"},
		{"method fills its room", "PROPFIND", "/", "PROPFIND", "/"},
		{"method is cut", "UNSUBSCRIBE", "/", "UNSUBSCR", "/"},
		{"path one below its room", "GET", full[1:], "GET", full[1:]},
		{"path fills its room", "GET", full, "GET", full},
		{"path is cut", "GET", full + "xyz", "GET", full},
		{"both are cut", strings.Repeat("M", 1000), strings.Repeat("/", 100_000), "MMMMMMMM", strings.Repeat("/", pathBytes)},
		{"zero byte", "GET", "/a\x00b", "GET", "/a"},
		{"not UTF-8", "GET", "/\xff\xfe", "GET", "/\xff\xfe"},
	}
	// Each in a cell of its own, and each after each other in one cell: nothing of the last text may shine through.
	b := newBoard(t, 1, 1)
	reused := b.Cell(0, 0)
	for i, tt := range append(tests, tests...) {
		t.Run(tt.name, func(t *testing.T) {
			for _, c := range []*Cell{new(Cell), reused} {
				if !c.Take() {
					t.Fatal("the thread is not free")
				}
				c.Begin(int64(i+1), tt.method, tt.path)
				want := Work{Running: true, Since: int64(i + 1), Method: tt.wantMethod, Path: tt.wantPath}
				if got := c.Read(); got != want {
					t.Errorf("read %+v, want %+v", got, want)
				}
				c.Give()
				if got := c.Read(); got.Running {
					t.Errorf("runs after Give: %+v", got)
				}
			}
		})
	}
	for _, long := range tests {
		for _, short := range tests {
			reused.Begin(1, long.method, long.path)
			reused.Begin(1, short.method, short.path)
			if got := reused.Read(); got.Method != short.wantMethod || got.Path != short.wantPath {
				t.Errorf("%s after %s: %q %q", short.name, long.name, got.Method, got.Path)
			}
		}
	}
}

func TestCellNew(t *testing.T) {
	if got := newBoard(t, 1, 1).Cell(1, 0).Read(); got != (Work{}) {
		t.Errorf("a new cell reads %+v", got)
	}
}

func TestCellTake(t *testing.T) {
	c := newBoard(t, 1, 1).Cell(0, 0)
	for range 3 {
		if !c.Take() {
			t.Fatal("a free thread was not taken")
		}
		if c.Take() {
			t.Fatal("a running thread was taken")
		}
		c.Give()
	}
}

func TestCellTakeOnce(t *testing.T) {
	c := newBoard(t, 1, 1).Cell(0, 0)
	var holders, doubly atomic.Int64
	start := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			<-start
			for range 50_000 {
				if c.Take() {
					if holders.Add(1) != 1 {
						doubly.Add(1)
					}
					holders.Add(-1)
					c.Give()
				}
			}
		})
	}
	close(start)
	wg.Wait()
	if n := doubly.Load(); n != 0 {
		t.Errorf("%d times two had the thread", n)
	}
}

// A thread that was taken and has not yet said what it runs does not appear with the time of an earlier request, which
// would make it look stuck.
func TestCellTakenNotBegun(t *testing.T) {
	b := newBoard(t, 1, 1)
	for name, free := range map[string]func(c *Cell){
		"new":     func(*Cell) {},
		"given":   func(c *Cell) { c.Take(); c.Begin(7, "GET", "/old"); c.Give() },
		"cleared": func(c *Cell) { c.Take(); c.Begin(7, "GET", "/old"); b.Clear(0) },
	} {
		c := b.Cell(0, 0)
		free(c)
		c.Take()
		if got := c.Read(); got.Running || got.Since != 0 {
			t.Errorf("%s, then taken: %+v", name, got)
		}
		if busy := b.Busy(0); busy != 1 {
			t.Errorf("%s, then taken: %d busy", name, busy)
		}
		c.Begin(9, "GET", "/new")
		if got, want := c.Read(), (Work{Running: true, Since: 9, Method: "GET", Path: "/new"}); got != want {
			t.Errorf("%s, then begun: %+v, want %+v", name, got, want)
		}
		c.Give()
	}
}

func TestCellTornRead(t *testing.T) {
	b := newBoard(t, 1, 1)
	c := b.Cell(0, 0)
	c.Take()
	c.Begin(5, "GET", "/half")
	c.seq.Add(1) // the next Begin has started
	if got, want := c.Read(), (Work{Running: true, Since: 5}); got != want {
		t.Errorf("read %+v, want no text: %+v", got, want)
	}

	// The worker was killed there. The next one in the seat must not be out of step for ever.
	b.Clear(0)
	if got := c.Read(); got != (Work{}) {
		t.Errorf("after Clear: %+v", got)
	}
	c.Take()
	c.Begin(6, "PUT", "/whole")
	if got, want := c.Read(), (Work{Running: true, Since: 6, Method: "PUT", Path: "/whole"}); got != want {
		t.Errorf("after Clear: %+v, want %+v", got, want)
	}
}

func TestCellConcurrentReads(t *testing.T) {
	c := newBoard(t, 1, 1).Cell(0, 0)
	c.Take()
	texts := []struct{ method, path string }{
		{strings.Repeat("A", methodBytes), strings.Repeat("a", pathBytes)},
		{strings.Repeat("B", methodBytes), strings.Repeat("b", pathBytes)},
		{"C", "c"},
		{"", ""},
	}
	paths := map[string]string{}
	for _, text := range texts {
		paths[text.method] = text.path
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; !stop.Load(); i++ {
			c.Begin(int64(i+1), texts[i%len(texts)].method, texts[i%len(texts)].path)
			if i%1021 == 0 {
				runtime.Gosched()
			}
		}
	})
	seen := map[string]bool{}
	for i := 0; i < 100_000 || len(seen) < len(texts); i++ {
		w := c.Read()
		path, known := paths[w.Method]
		if !known || w.Path != path {
			t.Errorf("torn: %q %q", w.Method, w.Path)
			break
		}
		seen[w.Method] = true
		if i%1021 == 0 {
			runtime.Gosched()
		}
	}
	stop.Store(true)
	wg.Wait()
}
