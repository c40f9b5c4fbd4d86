package pool

import (
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// A goroutine's number is the one that stacks have.
func TestGoroutineNumber(t *testing.T) {
	t.Parallel()
	var here, there Goroutine
	text := make([]byte, 1<<10)
	text = text[:runtime.Stack(text, false)]
	if n := here.Number(); n == 0 || n != here.Number() || !strings.HasPrefix(string(text), "goroutine "+strconv.FormatUint(n, 10)+" ") {
		t.Errorf("%d, and the stack begins %.40q", n, text)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		there.Number()
	}()
	<-done
	if there.Number() == here.Number() {
		t.Error("two goroutines have the same number")
	}
}
