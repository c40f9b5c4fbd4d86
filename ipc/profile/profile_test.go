package profile

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"
	"time"
)

// text is what a profile holds: a protocol buffer in gzip, in which names are plain.
func text(t *testing.T, data []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func work(n int) (sum int) {
	for i := range n {
		sum += i * i % 7
	}
	return sum
}

func TestTake(t *testing.T) {
	for kind, want := range map[string]string{Heap: "inuse_space", Goroutine: "profile.TestTake"} {
		data, err := Take(kind, 0, nil)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if !bytes.Contains(text(t, data), []byte(want)) {
			t.Errorf("%s has no %s", kind, want)
		}
	}
	if _, err := Take("block", 0, nil); err == nil || err.Error() != `there is no profile of kind "block"` {
		t.Errorf("block: %v", err)
	}
}

// A CPU profile shows what was worked on, one at a time, and can be ended early.
func TestTakeCPU(t *testing.T) {
	stop := make(chan struct{})
	done := make(chan []byte)
	go func() {
		for {
			data, err := Take(CPU, MaxLength, stop)
			if err == nil { // else one of those below was quicker
				done <- data
				return
			}
		}
	}()
	ended := make(chan struct{})
	close(ended)
	var second error
	for deadline := time.Now().Add(20 * time.Second); second == nil && time.Now().Before(deadline); {
		_, second = Take(CPU, 0, ended)
	}
	total := 0
	for begun := time.Now(); time.Since(begun) < time.Second; {
		total += work(1e5)
	}
	close(stop)
	data := <-done
	if second == nil || !strings.Contains(second.Error(), "cpu profiling already in use") {
		t.Errorf("a second one at a time: %v", second)
	}
	if !bytes.Contains(text(t, data), []byte("profile.work")) {
		t.Errorf("the profile does not have what took the time (%d)", total)
	}
}
