package scoreboard

import (
	"math"
	"testing"
)

func TestAnswer(t *testing.T) {
	tests := []struct{ status, class int }{
		{100, 1},
		{101, 1},
		{199, 1},
		{200, 2},
		{204, 2},
		{299, 2},
		{301, 3},
		{304, 3},
		{399, 3},
		{400, 4},
		{404, 4},
		{499, 4},
		{500, 5},
		{503, 5},
		{599, 5},
		{0, 5},
		{1, 5},
		{99, 5},
		{600, 5},
		{999, 5},
		{1000, 5},
		{-1, 5},
		{-100, 5},
		{-200, 5},
		{math.MaxInt, 5},
		{math.MinInt, 5},
	}
	total := Private(1).Row(0)
	for _, tt := range tests {
		var r Row
		r.Answer(tt.status)
		total.Answer(tt.status)
		for i := range r.Requests {
			want := int64(0)
			if i == tt.class-1 {
				want = 1
			}
			if got := r.Requests[i].Load(); got != want {
				t.Errorf("status %d counted %d in class %dxx, want %d", tt.status, got, i+1, want)
			}
		}
		if r.Total() != 1 {
			t.Errorf("status %d: total %d", tt.status, r.Total())
		}
	}
	if total.Total() != int64(len(tests)) {
		t.Errorf("total %d, want %d", total.Total(), len(tests))
	}
}
