package lines

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// locked is the logger that log and log/slog have: a mutex around write(2).
type locked struct {
	mu   sync.Mutex
	file *os.File
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Write(p)
}

func benchLog(b *testing.B) *os.File {
	b.Helper()
	f, err := os.OpenFile(filepath.Join(b.TempDir(), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	return f
}

// BenchmarkWrite is the handing over of one line by 1, 2 and 8 goroutines, to the ring and to a mutex with write(2). The
// ring gets no more at a time than it has room for, so that none of them is cheap for being dropped.
func BenchmarkWrite(b *testing.B) {
	line := []byte(strings.Repeat("x", 150) + "\n")
	const round = 4096
	for _, goroutines := range []int{1, 2, 8} {
		hand := func(b *testing.B, write func([]byte) (int, error), between func()) {
			b.ReportAllocs()
			for left := b.N; left > 0; {
				n := min(left, round)
				left -= n
				var wg sync.WaitGroup
				for g := range goroutines {
					share := n / goroutines
					if g == 0 {
						share += n % goroutines
					}
					wg.Go(func() {
						for range share {
							_, _ = write(line)
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				between()
				b.StartTimer()
			}
		}
		b.Run(fmt.Sprintf("ring/%d", goroutines), func(b *testing.B) {
			var dropped atomic.Int64
			w, err := New(benchLog(b), Options{Dropped: &dropped})
			if err != nil {
				b.Fatal(err)
			}
			hand(b, w.Write, func() { _ = w.Flush(context.Background()) })
			b.StopTimer()
			_ = w.Close(context.Background())
			if dropped.Load() > 0 {
				b.Errorf("%d lines dropped", dropped.Load())
			}
		})
		b.Run(fmt.Sprintf("mutex/%d", goroutines), func(b *testing.B) {
			l := &locked{file: benchLog(b)}
			defer l.file.Close()
			hand(b, l.Write, func() {})
		})
	}
}

// BenchmarkRequest makes the access line of one request.
func BenchmarkRequest(b *testing.B) {
	r := sampleRequest()
	buf := make([]byte, 0, 512)
	b.Run("text", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = r.AppendText(buf[:0])
		}
	})
	b.Run("JSON", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = r.AppendJSON(buf[:0])
		}
	})
}

// BenchmarkHandler is an application's record on its way into the ring.
func BenchmarkHandler(b *testing.B) {
	w, err := New(benchLog(b), Options{})
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(NewHandler(w, false, nil))
	b.ReportAllocs()
	for b.Loop() {
		log.Info("line", "path", "/x", "status", 200)
	}
	_ = w.Close(context.Background())
}

func BenchmarkGCClock(b *testing.B) {
	c := NewGCClock()
	defer c.Stop()
	for b.Loop() {
		_ = c.Spent()
	}
}
