package handoffmodel

import (
	"fmt"
	"testing"
	"time"
)

// start is a cluster at rest: connection c is idle in worker at[c], and busy[w] threads of worker w run local requests.
func start(at []int, busy [workers]byte, faults state) state {
	s := faults
	for w := range workers {
		s.ready[w] = 1
		for i := range busy[w] {
			s.word[w][i], s.local[w][i] = running, 1
		}
	}
	for c := range s.conn {
		if c < len(at) {
			s.conn[c].at[at[c]] = idle
		} else {
			s.conn[c].lost = 1
		}
	}
	return s
}

func TestX(t *testing.T) {
	for i, x := range []struct {
		r rules
		s state
	}{
		{rules{inbox: 4, noTimer: true, descriptors: true}, start([]int{0}, [3]byte{2, 2, 2}, state{begins: 1})},
		{rules{inbox: 1, descriptors: true}, start([]int{0}, [3]byte{2, 2, 1}, state{deaths: 1, stops: 1})},
		{rules{inbox: 1, descriptors: true}, start([]int{0}, [3]byte{2, 2, 1}, state{deaths: 1, drains: 1})},
		{rules{inbox: 1}, start([]int{0, 0}, [3]byte{2, 2, 2}, state{})},
		{rules{inbox: 1}, start([]int{0, 1}, [3]byte{2, 2, 1}, state{})},
		{rules{inbox: 1}, start([]int{0, 0}, [3]byte{2, 1, 0}, state{deaths: 1})},
		{rules{inbox: 1}, start([]int{0, 0}, [3]byte{2, 1, 0}, state{stops: 1})},
		{rules{inbox: 1}, start([]int{0, 0, 0}, [3]byte{2, 1, 0}, state{})},
		{rules{inbox: 1, noTimer: true}, start([]int{0, 1}, [3]byte{2, 2, 2}, state{})},
	} {
		began := time.Now()
		r := explore(x.r, 1_000_000, x.s)
		fmt.Println(i, time.Since(began), r.states, r.steps, r.wrong)
		fmt.Println(r.trace)
	}
}
