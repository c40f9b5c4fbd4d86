package lines

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

func TestRingSize(t *testing.T) {
	for _, test := range []struct{ capacity, want int }{{0, 64}, {1, 64}, {64, 64}, {65, 128}, {129, 256}, {1000, 1024}, {1024, 1024}} {
		if r := newRing(test.capacity); len(r.data) != test.want || len(r.sizes)*granule != test.want {
			t.Errorf("newRing(%d) has room for %d bytes, %d granules, want %d bytes", test.capacity, len(r.data), len(r.sizes), test.want)
		}
	}
}

func TestRingFull(t *testing.T) {
	tests := []struct {
		name  string
		sizes []int
		fits  []bool
	}{
		{"by bytes", []int{64, 64, 64, 64, 1}, []bool{true, true, true, true, false}},
		{"by lines", []int{0, 1, 2, 3, 0}, []bool{true, true, true, true, false}},
		{"a line over two granules", []int{65, 65, 1}, []bool{true, true, false}},
		{"as long as the ring", []int{256, 0}, []bool{true, false}},
		{"longer than the ring", []int{257, 256}, []bool{false, true}},
		{"a short one where a long one did not fit", []int{128, 129, 128}, []bool{true, false, true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRing(256)
			for round := range 5 { // begins elsewhere each time
				for i, size := range test.sizes {
					if got := r.push(make([]byte, size)); got != test.fits[i] {
						t.Fatalf("round %d: push of %d bytes as number %d: %v", round, size, i, got)
					}
				}
				for {
					size, ok := r.peek()
					if !ok {
						break
					}
					r.skip(size)
				}
				r.release()
				if !r.push(nil) {
					t.Fatal("an empty ring takes nothing")
				}
				size, _ := r.peek()
				r.skip(size)
				r.release()
			}
		})
	}
}

// What comes out is what went in, in order, wherever in the ring it lies and whatever is in it.
func TestRingKeepsBytes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r := newRing(1024)
	var in, out [][]byte
	for len(out) < 20_000 {
		line := make([]byte, random.IntN(300))
		for i := range line {
			line[i] = byte(random.Uint32())
		}
		if r.push(line) {
			in = append(in, line)
			continue
		}
		for range 1 + random.IntN(3) {
			if size, ok := r.peek(); ok {
				out = append(out, r.take(nil, size))
			}
		}
		r.release()
	}
	for i, line := range out {
		if !bytes.Equal(line, in[i]) {
			t.Fatalf("line %d is %q, want %q", i, line, in[i])
		}
	}
}

func TestRingRoomIsBackOnlyAfterRelease(t *testing.T) {
	r := newRing(64)
	r.push([]byte("a"))
	size, _ := r.peek()
	r.take(nil, size)
	if r.push([]byte("b")) {
		t.Error("room was given out that the consumer has not released")
	}
	r.release()
	if !r.push([]byte("b")) {
		t.Error("released room was not given out")
	}
}

func TestRingClose(t *testing.T) {
	r := newRing(1024)
	r.push(make([]byte, 100))
	if at := r.close(); at != 2 {
		t.Errorf("closed at %d, want 2", at)
	}
	if r.push([]byte("late")) {
		t.Error("a closed ring takes a line")
	}
	if at := r.close(); at != 2 || r.position() != 2 {
		t.Errorf("closed again at %d, position %d, want 2", at, r.position())
	}
	if _, ok := r.peek(); !ok {
		t.Error("what was in the ring when it was closed is gone")
	}
}

// Many producers, a ring that is often full, and one that closes it in the middle.
func TestRingStress(t *testing.T) {
	const producers, each = 8, 5000
	r := newRing(2048)
	var wg sync.WaitGroup
	accepted := make([][]int, producers)
	closing := make(chan struct{})
	for p := range producers {
		wg.Go(func() {
			for i := range each {
				if p == 0 && i == each/2 {
					close(closing)
				}
				if r.push(stressLine(p, i)) {
					accepted[p] = append(accepted[p], i)
				}
			}
		})
	}
	wg.Go(func() { <-closing; r.close() })
	finished := make(chan struct{})
	go func() { wg.Wait(); close(finished) }()

	var lines [][]byte
	for done := false; ; {
		size, ok := r.peek()
		if ok {
			lines = append(lines, r.take(nil, size))
			r.release()
			continue
		}
		if done {
			break
		}
		select {
		case <-finished:
			done = true
		default:
		}
	}
	got := make([][]int, producers)
	for _, line := range lines {
		var p, i int
		if _, err := fmt.Sscanf(string(line), "%d %d", &p, &i); err != nil || !bytes.Equal(line, stressLine(p, i)) {
			t.Fatalf("broken line %q", line)
		}
		got[p] = append(got[p], i)
	}
	for p := range producers {
		if fmt.Sprint(got[p]) != fmt.Sprint(accepted[p]) {
			t.Errorf("producer %d: %d lines came out, in this order or not, of %d that went in", p, len(got[p]), len(accepted[p]))
		}
	}
}

// stressLine says who made it, and has a length and bytes that follow from it.
func stressLine(producer, i int) []byte {
	head := fmt.Appendf(nil, "%d %d ", producer, i)
	return append(head, bytes.Repeat([]byte{byte('a' + i%26)}, (i*7+producer)%200)...)
}
